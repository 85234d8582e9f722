"""The draft: squared error to the encoded latents of the clips that a caption describes. Knows its loss, nothing else."""

from __future__ import annotations

from typing import cast

from pydantic import Field
from torch import Generator, Tensor

from ...nn.draft import Draft
from ...types import Context
from . import Losses, Preview, StageOptions
from .encoded import EncodedStage


class DraftOptions(StageOptions):
    """frames: mel frames of a whole batch. dropout: share of what each block adds that is left out."""

    frames: int = 32768
    dropout: float = Field(0.0, ge=0.0, lt=1.0)


class DraftStage(EncodedStage):
    """Player: the draft."""

    Options = DraftOptions
    parts = {"draft": "draft"}  # noqa: RUF012

    def setup(self) -> None:
        self.read()
        self.draft = cast(Draft, self.learnt("draft"))
        self.draft.dropout.p = self.options.dropout
        self.players = {"draft": self.draft}

    def losses(self, batch: dict[str, Tensor], player: str, dice: Generator) -> Losses:
        return {"draft/mse": (self._drawn(batch).float() - batch["latent"]).square().mean()}

    def _drawn(self, batch: dict[str, Tensor]) -> Tensor:
        drawn: Tensor = self.draft(Context(batch["text"], batch["text_mask"]), batch["latent"].shape[2])
        return drawn

    def preview(self) -> Preview:
        """Mels of a few clips beside those of their drafts."""
        batch = self.few(next(self.draft.parameters()).device)
        return self.beside("drafts", batch["latent"], self._drawn(batch))
