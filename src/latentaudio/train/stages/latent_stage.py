"""What stages on pre-encoded data share: their batches, and a picture of latents. Refuses to know what is learned from them."""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Tensor

from ...data.pre_encoded import Encoded
from ...models.vae import VAE
from ...types import Context, Latent
from ..pre_encode import encoded_folder
from .base import Batch, Preview, Stage, StageOptions

PREVIEW_CLIPS = 4


class EncodedOptions(StageOptions):
    """frames: mel frames of a whole batch, in place of the recipe's `batch`: shorter clips come in larger batches."""

    frames: int = Field(32768, gt=0)


class EncodedStage(Stage):
    """A stage whose options are `EncodedOptions`; `setup` calls `read` first."""

    Options = EncodedOptions

    def read(self) -> None:
        """The encoded data and the folder it lies in, encoded now where that is missing."""
        self.folder = encoded_folder(self.data, self.model, self.config, self.prepared)
        self.encoded = Encoded(self.folder)

    def batch(self, position: int) -> Batch:
        """See `Encoded.batch`."""
        return self.encoded.batch(self.recipe.seed, position, self.options.frames)

    def few(self, device: torch.device) -> dict[str, Tensor]:
        """The first clips of the first batch, to be previewed."""
        return {
            k: v[:PREVIEW_CLIPS].to(device)
            for k, v in self.encoded.batch(0, 0, self.options.frames).items()
        }

    def beside(self, name: str, real: Tensor, made: Tensor) -> Preview:
        """Mels of true latents [B, C, T', F'] and next to them those of the made ones."""
        vae = cast(VAE, self.given("vae")).to(real.device)
        mels = (vae.decode(Latent(z)).float().cpu() for z in (real, made))
        return Preview(
            pictures={
                name: torch.cat(
                    [torch.cat([r[0], m[0]], dim=1) for r, m in zip(*mels, strict=True)]
                )
            }
        )


def sources_of(batch: dict[str, Tensor]) -> tuple[Context, ...]:
    """What the translator reads: the CLAP text vector as one token, then the caption's T5 states (spec 6.3)."""
    return Context.full(batch["clap_text"][:, None]), Context(batch["text"], batch["text_mask"])
