"""The translator alone: teacher-forced L1 on AudioMAE's language of audio (spec 6.6). Knows its loss, nothing else."""

from __future__ import annotations

from typing import cast

from torch import Generator, Tensor
from torch.nn.functional import l1_loss

from ...models.translator import Translator
from .base import Losses
from .latent_stage import EncodedOptions, EncodedStage, sources_of


class TranslatorOptions(EncodedOptions):
    """free: weight of the loss of the free-running sequence (spec 6.6's AR loss)."""

    free: float = 1.0


class TranslatorStage(EncodedStage):
    """Player: the translator."""

    Options = TranslatorOptions
    parts = {"translator": "translator"}  # noqa: RUF012

    def setup(self) -> None:
        self.read()
        self.translator = cast(Translator, self.learnt("translator"))
        self.players = {"translator": self.translator}
        self.weights = {"translator/free": self.options.free}

    def losses(self, batch: dict[str, Tensor], player: str, dice: Generator) -> Losses:
        sources, truth = sources_of(batch), batch["loa"]
        losses = {"translator/l1": l1_loss(self.translator.teacher(sources, truth).float(), truth)}
        if self.options.free > 0:
            losses["translator/free"] = l1_loss(
                self.translator.generate(sources, truth.shape[1]).tokens.float(), truth
            )
        return losses
