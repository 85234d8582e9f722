"""Base of stages that train on pre-encoded latents.

Shapes: B batch, C T' F' latent, T F mel frames and bands.
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Tensor

from ...data.pre_encoded import PreEncodedDataset
from ...models.vae import VAE
from ...types import Context, Latent
from ..pre_encode import pre_encode
from .base import Batch, Preview, Stage, StageOptions

_NUM_PREVIEW_CLIPS = 4


class LatentStageOptions(StageOptions):
    """Options of all stages on latents.

    Attributes:
        frames_per_batch: Mel frames of a whole batch, instead of the recipe's `batch_size`:
            shorter clips come in larger batches.
    """

    frames_per_batch: int = Field(32768, gt=0)


class LatentStage(Stage):
    """A stage on latents. Its `setup` calls `load_data` first."""

    Options = LatentStageOptions

    def load_data(self) -> None:
        """Open the pre-encoded data, which is computed now if it does not exist."""
        self.dataset_folder = pre_encode(self.data, self.model_folder, self.config, self.on_prepare)
        self.dataset = PreEncodedDataset(self.dataset_folder)

    def batch(self, position: int) -> Batch:
        """Return a batch of clips of one length. See `PreEncodedDataset.batch`."""
        return self.dataset.batch(self.recipe.seed, position, self.options.frames_per_batch)

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


def translator_sources(batch: dict[str, Tensor]) -> tuple[Context, ...]:
    """Return the translator's inputs (numerics: translator).

    These are the CLAP text vector as one token and the T5 states of the caption.

    Args:
        batch: Arrays of a pre-encoded batch.
    """
    clap_token = Context.unmasked(batch["clap_text"][:, None])
    return clap_token, Context(batch["text"], batch["text_mask"])
