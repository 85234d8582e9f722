"""The language of audio: AudioMAE features of a clip that a prompt describes.

A translator generates them from the text, or AudioMAE computes them from an audio prompt.

arXiv 2308.05734. B prompts, N text tokens, n tokens of the language of audio, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..audio.mel import AUDIOMAE_RATE, kaldi_fbank
from ..audio.ops import Samples, resample
from ..config.architecture import ModelConfig
from ..types import Context, LanguageOfAudio
from .base import AudioPrompt, ClipAudio, ClipInput, EncoderInputs, Encoders, has_text_mask
from .encodings import Consumers, Encoding, Encodings


class LanguageOfAudioConditioner:
    """The language of audio of each prompt; an audio prompt's own features replace or begin it."""

    name = "language_of_audio"
    components = ("audiomae", "translator")
    frozen_components = ("audiomae",)
    consumers = Consumers(context_position=0)  # the UNet's first context

    def is_used_by(self, config: ModelConfig) -> bool:
        """Return whether the model has a translator."""
        return bool(config.unet.cross_attention_dims) and config.translator is not None

    def clip_inputs(self, config: ModelConfig) -> tuple[ClipInput, ...]:
        """Return the sound, from which AudioMAE computes the translator's target."""
        return ("audio",)

    def encode(
        self,
        encoders: Encoders,
        inputs: Sequence[EncoderInputs],
        encodings: Sequence[Encodings],
    ) -> list[Encoding]:
        """Return n tokens for each clip of each batch.

        AudioMAE runs for all batches before the translator is loaded.
        """
        features: list[LanguageOfAudio | None] = []
        for batch in inputs:
            prompt = batch.audio_prompt
            features.append(
                encode_language_of_audio(encoders, prompt, batch.num_loa_tokens) if prompt else None
            )
        results = []
        for batch, previous, known in zip(inputs, encodings, features, strict=True):
            sources = previous.translator_sources()
            results.append(Encoding(context=_loa(encoders, batch, sources, known)))
        return results

    def encode_audio(self, encoders: Encoders, audio: ClipAudio) -> Encoding:
        """Return AudioMAE's features of clips."""
        loa = _audiomae_features(encoders, audio.samples, audio.sample_rate, audio.num_frames)
        return Encoding(context=loa)


def encode_language_of_audio(
    encoders: Encoders, prompt: AudioPrompt, num_tokens: int
) -> LanguageOfAudio | None:
    """Return AudioMAE's features of an audio prompt (numerics: language of audio).

    Args:
        encoders: A model with AudioMAE.
        prompt: The audio; silence follows where it ends before the clip.
        num_tokens: n, the number of tokens.

    Returns:
        Tokens [1, n, D] whose mask is 1 for those that the prompt supplies. None if the prompt's
        mode is "clap".
    """
    if prompt.mode != "loa":
        return None
    config = encoders.config
    assert config.audiomae is not None and config.translator is not None
    patch = config.audiomae.patch_size
    # tokens are time-major
    rows = num_tokens // (config.audiomae.n_mels // patch // config.translator.freq_pool)
    num_frames = rows * patch * config.translator.time_pool
    mono = prompt.samples.reshape(1, -1)
    loa = _audiomae_features(encoders, mono, prompt.sample_rate, num_frames)
    known = loa.mask
    if prompt.mask is not None:  # the translator fills the tokens that are masked out
        known = 1 - loa.mask.new_tensor([prompt.mask], dtype=loa.mask.dtype)
    return LanguageOfAudio(loa.tokens.float(), known, "audio")


def _audiomae_features(
    encoders: Encoders, samples: Samples, sample_rate: int, num_frames: int
) -> LanguageOfAudio:
    """AudioMAE's features of samples [B, T], pooled as the translator generates them."""
    audiomae = encoders.audiomae
    translator = encoders.config.translator
    assert audiomae is not None and translator is not None
    resampled = torch.from_numpy(resample(samples, sample_rate, AUDIOMAE_RATE))
    fbank = kaldi_fbank(resampled, num_frames).to(next(audiomae.parameters()))
    return audiomae.language_of_audio(fbank, translator.time_pool, translator.freq_pool)


def _loa(
    encoders: Encoders,
    inputs: EncoderInputs,
    sources: tuple[Context, ...],
    known: LanguageOfAudio | None,
) -> Context:
    """The language of audio of one batch, from translator, audio prompt, or both."""
    translator = encoders.translator
    prompt = inputs.audio_prompt
    assert translator is not None
    num_tokens = inputs.num_loa_tokens
    count_padding = encoders.reference.position_ids == "all"
    # text alone, or a masked prompt: the translator generates, around what is known
    if prompt is None or known is None or prompt.mask is not None:
        loa = translator.generate(sources, num_tokens, count_padding, known)
    elif prompt.weight == 1.0:  # the audio alone: nothing to generate
        count = len(inputs.texts)
        return Context(known.tokens.expand(count, -1, -1), known.mask.expand(count, -1))
    else:
        loa = translator.generate(sources, num_tokens, count_padding)
        # a text with weight, against the audio; an empty text leaves the audio alone
        weight = torch.where(has_text_mask(inputs, loa.tokens) > 0, prompt.weight, 1.0)
        return Context(loa.tokens + weight * (known.tokens - loa.tokens), loa.mask)
    if inputs.is_unconditional and encoders.reference.uncond_loa == "zeros":
        # the authors' choice for the empty text; a negative prompt keeps its tokens, or it would
        # have no effect
        return Context(loa.tokens * has_text_mask(inputs, loa.tokens), loa.mask)
    return loa
