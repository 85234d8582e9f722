"""The draft: squared error to the encoded latents of the clips that a caption describes. Knows its loss, nothing else."""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor

from ...data.encoded import Encoded
from ...nn.draft import Draft
from ...nn.vae import VAE
from ...types import Context, Latent
from ..encode import encoded_folder
from . import Batch, Losses, Preview, Stage, StageOptions

PREVIEW_CLIPS = 4


class DraftOptions(StageOptions):
    """frames: mel frames of a whole batch. dropout: share of what each block adds that is left out."""

    frames: int = 32768
    dropout: float = Field(0.0, ge=0.0, lt=1.0)


class DraftStage(Stage):
    """Player: the draft."""

    Options = DraftOptions
    parts = {"draft": "draft"}  # noqa: RUF012

    def setup(self) -> None:
        self.encoded = Encoded(encoded_folder(self.data, self.model, self.config, self.prepared))
        self.draft = cast(Draft, self.learnt("draft"))
        self.draft.dropout.p = self.options.dropout
        self.players = {"draft": self.draft}

    def batch(self, step: int, micro: int) -> Batch:
        """See `Encoded.batch`."""
        recipe = self.recipe
        return self.encoded.batch(recipe.seed, step * recipe.accumulate + micro, self.options.frames)

    def losses(self, batch: dict[str, Tensor], player: str, dice: Generator) -> Losses:
        return {"draft/mse": (self._drawn(batch).float() - batch["latent"]).square().mean()}

    def _drawn(self, batch: dict[str, Tensor]) -> Tensor:
        drawn: Tensor = self.draft(Context(batch["text"], batch["text_mask"]), batch["latent"].shape[2])
        return drawn

    def preview(self) -> Preview:
        """Mels of a few clips beside those of their drafts."""
        device = next(self.draft.parameters()).device
        batch = {k: v[:PREVIEW_CLIPS].to(device) for k, v in self.encoded.batch(0, 0, self.options.frames).items()}
        vae = cast(VAE, self.given("vae")).to(device)
        real, drawn = (vae.decode(Latent(z)).float().cpu() for z in (batch["latent"], self._drawn(batch)))
        return Preview(
            pictures={"drafts": torch.cat([torch.cat([r[0], d[0]], dim=1) for r, d in zip(real, drawn, strict=True)])}
        )
