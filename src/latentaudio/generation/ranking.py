"""Best of n: how well sounds match texts, in CLAP's eyes. Knows CLAP's two towers; refuses to know how sounds are made.

Letters: K sounds, M texts, T samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..audio.ops import Samples
from ..conditioning.base import TextParts, clap_sounds, clap_vectors
from ..errors import UsageError


@torch.inference_mode()
def similarity(
    parts: TextParts, sounds: Sequence[Samples], rate: int, texts: Sequence[str]
) -> NDArray[np.float32]:
    """Cosines [K, M] between CLAP's vectors of the sounds, each [C, T] or [T] at `rate` (channels averaged), and of the texts.

    Raises UsageError where the system has no CLAP.
    """
    if parts.clap is None or not parts.config.ranks:
        raise UsageError(
            "this model has no CLAP that hears, to choose among candidates; ask for one candidate"
        )
    return (clap_sounds(parts, sounds, rate) @ clap_vectors(parts, texts).T).cpu().numpy()
