"""Base of stages that train on pre-encoded latents.

Shapes: B batch, C T' F' latent, T F mel frames and bands.
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Tensor

from ...conditioning import collect
from ...conditioning.encodings import Encodings, from_arrays
from ...config.architecture import ModelConfig
from ...data.pre_encoded import AUDIO_PREFIX, CAPTION_PREFIX, PreEncodedDataset, arrays_of
from ...models.vae import VAE
from ...types import Latent
from ..pre_encode import pre_encode
from .base import Batch, Preview, Stage, StageOptions

LOA = "language_of_audio"
"""The conditioner that AudioMAE computes from a clip, and the translator from its caption."""
TRUE_LOA = f"{AUDIO_PREFIX}{LOA}.tokens"
"""Array of a batch with AudioMAE's language of audio [B, L, D]."""
GENERATED_LOA = f"{CAPTION_PREFIX}{LOA}.tokens"
"""Array of a batch with the translator's language of audio [B, L, D]."""
_NUM_PREVIEW_CLIPS = 4


class LatentStageOptions(StageOptions):
    """Options of all stages on latents.

    Attributes:
        frames_per_batch: Mel frames of a whole batch, instead of the recipe's `batch_size`:
            shorter clips come in larger batches.
        sample_posterior: Whether latents are samples of the VAE's posterior, with other noise in
            each batch. If not, they are its mode.
    """

    frames_per_batch: int = Field(32768, gt=0)
    sample_posterior: bool = False


class LatentStage(Stage):
    """A stage on latents. Its `setup` calls `load_data` first."""

    Options = LatentStageOptions

    def load_data(self) -> None:
        """Open the pre-encoded data, which is computed now if it does not exist."""
        self.open_dataset()

    def open_dataset(self) -> None:
        """Set `dataset` and `dataset_folder`."""
        self.dataset_folder = pre_encode(
            self.data, self.model_folder, self.encoded_config(), self.on_prepare
        )
        self.dataset = PreEncodedDataset(self.dataset_folder, self.options.sample_posterior)

    def encoded_config(self) -> ModelConfig:
        """Return the configuration that the clips are encoded with."""
        return self.config

    def batch(self, position: int) -> Batch:
        """Return a batch of clips of one length. See `PreEncodedDataset.batch`."""
        return self.dataset.batch(self.recipe.seed, position, self.options.frames_per_batch)

    def caption_encodings(self, batch: dict[str, Tensor]) -> Encodings:
        """Return the encodings of a batch's captions, as generation has them.

        Args:
            batch: Arrays of a pre-encoded batch.
        """
        return collect(self.config, from_arrays(arrays_of(batch, CAPTION_PREFIX)))

    def clip_encodings(self, batch: dict[str, Tensor]) -> Encodings:
        """Return the encodings that describe a batch's clips.

        An encoding of the sound takes the place of the caption's.

        Args:
            batch: Arrays of a pre-encoded batch.
        """
        audio = from_arrays(arrays_of(batch, AUDIO_PREFIX))
        return self.caption_encodings(batch).replaced(audio)

    def preview_batch(self, device: torch.device) -> dict[str, Tensor]:
        """Return the first clips of the first batch of seed 0.

        Args:
            device: Device of the result.
        """
        batch = self.dataset.batch(0, 0, self.options.frames_per_batch)
        return {name: rows[:_NUM_PREVIEW_CLIPS].to(device) for name, rows in batch.items()}

    def comparison_preview(self, name: str, target: Tensor, generated: Tensor) -> Preview:
        """Return an image of decoded mels, clips side by side, generated ones above their targets.

        Args:
            name: Name of the image.
            target: Latents [B, C, T', F'] of the data.
            generated: Latents of the network, of the same shape.
        """
        vae = cast(VAE, self.load_frozen("vae")).to(target.device)
        target_mels = vae.decode(Latent(target)).float().cpu()
        generated_mels = vae.decode(Latent(generated)).float().cpu()
        both = torch.cat([target_mels[:, 0], generated_mels[:, 0]], dim=2)
        return Preview(images={name: both.flatten(0, 1)})
