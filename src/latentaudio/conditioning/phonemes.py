"""Phoneme states of transcripts: the text context of speech models.

B transcripts, N tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..config.architecture import ModelConfig
from ..types import Context
from .base import EncoderInputs, Encoding, TextEncoders
from .g2p import transcript_to_ids


class PhonemeConditioner:
    """One context token per phoneme of the transcript.

    It takes the place of T5 in speech models.
    """

    name = "phonemes"
    components = ("phonemes",)
    context_position = 1  # behind the language of audio

    def is_used_by(self, config: ModelConfig) -> bool:
        """Return whether this is a speech model whose UNet takes contexts."""
        return bool(config.unet.cross_attention_dims) and config.phonemes is not None

    def encode(
        self,
        encoders: TextEncoders,
        inputs: Sequence[EncoderInputs],
        encodings: Sequence[Mapping[str, Encoding]],
    ) -> list[Encoding]:
        """Return the phoneme states of each batch; masked zeros without transcripts."""
        results = []
        for batch in inputs:
            if batch.transcripts is None:
                # sound without speech
                states = empty_transcripts(encoders, len(batch.texts))
            else:
                states = encode_transcripts(encoders, batch.transcripts)
            results.append(Encoding(context=states))
        return results


def encode_transcripts(encoders: TextEncoders, transcripts: Sequence[str]) -> Context:
    """Return the phoneme encoder's states of each transcript, [B, N, D], with their mask.

    Source of formula and constants: (numerics: phonemes).
    """
    encoder, config = encoders.phonemes, encoders.config.phonemes
    assert encoder is not None and config is not None
    ids = torch.cat([transcript_to_ids(text, config.max_length) for text in transcripts])
    states: Context = encoder(ids.to(next(encoder.parameters()).device))
    return states


def empty_transcripts(encoders: TextEncoders, count: int) -> Context:
    """Return the states of `count` missing transcripts: masked zeros [B, N, D].

    Source of formula and constants: (numerics: guidance).
    """
    assert encoders.config.phonemes is not None and encoders.phonemes is not None
    like = next(encoders.phonemes.parameters())
    length = encoders.config.phonemes.max_length
    width = encoders.config.phonemes.hidden_size
    return Context(like.new_zeros(count, length, width), like.new_zeros(count, length))
