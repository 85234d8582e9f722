"""The draft: squared error to the encoded latents of the clips that a caption describes.

Knows its loss, and how clips in pairs come into a batch. Refuses to know how they are made.
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor

from ...conditioning.base import TextParts, t5_states
from ...conditioning.tokenizer import Tokenizer
from ...data.concat_augment import Pairs
from ...data.manifest import read_manifest
from ...errors import ConfigError
from ...loaders.model_folder import TOKENIZER_FILE
from ...models.latent_prior import Draft
from ...types import Conditioning, Context, cat_conditionings
from ..pre_encode import by_length
from .base import Batch, Losses, Preview
from .latent_stage import EncodedOptions, EncodedStage


class DraftOptions(EncodedOptions):
    """dropout: share of what each block adds that is left out.

    pairs: share of a batch that is put together from two clips, one after the other, where there are clips half as long.
    """

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
            if not self.pairs.lengths:
                raise ConfigError(
                    "options.pairs joins clips half as long as others, and there are none: render more lengths"
                )
            self.texts = self._texts()

    def _texts(self) -> TextParts:
        """T5, to read the captions of pairs."""
        assert self.config.t5 is not None, "a draft reads T5's states"
        tokens = Tokenizer.from_file(self.model / TOKENIZER_FILE, self.config.t5.length)
        return TextParts(self.config, {"t5": self.given("t5")}, t5_tokens=tokens)

    def batch(self, position: int) -> Batch:
        """See `Encoded.batch`; latent, text and text_mask alone where some of its clips are pairs."""
        batch = super().batch(position)
        length, size = batch["latent"].shape[2] * self.config.vae.factor, len(batch["latent"])
        count = round(self.options.pairs * size)
        pairs = self.pairs.draw(self.recipe.seed, position, length, count) if count else None
        if pairs is None:
            return batch
        single = {name: batch[name][: size - count] for name in ("latent", "text", "text_mask")}
        return self._joined(single, *pairs)

    @torch.no_grad()
    def _joined(
        self, single: dict[str, Tensor], latent: Tensor, captions: list[str]
    ) -> dict[str, Tensor]:
        there, said = Context(single["text"], single["text_mask"]), t5_states(self.texts, captions)
        [text] = cat_conditionings(
            Conditioning(None, (there,)), Conditioning(None, (said,)).map(Tensor.cpu)
        ).contexts
        return {
            "latent": torch.cat([single["latent"], latent]),
            "text": text.tokens,
            "text_mask": text.mask,
        }

    def losses(self, batch: dict[str, Tensor], player: str, dice: Generator) -> Losses:
        return {"draft/mse": (self._drawn(batch).float() - batch["latent"]).square().mean()}

    def _drawn(self, batch: dict[str, Tensor]) -> Tensor:
        drawn: Tensor = self.draft(
            Context(batch["text"], batch["text_mask"]), batch["latent"].shape[2]
        )
        return drawn

    def preview(self) -> Preview:
        """Mels of a few clips beside those of their drafts."""
        batch = self.few(next(self.draft.parameters()).device)
        return self.beside("drafts", batch["latent"], self._drawn(batch))
