"""CLAP embeddings of texts and audio.

The FiLM vector of AudioLDM and the first source of AudioLDM 2's translator.

B texts or clips, D width of the joint space, L frames and F bins of CLAP's mel, N samples, C
channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..audio.mel import CLAP_RATE, clap_mel
from ..audio.ops import Samples, resample
from ..config.architecture import ModelConfig
from .base import ClipAudio, ClipInput, EncoderInputs, Encoders, has_text_mask, tokenize
from .encodings import Consumers, Encoding, Encodings

if TYPE_CHECKING:
    from transformers import ClapModel


class CLAPConditioner:
    """The CLAP vector of each prompt, moved towards an audio prompt's vector by its weight."""

    name = "clap"
    components = ("clap",)
    frozen_components = ("clap",)
    consumers = Consumers(film=True, source_position=0)

    def is_used_by(self, config: ModelConfig) -> bool:
        """Return whether the UNet takes a FiLM vector, or a translator reads CLAP's vector."""
        has_context = bool(config.unet.cross_attention_dims)
        return config.unet.film_dim is not None or (has_context and config.translator is not None)

    def clip_inputs(self, config: ModelConfig) -> tuple[ClipInput, ...]:
        """Return the caption, and the sound for AudioLDM 1 and for speech.

        AudioLDM trains on the vectors of sounds, AudioLDM 2 on those of captions. Its speech models
        hear the voice of a clip. A model whose CLAP has no audio encoder trains on captions, too.
        """
        reads_sound = config.translator is None or config.phonemes is not None
        trains_on_audio = reads_sound and config.can_rank
        return ("text", "audio") if trains_on_audio else ("text",)

    def encode(
        self,
        encoders: Encoders,
        inputs: Sequence[EncoderInputs],
        encodings: Sequence[Encodings],
    ) -> list[Encoding]:
        """Return a unit vector [B, D] for each batch."""
        results = []
        for batch in inputs:
            vectors = clap_text_embeds(encoders, _clap_texts(batch))
            results.append(Encoding(vector=_mix_clap(encoders, batch, vectors)))
        return results

    def encode_audio(self, encoders: Encoders, audio: ClipAudio) -> Encoding:
        """Return the unit vectors [B, D] of clips."""
        assert encoders.clap is not None
        # CLAP hears 48 kHz, whatever the model's rate is
        samples = torch.from_numpy(resample(audio.samples, audio.sample_rate, CLAP_RATE))
        return Encoding(vector=clap_audio_embeds(encoders.clap, clap_mel(samples)))


def clap_text_embeds(encoders: Encoders, texts: Sequence[str]) -> Tensor:
    """Return CLAP's unit vector of each text, [B, D] float32 (numerics: CLAP)."""
    clap, config = encoders.clap, encoders.config.clap
    assert clap is not None
    ids, mask = tokenize(clap, encoders.tokenizers["clap"], texts)
    if config is not None and not config.audio_depths:
        # a text tower alone, as in the converted folders of AudioLDM 1: its forward pass includes
        # the projection
        vectors: Tensor = clap(input_ids=ids, attention_mask=mask).text_embeds
    else:
        vectors = clap.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
    return normalize(vectors.float(), dim=-1)


def clap_audio_embeds(clap: ClapModel, mel: Tensor) -> Tensor:
    """Return CLAP's unit vectors [B, D] float32 of mels [B, 1, L, F] from `audio.mel.clap_mel`."""
    # a CLAP with four input channels reads four copies of a clip of up to 10 s
    channels = clap.config.audio_config.patch_embed_input_channels
    out = clap.get_audio_features(
        input_features=mel.expand(-1, channels, -1, -1),
        is_longer=torch.zeros(len(mel), 1, dtype=torch.bool),
    )
    return normalize(out.pooler_output.float(), dim=-1)


def embed_clips(encoders: Encoders, clips: Sequence[Samples], sample_rate: int) -> Tensor:
    """Return CLAP's unit vectors [B, D] float32 of clips.

    Args:
        encoders: A model with CLAP's audio tower.
        clips: Each [C, N] or [N]; channels are averaged.
        sample_rate: Of the clips, in Hz.

    Returns:
        One vector per clip. Short clips are padded as the reference implementation pads them.
    """
    clap = encoders.clap
    assert clap is not None
    device = next(clap.parameters()).device
    # the authors of AudioLDM 1 always repeated short clips
    padding = "repeatpad" if encoders.config.unet.is_audioldm1 else encoders.reference.clap_padding
    vectors = []
    for clip in clips:  # one by one: a batch of these mels takes a gigabyte and saves no time
        samples = resample(np.atleast_2d(clip).mean(axis=0), sample_rate, CLAP_RATE)
        spec = encoders.config.clap.mel if encoders.config.clap else None
        mel = clap_mel(torch.from_numpy(samples)[None], padding, spec).to(device)
        vectors.append(clap_audio_embeds(clap, mel))
    return torch.cat(vectors)


def _clap_texts(inputs: EncoderInputs) -> list[str]:
    """The texts, with the empty text in the place of those that dropout removes."""
    dropout = inputs.clap_dropout or (False,) * len(inputs.texts)
    return ["" if drop else text for text, drop in zip(inputs.texts, dropout, strict=True)]


def _mix_clap(encoders: Encoders, inputs: EncoderInputs, vectors: Tensor) -> Tensor:
    """Move the texts' vectors [B, D] towards the audio prompt's.

    An empty text is replaced by it.
    """
    prompt = inputs.audio_prompt
    has_text = has_text_mask(inputs, vectors)
    if prompt is None or not encoders.config.can_rank:
        return vectors
    if prompt.mode == "loa" and bool(has_text.all()):
        return vectors
    audio = embed_clips(encoders, [prompt.samples], prompt.sample_rate)
    weight = torch.where(has_text > 0, prompt.weight if prompt.mode == "clap" else 0.0, 1.0)
    return normalize(vectors + weight * (audio - vectors), dim=-1)
