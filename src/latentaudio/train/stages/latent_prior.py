"""The latent-prior stage: predict the mean latent of all clips that a caption describes.

Shapes: B batch, C T' F' latent, W D text tokens and width.
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor

from ...conditioning import collect, used_conditioners
from ...conditioning.base import EncoderInputs
from ...conditioning.encodings import Encoding, to_arrays
from ...data.concat_augment import ConcatPairs
from ...data.manifest import read_manifest
from ...data.pre_encoded import CAPTION_PREFIX, LATENT
from ...errors import ConfigError
from ...loaders.tokenizers import load_encoders
from ...models.latent_prior import LatentPrior
from ...types import Conditioning, cat_conditionings
from ..pre_encode import bucket_by_length
from .base import Batch, Losses, Preview
from .latent_stage import LatentStage, LatentStageOptions


class LatentPriorOptions(LatentStageOptions):
    """Options of the latent-prior stage.

    Attributes:
        concat_fraction: Fraction of a batch that is made of two concatenated clips, if clips of
            half the length exist.
        dropout: Dropout probability of the output of each block.
    """

    concat_fraction: float = Field(0.0, ge=0.0, lt=1.0)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)


class LatentPriorStage(LatentStage):
    """Train the latent prior. Trainables: "latent_prior"."""

    Options = LatentPriorOptions
    can_be_sharded = True
    components = {"latent_prior": "latent_prior"}  # noqa: RUF012

    def setup(self) -> None:
        """Open the data and build the latent prior."""
        self.load_data()
        self.latent_prior = cast(LatentPrior, self.load_trainable("latent_prior"))
        self.latent_prior.dropout.p = self.options.dropout
        self.trainables = {"latent_prior": self.latent_prior}
        if self.options.concat_fraction > 0:
            clips = bucket_by_length(read_manifest(*self.data), self.config)
            self.pairs = ConcatPairs(self.dataset, clips)
            if not self.pairs.lengths:
                raise ConfigError(
                    "options.concat_fraction needs clips that are half as long as others; "
                    "render more lengths, or set it to 0"
                )
            self._load_text_encoder()

    def _load_text_encoder(self) -> None:
        """Load what encodes the captions of concatenated pairs."""
        used = used_conditioners(self.config)
        [self.text] = [conditioner for conditioner in used if conditioner.consumers.latent_prior]
        modules = {name: self.load_frozen(name) for name in self.text.frozen_components}
        self.encoders = load_encoders(self.model_folder, self.config, modules)

    def batch(self, position: int) -> Batch:
        """Return latents and captions; see `PreEncodedDataset.batch`.

        A batch with concatenated pairs has the text states alone of its captions.
        """
        batch = super().batch(position)
        batch_size = len(batch[LATENT])
        num_pairs = round(self.options.concat_fraction * batch_size)
        if num_pairs == 0 or self.is_validating:
            return batch
        num_frames = batch[LATENT].shape[2] * self.config.vae.downsampling
        pairs = self.pairs.batch(self.recipe.seed, position, num_frames, num_pairs)
        if pairs is None:
            return batch
        num_single = batch_size - num_pairs
        single = {name: rows[:num_single] for name, rows in batch.items()}
        return self._append_pairs(single, *pairs)

    @torch.no_grad()
    def _append_pairs(
        self, single: dict[str, Tensor], latent: Tensor, captions: list[str]
    ) -> dict[str, Tensor]:
        inputs = EncoderInputs(tuple(captions), 0)
        [pair] = self.text.encode(self.encoders, [inputs], [collect(self.config)])
        # cat_conditionings pads the shorter texts and masks the padding.
        joined = cat_conditionings(
            Conditioning(contexts=(self.caption_encodings(single).text_states(),)),
            Conditioning(contexts=(pair.sequence,)).map(Tensor.cpu),
        )
        arrays = {LATENT: torch.cat([single[LATENT], latent])}
        text = Encoding(context=joined.contexts[0])
        for name, rows in to_arrays({self.text.name: text}).items():
            arrays[CAPTION_PREFIX + name] = rows
        return arrays

    def losses(self, batch: dict[str, Tensor], trainable: str, generator: Generator) -> Losses:
        """Return the squared error, whose minimum is the mean latent of a caption."""
        error = self._predict(batch).float() - batch[LATENT]
        return {"latent_prior/mse": error.square().mean()}

    def _predict(self, batch: dict[str, Tensor]) -> Tensor:
        text = self.caption_encodings(batch).text_states()
        prediction: Tensor = self.latent_prior(text, batch[LATENT].shape[2])
        return prediction

    def preview(self) -> Preview:
        """Return mels of a few clips beside those of their prior means."""
        batch = self.preview_batch(next(self.latent_prior.parameters()).device)
        return self.comparison_preview("prior_means", batch[LATENT], self._predict(batch))
