"""How near previews come to the training clips whose captions they were made from.

A model that has learned its clips by heart makes them again from any noise.

Shapes: B batch, C T' F' latent.
"""

from __future__ import annotations

import warnings

from torch import Tensor
from torch.nn.functional import cosine_similarity

LIKENESS = "preview/likeness_to_data"
"""Name of the largest likeness of a preview."""
MAX_LIKENESS = 0.97
"""A preview above it counts as a copy of its clip."""


def largest_likeness(target: Tensor, generated: Tensor) -> float:
    """Return the largest correlation of a generated latent with that of its training clip.

    The mean of each channel is removed first, because it is alike in all clips.

    Args:
        target: Latents [B, C, T', F'] of the training clips.
        generated: Latents that were generated from their captions.
    """
    mean = target.mean(dim=(0, 2, 3), keepdim=True)
    cosines = cosine_similarity((target - mean).flatten(1), (generated - mean).flatten(1))
    return float(cosines.max())


def warn_of_copies(step: int, likeness: float) -> bool:
    """Warn if a preview is nearly a training clip; return whether it is.

    Args:
        step: Number of steps done.
        likeness: Result of `largest_likeness`.
    """
    if likeness <= MAX_LIKENESS:
        return False
    warnings.warn(
        f"step {step}: a preview is nearly the same as its training clip (correlation of the "
        f"latents {likeness:.3f}); if the model should not learn clips by heart, stop here, or use "
        "more clips, a lower rank or fewer steps",
        stacklevel=2,
    )
    return True
