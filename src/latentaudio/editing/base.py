"""An edit's source and its plan: what goes into a planner and what comes out.

Letters: N samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..audio.ops import Samples
from ..conditioning.base import AudioPrompt
from ..types import LatentEdit
from .drawn_mask import MaskPixels
from .inputs import SourceAudio


@dataclass(frozen=True)
class EditPlan:
    """What an edit asks of the engine: before sampling, during it, and after decoding.

    Attributes:
        latent_edit: The latent of the source, the noise level that the sampler starts from, and the
            mask of the cells that it generates.
        postprocess: Puts decoded samples [1, N] into the source, and returns the result [1, N].
        context_audio: The source and the mask of its latent frames, for in-context continuation of
            the language of audio; None if the edit does not use it.
    """

    latent_edit: LatentEdit
    postprocess: Callable[[Samples], Samples]
    context_audio: AudioPrompt | None = None


@dataclass(frozen=True)
class EditSource:
    """The source of an edit as a planner sees it.

    Attributes:
        audio: Samples [1, N], and their checksum.
        mask: Decoded drawn mask of an inpainting edit, or None.
    """

    audio: SourceAudio
    mask: MaskPixels | None = None

    def duration(self, sample_rate: int) -> float:
        """Return the duration of the source in seconds."""
        num_samples: int = self.audio.samples.shape[1]
        return num_samples / sample_rate
