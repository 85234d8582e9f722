"""The joint stage: UNet and translator together, on pre-encoded latents.

See numerics: training; AudioLDM 2 (arXiv 2308.05734, section 3.4).

Shapes: B batch, L D tokens and width of the language of audio.
"""

from __future__ import annotations

from typing import cast

from torch import Generator, Tensor, nn
from torch.nn.functional import l1_loss

from ...errors import ConfigError
from ...models.translator import Translator
from ..recipe import Probability, Weight
from .base import Losses, StageOptions
from .diffusion import DiffusionOptions, DiffusionStage
from .latent_stage import TRUE_LOA


class JointLossWeights(StageOptions):
    """Weights of the joint stage's losses. The UNet's loss has weight 1.

    Attributes:
        translator: Weight of the translator's own L1.
    """

    translator: Weight = 1.0


class JointOptions(DiffusionOptions):
    """Options of the joint stage.

    Attributes:
        true_loa_prob: See `LatentDiffusionOptions`.
        weights: Weights of the losses.
    """

    true_loa_prob: Probability = 0.25
    weights: JointLossWeights = JointLossWeights()


class JointStage(DiffusionStage):
    """Train UNet and translator together (arXiv 2308.05734, section 3.4). Trainables: "model".

    Gradients of the UNet's loss reach the translator through the language of audio it generates.
    """

    Options = JointOptions
    can_be_sharded = False  # the translator is not called, but asked to generate
    components = {"unet": "model.unet", "translator": "model.translator"}  # noqa: RUF012

    def setup(self) -> None:
        """Open the data and build both networks."""
        if self.options.loa_pools:
            raise ConfigError(
                "options.loa_pools belongs to the stage diffusion: the translator of the stage "
                "joint generates with one pooling only; remove it"
            )
        self.load_data()
        self.loss_weights = {"translator/l1": self.options.weights.translator}
        self.translator = cast(Translator, self.load_trainable("translator"))
        # One trainable with one optimizer: the gradient norm of both is clipped together.
        model = nn.ModuleDict({"unet": self.unet, "translator": self.translator})
        self.trainables = {"model": model}

    def losses(self, batch: dict[str, Tensor], trainable: str, generator: Generator) -> Losses:
        """Return the translator's teacher-forced L1 and the UNet's loss."""
        sources = self.clip_encodings(batch).translator_sources()
        true_loa = batch[TRUE_LOA]
        teacher_forced = self.translator.teacher_forced(sources, true_loa).float()
        losses = {"translator/l1": l1_loss(teacher_forced, true_loa)}
        if self.options.true_loa_prob < 1:
            # Free-running as in inference, with gradients through every generated token.
            generated_loa = self.translator.generate(sources, true_loa.shape[1]).tokens.float()
        else:
            generated_loa = true_loa
        loa = self.switch_loa(true_loa, generated_loa, generator)
        return losses | self.denoising_losses(batch, loa, generator)

    def preview_loa(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the language of audio that the translator generates now."""
        num_tokens = batch[TRUE_LOA].shape[1]
        sources = self.clip_encodings(batch).translator_sources()
        return self.translator.generate(sources, num_tokens).tokens.float()
