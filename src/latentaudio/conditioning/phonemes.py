"""Phoneme states of transcripts: the text context of speech models.

B transcripts, N tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..config.architecture import ModelConfig
from ..types import Context
from .base import ClipInput, EncoderInputs, Encoders
from .encodings import Consumers, Encoding, Encodings
from .g2p import transcript_to_ids


class PhonemeConditioner:
    """One context token per phoneme of the transcript.

    It takes the place of T5 in speech models.
    """

    name = "phonemes"
    components = ("phonemes",)
    frozen_components = ("phonemes",)
    # behind the language of audio, and behind CLAP's vector
    consumers = Consumers(context_position=1, source_position=1, latent_prior=True)

    def is_used_by(self, config: ModelConfig) -> bool:
        """Return whether this is a speech model whose UNet takes contexts."""
        return bool(config.unet.cross_attention_dims) and config.phonemes is not None

    def clip_inputs(self, config: ModelConfig) -> tuple[ClipInput, ...]:
        """Return the transcript."""
        return ("transcript",)

    def encode(
        self,
        encoders: Encoders,
        inputs: Sequence[EncoderInputs],
        encodings: Sequence[Encodings],
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


def encode_transcripts(encoders: Encoders, transcripts: Sequence[str | None]) -> Context:
    """Return the phoneme encoder's states of each transcript, [B, N, D], with their mask.

    Those of a clip without speech, whose transcript is None, are masked zeros.

    Source of formula and constants: (numerics: phonemes).
    """
    encoder, config = encoders.phonemes, encoders.config.phonemes
    assert encoder is not None and config is not None
    ids = torch.cat([transcript_to_ids(text or "", config.max_length) for text in transcripts])
    states: Context = encoder(ids.to(next(encoder.parameters()).device))
    if None not in transcripts:
        return states
    # an empty text has states too; clips without speech must have zeros
    has_speech = states.mask.new_tensor([text is not None for text in transcripts])[:, None]
    return Context(states.tokens * has_speech[..., None], states.mask * has_speech)


def empty_transcripts(encoders: Encoders, count: int) -> Context:
    """Return the states of `count` missing transcripts: masked zeros [B, N, D].

    Source of formula and constants: (numerics: guidance).
    """
    assert encoders.config.phonemes is not None and encoders.phonemes is not None
    like = next(encoders.phonemes.parameters())
    length = encoders.config.phonemes.max_length
    width = encoders.config.phonemes.hidden_size
    return Context(like.new_zeros(count, length, width), like.new_zeros(count, length))
