"""Whether generated clips are copies of training clips.

Two latents are compared by the cosine of their differences from the mean of the training clips. A
model that has learned a clip by heart generates it with a cosine near 1. How similar different
training clips are depends on the sound, so the limit lies between them and a copy.

K generated clips, N training clips, C T' F' latent.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MAX_CLIPS = 512  # compared at most; more do not change the limit much
_QUANTILE = 0.9  # of the training clips' similarity to their nearest other clip
_LIMIT = 0.5  # of the way from that quantile to 1


def nearest_similarities(generated: Tensor, training: Tensor) -> Tensor:
    """Return the similarity [K] of each generated latent to the nearest training latent.

    Args:
        generated: [K, C, T', F'].
        training: [N, C, T', F'].
    """
    mean = training.mean(dim=0, keepdim=True)
    return _cosines(generated - mean, training - mean).amax(dim=1)


def copy_limit(training: Tensor) -> float:
    """Return the similarity from which a generated latent counts as a copy.

    Args:
        training: [N, C, T', F'], two clips or more.
    """
    training = training[:_MAX_CLIPS]
    centered = training - training.mean(dim=0, keepdim=True)
    cosines = _cosines(centered, centered)
    cosines.fill_diagonal_(-1.0)
    typical = float(torch.quantile(cosines.amax(dim=1), _QUANTILE))
    return typical + _LIMIT * (1 - typical)


def _cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosines [K, N] of latents."""
    a = torch.nn.functional.normalize(first.float().flatten(1), dim=1)
    b = torch.nn.functional.normalize(second.float().flatten(1), dim=1)
    return a @ b.T
