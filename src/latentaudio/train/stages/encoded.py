"""What stages on pre-encoded data share: their batches, and a picture of latents. Refuses to know what is learned from them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from ...data.encoded import Encoded
from ...nn.vae import VAE
from ...types import Latent
from ..encode import encoded_folder
from . import Batch, Preview, Stage

PREVIEW_CLIPS = 4


class EncodedStage(Stage):
    """A stage whose options have `frames`, the mel frames of a whole batch; `setup` calls `read` first."""

    def read(self) -> None:
        """The encoded data and the folder it lies in, encoded now where that is missing."""
        self.folder = encoded_folder(self.data, self.model, self.config, self.prepared)
        self.encoded = Encoded(self.folder)

    def batch(self, step: int, micro: int) -> Batch:
        """See `Encoded.batch`."""
        recipe = self.recipe
        return self.encoded.batch(recipe.seed, step * recipe.accumulate + micro, self.options.frames)

    def few(self, device: torch.device) -> dict[str, Tensor]:
        """The first clips of the first batch, to be previewed."""
        return {k: v[:PREVIEW_CLIPS].to(device) for k, v in self.encoded.batch(0, 0, self.options.frames).items()}

    def beside(self, name: str, real: Tensor, made: Tensor) -> Preview:
        """Mels of true latents [B, C, T', F'] and next to them those of the made ones."""
        vae = cast(VAE, self.given("vae")).to(real.device)
        mels = (vae.decode(Latent(z)).float().cpu() for z in (real, made))
        return Preview(pictures={name: torch.cat([torch.cat([r[0], m[0]], dim=1) for r, m in zip(*mels, strict=True)])})
