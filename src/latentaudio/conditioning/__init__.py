"""From prompts to conditioning: the conditioners and `encode`.

A table of conditioners, and `encode`, which runs those that a model uses.

To add an encoder, of images for example, write one file with a class that has the members of
`base.Conditioner`. Add one row to `CONDITIONERS`, a field for its input to `EncoderInputs`, and its
context width to the UNet's config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..config.architecture import ModelConfig
from ..types import Conditioning, Context
from .base import Conditioner, EncoderInputs, Encoding, TextEncoders
from .clap import CLAPConditioner
from .language_of_audio import LanguageOfAudioConditioner
from .latent_prior import LatentPriorConditioner
from .phonemes import PhonemeConditioner
from .t5 import T5Conditioner

CONDITIONERS: tuple[Conditioner, ...] = (
    CLAPConditioner(),
    PhonemeConditioner(),
    T5Conditioner(),
    LatentPriorConditioner(),
    LanguageOfAudioConditioner(),
)
"""All conditioners, in the order they run; the later ones read the results of the earlier ones."""


@torch.no_grad()
def encode(encoders: TextEncoders, inputs: Sequence[EncoderInputs]) -> list[Conditioning]:
    """Encode batches of prompts for the UNet.

    Each conditioner encodes all batches before the next one is loaded.

    AudioLDM: CLAP's vector as FiLM input. AudioLDM 2: the language of audio, generated from CLAP's
    vector and T5's states, then the states themselves. The T5 model: the states alone. Speech: the
    language of audio, from CLAP's vector and phonemes.

    Args:
        encoders: The model's networks and tokenizers.
        inputs: One entry per batch. The empty text is the unconditional side of guidance (numerics:
            guidance). Its latent prior is zeros. Its language of audio is zeros or generated, as
            `encoders.reference` requires.

    Returns:
        One conditioning per batch.
    """
    encodings: list[dict[str, Encoding]] = [{} for _ in inputs]
    for conditioner in CONDITIONERS:
        # such a model does not have its components
        if not conditioner.is_used_by(encoders.config):
            continue
        results = conditioner.encode(encoders, inputs, encodings)
        for collected, result in zip(encodings, results, strict=True):
            collected[conditioner.name] = result
    return [_assemble(encoders.config, collected) for collected in encodings]


def _assemble(config: ModelConfig, encodings: Mapping[str, Encoding]) -> Conditioning:
    """Arrange the results of all conditioners in the places that the UNet reads them from."""
    film: Tensor | None = None
    prior: Tensor | None = None
    contexts: dict[int, Context] = {}
    for conditioner in CONDITIONERS:
        encoding = encodings.get(conditioner.name, Encoding())
        if encoding.vector is not None and config.unet.film_dim is not None:
            film = encoding.vector
        if encoding.context is not None and conditioner.context_position is not None:
            contexts[conditioner.context_position] = encoding.context
        if encoding.latent is not None:
            prior = encoding.latent
    ordered = tuple(contexts[position] for position in sorted(contexts))
    # the UNet of speech models reads the language of audio only; the phonemes are a source of their
    # translator
    return Conditioning(film, ordered[: len(config.unet.cross_attention_dims)], prior)


def encode_prompts(
    encoders: TextEncoders,
    texts: Sequence[str],
    num_loa_tokens: int,
    num_latent_frames: int = 0,
    transcripts: Sequence[str] | None = None,
) -> Conditioning:
    """Encode one batch of prompts; see `EncoderInputs` for the arguments."""
    spoken_texts = None if transcripts is None else tuple(transcripts)
    inputs = EncoderInputs(tuple(texts), num_loa_tokens, num_latent_frames, spoken_texts)
    return encode(encoders, [inputs])[0]


def encode_unconditional(
    encoders: TextEncoders,
    count: int,
    num_loa_tokens: int,
    num_latent_frames: int = 0,
    negative_prompts: Sequence[str] | None = None,
    t5_length: int | None = None,
) -> Conditioning:
    """Encode the unconditional side of guidance for `count` prompts.

    Args:
        encoders: The model's networks and tokenizers.
        count: Number of prompts.
        num_loa_tokens: As in `EncoderInputs`.
        num_latent_frames: As in `EncoderInputs`.
        negative_prompts: One for each prompt. None: empty texts.
        t5_length: Number of tokens of the prompts' T5 states, for a reference implementation that
            pads to it.

    Returns:
        The conditioning of the empty or negative prompts.
    """
    texts = ("",) * count if negative_prompts is None else tuple(negative_prompts)
    assert len(texts) == count, f"{len(texts)} negative prompts for {count} prompts"
    # only diffusers pads the empty text to the prompt's length
    length = t5_length if encoders.reference.pad_uncond else None
    inputs = EncoderInputs(
        texts, num_loa_tokens, num_latent_frames, t5_length=length, is_unconditional=True
    )
    return encode(encoders, [inputs])[0]
