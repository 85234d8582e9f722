"""The translator stage: L1 between generated and AudioMAE's language of audio.

See numerics: translator; AudioLDM 2 (arXiv 2308.05734, section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn.functional import l1_loss

from ...models.translator import Translator
from ...types import Context
from ..recipe import Probability, Weight
from .base import Losses, Preview, StageOptions
from .latent_stage import TRUE_LOA, LatentStage, LatentStageOptions

_SHOWN_DIMS = 32  # of the language of audio in a preview


class TranslatorLossWeights(StageOptions):
    """Weights of the translator's losses.

    Attributes:
        free_running: Weight of the loss of a sequence that the translator generates from its own
            outputs, as in inference. 0 skips the generation.
    """

    free_running: Weight = 1.0


class TranslatorOptions(LatentStageOptions):
    """Options of the translator stage.

    Attributes:
        weights: Weights of the losses.
        own_prediction_prob: Probability that a true vector, as an input, is replaced by the
            translator's own prediction of it. So it learns from its errors without generating
            (scheduled sampling in two passes, arXiv 1906.07651).
        own_prediction_passes: How often these predictions are made. Each pass reads those of the
            pass before, so with more of them the errors add up as in generation (arXiv
            1906.04331).
    """

    weights: TranslatorLossWeights = TranslatorLossWeights()
    own_prediction_prob: Probability = 0.0
    own_prediction_passes: int = Field(1, ge=1, le=512)


class TranslatorStage(LatentStage):
    """Train the translator alone. Trainables: "translator"."""

    Options = TranslatorOptions
    components = {"translator": "translator"}  # noqa: RUF012

    def setup(self) -> None:
        """Open the data and build the translator."""
        self.load_data()
        self.translator = cast(Translator, self.load_trainable("translator"))
        self.trainables = {"translator": self.translator}
        self.loss_weights = {"translator/free_running": self.options.weights.free_running}

    def losses(self, batch: dict[str, Tensor], trainable: str, generator: Generator) -> Losses:
        """Return the teacher-forced and the free-running L1."""
        sources = self.clip_encodings(batch).translator_sources()
        target = batch[TRUE_LOA]
        previous = self._mix_own(sources, target, generator)
        # One pass over the sequence, shifted by one token.
        teacher_forced = self.translator.teacher_forced(sources, previous).float()
        losses = {"translator/l1": l1_loss(teacher_forced, target)}
        if self.options.weights.free_running > 0:
            # The translator's own errors accumulate over the tokens, as in inference.
            generated = self.translator.generate(sources, target.shape[1]).tokens.float()
            losses["translator/free_running"] = l1_loss(generated, target)
        return losses

    @torch.no_grad()
    def _mix_own(self, sources: Sequence[Context], target: Tensor, generator: Generator) -> Tensor:
        """Replace some of the true vectors [B, n, D] by the translator's predictions of them."""
        probability = self.options.own_prediction_prob
        if probability == 0 or self.is_validating:
            return target
        draws = torch.rand(target.shape[:2], generator=generator, device=generator.device)
        is_own = (draws < probability).to(target.device)[..., None]
        mixed = target
        for _ in range(self.options.own_prediction_passes):
            own = self.translator.teacher_forced(sources, mixed).to(target.dtype)
            mixed = torch.where(is_own, own, target)
        return mixed

    def preview(self) -> Preview:
        """Return the language of audio of a few clips above what their captions generate.

        Time goes to the right; each clip has a row of tokens for each dimension.
        """
        batch = self.preview_batch(next(self.translator.parameters()).device)
        target = batch[TRUE_LOA]
        sources = self.caption_encodings(batch).translator_sources()
        generated = self.translator.generate(sources, target.shape[1]).tokens.float()
        both = torch.cat([target[:, :, :_SHOWN_DIMS], generated[:, :, :_SHOWN_DIMS]], dim=2)
        return Preview(maps={"language_of_audio": both.flatten(0, 1).T})
