"""The fine-tuning stage: a trained model learns new sounds and keeps the old ones.

The UNet and the latent prior, if the model has one, learn together: a UNet alone hardly learns
while the prior still predicts the mean of other sounds. Each step also has old clips, which the
model could already make. This is the prior preservation of DreamBooth (arXiv 2208.12242, section
3.2).

Shapes: B batch, C T' F' latent.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from ...conditioning.base import Encoders
from ...conditioning.encodings import Encodings
from ...data.manifest import read_manifest
from ...data.pre_encoded import LATENT, PreEncodedDataset
from ...errors import ConfigError
from ...loaders.adapters import AdapterCard, captions_hash
from ...models.latent_prior import LatentPrior
from ...models.vae import VAE
from ...types import Latent
from ..memorization import copy_limit, nearest_similarities
from .base import Batch, Losses, Preview
from .diffusion import DiffusionOptions, DiffusionStage

_MIN_COMPARED = 4  # training clips of the preview's length, to know how similar they are


class FinetuneOptions(DiffusionOptions):
    """Options of the fine-tuning stage.

    Attributes:
        old_data: Folders, among those of the run's data, with clips of sounds that the model knows.
            Without them it forgets.
        old_share: Share of the old clips in each step and in its loss.
        train_latent_prior: Whether the latent prior learns, too. A model without one ignores it.
        latent_prior_weight: Weight of the latent prior's loss. The UNet's loss has weight 1.
        true_loa_prob: See `LatentDiffusionOptions`.
    """

    old_data: tuple[str, ...] = ()
    old_share: float = Field(0.5, gt=0, lt=1)
    train_latent_prior: bool = True
    latent_prior_weight: float = Field(1.0, ge=0, le=1e3)
    true_loa_prob: float = Field(0.25, ge=0, le=1)


class FinetuneStage(DiffusionStage):
    """Train UNet and latent prior on new clips, with a share of old ones. Trainables: "model"."""

    Options = FinetuneOptions
    can_be_sharded = False

    def setup(self) -> None:
        """Open both kinds of data and build the networks."""
        old = {Path(folder).resolve() for folder in self.options.old_data}
        is_old = [Path(str(source)).resolve() in old for source in self.data]
        pairs = list(zip(self.data, is_old, strict=True))
        self.new_data = tuple(source for source, known in pairs if not known)
        self.old_data = tuple(source for source, known in pairs if known)
        if len(self.old_data) != len(old) or (self.data and not self.new_data):
            raise ConfigError(
                "options.old_data must name some of the folders of --data, and leave one for new "
                "sounds; name all folders with --data"
            )
        all_data = self.data
        self.old_dataset: PreEncodedDataset | None = None
        if self.old_data:
            self.data = self.old_data
            self.open_dataset()
            self.translate_captions()
            self.old_dataset = self.dataset
        self.data = self.new_data
        super().setup()
        self.data = all_data
        modules: dict[str, nn.Module] = {"unet": self.unet}
        self.latent_prior: LatentPrior | None = None
        if self.config.latent_prior is not None and self.options.train_latent_prior:
            self.latent_prior = cast(LatentPrior, self.load_trainable("latent_prior"))
            modules["latent_prior"] = self.latent_prior
            # the UNet is conditioned on what the prior predicts now
            self.frozen.pop("latent_prior", None)
            frozen = {**self.frozen, "latent_prior": self.latent_prior}
            self.encoders = Encoders(self.config, frozen)
        if self.recipe.adapter is None:
            self.components = {name: f"model.{name}" for name in modules}
        self.trainables = {"model": nn.ModuleDict(modules)}
        self._set_loss_weights()

    def _set_loss_weights(self) -> None:
        old_weight = self.options.old_share if self.old_dataset is not None else 0.0
        for part, weight in (("new", 1 - old_weight), ("old", old_weight)):
            self.loss_weights[f"unet/{part}"] = weight
            self.loss_weights[f"latent_prior/{part}"] = weight * self.options.latent_prior_weight

    def batch(self, position: int) -> Batch:
        """Return new clips and, in the same step, old ones; each part has clips of one length."""
        frames = self.options.frames_per_batch
        seed = self.recipe.seed
        if self.old_dataset is None:
            return {"new": self.dataset.batch(seed, position, frames)}
        num_old = round(frames * self.options.old_share)
        return {
            "new": self.dataset.batch(seed, position, frames - num_old),
            "old": self.old_dataset.batch(seed, position, num_old),
        }

    def clip_names(self, position: int) -> tuple[str, ...]:
        """Return the new and the old clips of a micro-batch, for messages."""
        frames = self.options.frames_per_batch
        if self.old_dataset is None:
            return self.names_in(self.dataset, self.new_data, position, frames)
        num_old = round(frames * self.options.old_share)
        new = self.names_in(self.dataset, self.new_data, position, frames - num_old)
        return new + self.names_in(self.old_dataset, self.old_data, position, num_old)

    def losses(self, batch: dict[str, Any], trainable: str, generator: Generator) -> Losses:
        """Return the errors of UNet and latent prior on new and old clips."""
        losses: Losses = {}
        for part, rows in batch.items():
            loa = self.select_loa(rows, generator)
            losses[f"unet/{part}"] = self.denoising_losses(rows, loa, generator)["unet/mse"]
            if self.latent_prior is not None:
                text = self.caption_encodings(rows).text_states()
                mean = self.latent_prior(text, rows[LATENT].shape[2])
                error = mean.float() - rows[LATENT]
                losses[f"latent_prior/{part}"] = error.square().mean()
        return losses

    def complete_encodings(self, batch: dict[str, Tensor], loa: Tensor | None) -> Encodings:
        """Return all encodings; the UNet's loss does not reach the latent prior."""
        with torch.no_grad():
            return super().complete_encodings(batch, loa)

    def comparison_preview(self, name: str, target: Tensor, generated: Tensor) -> Preview:
        """Return images and audio of generated clips; warn if they are copies of training clips.

        Args:
            name: Name of the image.
            target: Latents [B, C, T', F'] of the data.
            generated: Latents of the network, of the same shape.
        """
        preview = super().comparison_preview(name, target, generated)
        if self.has_component("vocoder"):
            vae = cast(VAE, self.frozen["vae"])
            vocoder = self.load_frozen("vocoder").to(generated.device)
            mels = vae.decode(Latent(generated)).float()
            for index, samples in enumerate(vocoder(mels).reshape(len(mels), -1)):
                preview.audio[f"{name}_{index}"] = samples
            preview.sample_rate = self.config.mel.sample_rate
        self._warn_of_copies(generated)
        return preview

    def _warn_of_copies(self, generated: Tensor) -> None:
        num_frames = generated.shape[2] * self.config.vae.downsampling
        for bucket in self.dataset.buckets:
            if bucket.num_frames != num_frames or bucket.num_clips < _MIN_COMPARED:
                continue
            training = bucket.rows(LATENT, list(range(bucket.num_clips)))
            similarity = float(nearest_similarities(generated.cpu(), training).max())
            limit = copy_limit(training)
            if similarity > limit:
                warnings.warn(
                    f"a preview is nearly a copy of a training clip (similarity {similarity:.2f}, "
                    f"limit {limit:.2f}): the model learns the clips by heart; use more clips, or "
                    "fewer steps",
                    stacklevel=2,
                )

    def complete_card(self, card: AdapterCard) -> AdapterCard:
        """Return the adapter's card with the captions of the new clips."""
        clips = read_manifest(*self.new_data)
        captions = [caption for clip in clips for caption in clip.captions]
        return replace(
            card,
            captions_hash=captions_hash(captions),
            num_clips=len(clips),
            steps=self.recipe.steps,
        )
