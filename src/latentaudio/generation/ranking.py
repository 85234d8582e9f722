"""Ranks candidates by CLAP: how well audio matches a text.

Letters: K clips, M texts, C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..audio.ops import Samples
from ..conditioning.base import TextEncoders
from ..conditioning.clap import clap_text_embeds, embed_clips
from ..errors import UsageError


@torch.inference_mode()
def similarity(
    text_encoders: TextEncoders, audio: Sequence[Samples], sample_rate: int, texts: Sequence[str]
) -> NDArray[np.float32]:
    """Return cosine similarities of CLAP embeddings (arXiv 2211.06687).

    Args:
        text_encoders: Encoders of a system with CLAP's audio tower.
        audio: Clips, each [C, N] or [N]; channels are averaged.
        sample_rate: Sample rate of the clips in Hz.
        texts: Texts.

    Returns:
        Similarities [K, M] in [-1, 1].

    Raises:
        UsageError: The system has no CLAP audio encoder.
    """
    if text_encoders.clap is None or not text_encoders.config.can_rank:
        raise UsageError(
            "this model has no CLAP audio encoder to rank candidates with; set candidates to 1"
        )
    audio_embeds = embed_clips(text_encoders, audio, sample_rate)
    return (audio_embeds @ clap_text_embeds(text_encoders, texts).T).cpu().numpy()
