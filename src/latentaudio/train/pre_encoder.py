"""The frozen components of a model that make the arrays of a pre-encoded data set.

Shapes: B batch, C T' F' latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.mel import vae_mel
from ..conditioning import encode_audio, encode_captions, used_conditioners
from ..conditioning.base import ClipAudio, EncoderInputs
from ..conditioning.encodings import Encodings, to_arrays
from ..config.architecture import ModelConfig
from ..data.dataset import read_window
from ..data.manifest import Clip
from ..data.pre_encoded import (
    AUDIO_PREFIX,
    LATENT,
    LATENT_LOGVAR,
    Arrays,
    concatenate,
    pack_captions,
)
from ..errors import ConfigError
from ..loaders.model_folder import load_component
from ..loaders.tokenizers import load_encoders

if TYPE_CHECKING:
    from ..models.vae import VAE

TRANSCRIPT_KEY = "transcript"
"""Key of the spoken words in a line of a manifest."""


@dataclass(frozen=True)
class ClipRow:
    """One clip, or one window of it, as it is encoded.

    Attributes:
        clip: The clip.
        captions: As many captions as all clips of the data set have.
        start: First sample, at the clip's own rate: a long clip gives several windows.
        repeats: How often an epoch has the row.
        key: Hash of everything that the encoded row depends on beside the encoders.
    """

    clip: Clip
    captions: tuple[str, ...]
    start: int = 0
    repeats: int = 1
    key: str = ""

    @property
    def transcript(self) -> str | None:
        """The spoken words, or None."""
        transcript = self.clip.record.get(TRANSCRIPT_KEY)
        return str(transcript) if transcript else None


def frozen_components(config: ModelConfig) -> tuple[str, ...]:
    """Return the components beside the VAE that encode clips before a training.

    Args:
        config: Architecture of the model.

    Raises:
        ConfigError: The model lacks one of them.
    """
    names: dict[str, None] = {}
    for conditioner in used_conditioners(config):
        if conditioner.clip_inputs(config):
            names |= dict.fromkeys(conditioner.frozen_components)
    missing = [name for name in names if getattr(config, name, None) is None]
    if missing:
        raise ConfigError(
            f"this model cannot be trained: its configuration has no {missing[0]}, which encodes "
            f"the clips; choose a model whose configuration has {missing[0]}"
        )
    return tuple(names)


class PreEncoder:
    """Encodes clips and captions with the weights of a model folder."""

    def __init__(self, model_folder: Path, config: ModelConfig) -> None:
        """Load the components.

        Args:
            model_folder: Folder of the model.
            config: Architecture of the model.
        """
        self.config = config
        self.vae = cast("VAE", load_component(model_folder, "vae", config))
        modules: dict[str, nn.Module] = {}
        for component in frozen_components(config):
            modules[component] = load_component(model_folder, component, config)
        self.encoders = load_encoders(model_folder, config, modules)

    @torch.no_grad()
    def encode_audio(self, rows: Sequence[ClipRow], num_frames: int) -> Arrays:
        """Encode the audio of a batch.

        Args:
            rows: B clips.
            num_frames: Length of the clips in mel frames.

        Returns:
            `latent` [B, C, T', F'], the mode of the VAE's posterior; `latent_logvar`, the logarithm
            of its variance; and an `audio/` array for each conditioner that reads sound.
        """
        spec = self.config.mel
        num_samples = num_frames * spec.hop_length
        crops = []
        for row in rows:
            crops.append(read_window(row.clip, spec.sample_rate, num_samples, row.start))
        samples = np.stack(crops)
        mel = vae_mel(torch.from_numpy(samples), spec)
        posterior = self.vae.encode(mel)
        arrays = {
            LATENT: self.vae.normalize(posterior.mode()).z,
            LATENT_LOGVAR: posterior.logvar - 2 * torch.log(self.vae.latent_std),
        }
        audio = ClipAudio(samples, spec.sample_rate, num_frames)
        for name, values in to_arrays(encode_audio(self.encoders, audio)).items():
            if not name.endswith(".mask"):  # all tokens are real
                arrays[AUDIO_PREFIX + name] = values
        return arrays

    @torch.no_grad()
    def encode_captions(self, rows: Sequence[ClipRow]) -> Arrays:
        """Encode all captions of a batch, those of the first clip first.

        Args:
            rows: Clips.

        Returns:
            A `caption/` array for each conditioner that reads texts or transcripts.
        """
        captions: list[str] = []
        transcripts: list[str | None] = []
        for row in rows:
            captions += row.captions
            transcripts += [row.transcript] * len(row.captions)
        inputs = EncoderInputs(tuple(captions), 0, transcripts=tuple(transcripts))
        return pack_captions(to_arrays(encode_captions(self.encoders, inputs)))

    def encode_rows(
        self, rows: Sequence[ClipRow], num_frames: int, sounds: Sequence[Arrays | None]
    ) -> Arrays:
        """Return all arrays of a batch, in half precision.

        Args:
            rows: B clips.
            num_frames: Length of the clips in mel frames.
            sounds: The arrays of each clip's sound, if it was encoded before.
        """
        new = [row for row, sound in zip(rows, sounds, strict=True) if sound is None]
        encoded = iter(_rows(self.encode_audio(new, num_frames), len(new)) if new else ())
        audio = concatenate([next(encoded) if sound is None else sound for sound in sounds])
        captions = {name: _half(values) for name, values in self.encode_captions(rows).items()}
        return audio | captions

    def encode_empty_caption(self) -> Encodings:
        """Return the encodings of one clip without caption and transcript.

        Gradients are on: without them PyTorch's last bits differ from those of older runs.
        """
        return encode_captions(self.encoders, EncoderInputs(("",), 0, is_unconditional=True))

    def zero_conditioners(self) -> tuple[str, ...]:
        """Return the conditioners that read sound alone: their unconditional form is zeros."""
        names = []
        for conditioner in used_conditioners(self.config):
            if conditioner.clip_inputs(self.config) == ("audio",):
                names.append(conditioner.name)
        return tuple(names)


def _rows(arrays: Arrays, count: int) -> list[Arrays]:
    """Split arrays with `count` rows into rows [1, ...], in half precision."""
    halves = {name: _half(values) for name, values in arrays.items()}
    rows = []
    for index in range(count):
        rows.append({name: values[index : index + 1] for name, values in halves.items()})
    return rows


def _half(values: Tensor) -> Tensor:
    return values.half() if values.is_floating_point() else values
