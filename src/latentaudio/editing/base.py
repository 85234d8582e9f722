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
    """The inputs of the engine for one edit.

    Attributes:
        latent_edit: Where the sampler starts and which cells it generates.
        postprocess: Maps generated samples [1, N] to the result [1, N].
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
        return self.audio.samples.shape[1] / sample_rate
