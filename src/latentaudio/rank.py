"""Best of n: how well a sound matches a text, in CLAP's eyes. Knows CLAP's two towers; refuses to know how sounds are made.

Letters: K sounds, T samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .audio.mel import CLAP_RATE, clap_mel
from .audio.ops import Samples, resample
from .conditioning.encode import TextParts, clap_audio_vectors, clap_vectors
from .errors import UsageError


@torch.inference_mode()
def scores(parts: TextParts, sounds: Sequence[Samples], rate: int, text: str) -> list[float]:
    """Cosine in [-1, 1] between CLAP's vector of each sound [C, T] at `rate` (channels averaged) and that of the text.

    Raises UsageError where the system has no CLAP.
    """
    if parts.clap is None:
        raise UsageError("this model has no CLAP to choose among candidates; ask for candidates=1")
    device = next(parts.clap.parameters()).device
    heard = [torch.from_numpy(resample(np.atleast_2d(sound).mean(axis=0), rate, CLAP_RATE))[None] for sound in sounds]
    vectors = clap_audio_vectors(parts.clap, torch.cat([clap_mel(sound) for sound in heard]).to(device))
    return [float(score) for score in vectors @ clap_vectors(parts, [text])[0]]
