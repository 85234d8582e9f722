"""From prompts to conditioning: the conditioners and `encode`.

A table of conditioners, `encode`, which runs those that a model uses, and `encode_captions` and
`encode_audio`, which run those whose results are stored before a training.

To add an encoder, of images for example, write one file with a class that has the members of
`base.Conditioner`. Add one row to `CONDITIONERS`, a field for its input to `EncoderInputs` if it
reads more than texts, and its context width to the UNet's config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch

from ..config.architecture import ModelConfig
from ..types import Conditioning
from .base import AudioConditioner, ClipAudio, Conditioner, EncoderInputs, Encoders
from .clap import CLAPConditioner
from .encodings import Encoding, Encodings
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


def used_conditioners(config: ModelConfig) -> tuple[Conditioner, ...]:
    """Return the conditioners of a model, in the order they run."""
    return tuple(conditioner for conditioner in CONDITIONERS if conditioner.is_used_by(config))


def collect(config: ModelConfig, encodings: Mapping[str, Encoding] | None = None) -> Encodings:
    """Return the encodings of a batch as the model's networks read them.

    Args:
        config: The model's architecture.
        encodings: Encodings by conditioner. None: none yet.
    """
    consumers = {
        conditioner.name: conditioner.consumers for conditioner in used_conditioners(config)
    }
    return Encodings(consumers, encodings)


@torch.no_grad()
def complete(
    encoders: Encoders, inputs: Sequence[EncoderInputs], encodings: Sequence[Encodings]
) -> None:
    """Add the encodings that are missing. Generation has none, training has those it stored.

    Each conditioner encodes all batches before the next one is loaded.

    Args:
        encoders: The model's networks and tokenizers.
        inputs: One entry per batch.
        encodings: The encodings of each batch. All batches have those of the same conditioners.
    """
    for conditioner in used_conditioners(encoders.config):
        if any(conditioner.name in batch for batch in encodings):
            continue
        results = conditioner.encode(encoders, inputs, encodings)
        for batch, result in zip(encodings, results, strict=True):
            batch.add(conditioner.name, result)


def encode(encoders: Encoders, inputs: Sequence[EncoderInputs]) -> list[Conditioning]:
    """Encode batches of prompts for the UNet.

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
    encodings = [collect(encoders.config) for _ in inputs]
    complete(encoders, inputs, encodings)
    return [batch.conditioning(encoders.config.unet) for batch in encodings]


def encode_captions(encoders: Encoders, inputs: EncoderInputs) -> Encodings:
    """Return the encodings of captions and transcripts that training stores.

    Args:
        encoders: The networks of `frozen_components`, and the tokenizers.
        inputs: The captions of a batch.
    """
    encodings = collect(encoders.config)
    for conditioner in used_conditioners(encoders.config):
        if not {"text", "transcript"}.isdisjoint(conditioner.clip_inputs(encoders.config)):
            [encoding] = conditioner.encode(encoders, [inputs], [encodings])
            encodings.add(conditioner.name, encoding)
    return encodings


def encode_audio(encoders: Encoders, audio: ClipAudio) -> Encodings:
    """Return the encodings of the sound of clips that training stores.

    Args:
        encoders: The networks of `frozen_components`.
        audio: The clips.
    """
    encodings = collect(encoders.config)
    for conditioner in used_conditioners(encoders.config):
        if "audio" in conditioner.clip_inputs(encoders.config):
            encoding = cast(AudioConditioner, conditioner).encode_audio(encoders, audio)
            encodings.add(conditioner.name, encoding)
    return encodings


def encode_prompts(
    encoders: Encoders,
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
    encoders: Encoders,
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
