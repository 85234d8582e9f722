"""The draft: squared error to the encoded latents of the clips that a caption describes.

Knows its loss, and how clips in pairs come into a batch. Refuses to know how they are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn.functional import pad

from ...conditioning.encode import TextParts, t5_states
from ...conditioning.tokenize import Tokenizer
from ...data.manifest import read_manifest
from ...data.pairs import Pairs
from ...nn.draft import Draft
from ...types import Context
from ...weights.folder import TOKENIZER_FILE
from ..encode import by_length
from . import Batch, Losses, Preview, StageOptions
from .encoded import EncodedStage

if TYPE_CHECKING:
    from transformers import T5EncoderModel


class DraftOptions(StageOptions):
    """frames: mel frames of a whole batch. dropout: share of what each block adds that is left out.

    pairs: share of a batch that is put together from two clips, one after the other, where there are clips half as long.
    """

    frames: int = 32768
    pairs: float = Field(0.0, ge=0.0, lt=1.0)
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
        if self.options.pairs > 0:
            self.pairs = Pairs(self.encoded, by_length(read_manifest(*self.data), self.config))
            self.texts = self._texts()

    def _texts(self) -> TextParts:
        """T5, to read the captions of pairs."""
        assert self.config.t5 is not None, "a draft reads T5's states"
        tokens = Tokenizer.from_file(self.model / TOKENIZER_FILE, self.config.t5.length)
        return TextParts(self.config, t5=cast("T5EncoderModel", self.given("t5")), t5_tokens=tokens)

    def batch(self, step: int, micro: int) -> Batch:
        """See `Encoded.batch`; latent, text and text_mask alone where some of its clips are pairs."""
        recipe, frames = self.recipe, self.options.frames
        if self.options.pairs == 0:
            return super().batch(step, micro)
        position = step * recipe.accumulate + micro
        single = self.encoded.batch(recipe.seed, position, round(frames * (1 - self.options.pairs)))
        length = single["latent"].shape[2] * self.config.vae.factor
        pairs = self.pairs.draw(recipe.seed, position, length, frames // length - len(single["latent"]))
        return single if pairs is None else self._joined(single, *pairs)

    @torch.no_grad()
    def _joined(self, single: dict[str, Tensor], latent: Tensor, captions: list[str]) -> dict[str, Tensor]:
        said = t5_states(self.texts, captions)
        texts, masks = (single["text"], said.tokens.cpu()), (single["text_mask"], said.mask.cpu())
        longest = max(mask.shape[1] for mask in masks)
        return {
            "latent": torch.cat([single["latent"], latent]),
            "text": torch.cat([pad(x, (0, 0, 0, longest - x.shape[1])) for x in texts]),
            "text_mask": torch.cat([pad(x, (0, longest - x.shape[1])) for x in masks]),
        }

    def losses(self, batch: dict[str, Tensor], player: str, dice: Generator) -> Losses:
        return {"draft/mse": (self._drawn(batch).float() - batch["latent"]).square().mean()}

    def _drawn(self, batch: dict[str, Tensor]) -> Tensor:
        drawn: Tensor = self.draft(Context(batch["text"], batch["text_mask"]), batch["latent"].shape[2])
        return drawn

    def preview(self) -> Preview:
        """Mels of a few clips beside those of their drafts."""
        batch = self.few(next(self.draft.parameters()).device)
        return self.beside("drafts", batch["latent"], self._drawn(batch))
