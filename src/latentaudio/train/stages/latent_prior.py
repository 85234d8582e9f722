"""The latent-prior stage: predict the mean latent of all clips that a caption describes.

Shapes: B batch, C T' F' latent, W D text tokens and width.
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor

from ...conditioning.base import TextEncoders
from ...conditioning.t5 import t5_states
from ...conditioning.tokenizer import Tokenizer
from ...data.concat_augment import ConcatPairs
from ...data.manifest import read_manifest
from ...errors import ConfigError
from ...loaders.model_folder import TOKENIZER_FILE
from ...models.latent_prior import LatentPrior
from ...types import Conditioning, Context, cat_conditionings
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
            self.text_encoders = self._load_text_encoders()

    def _load_text_encoders(self) -> TextEncoders:
        """Return T5, which encodes the captions of concatenated pairs."""
        assert self.config.t5 is not None, "the latent prior reads T5 states"
        tokenizer_file = self.model_folder / TOKENIZER_FILE
        tokenizer = Tokenizer.from_file(tokenizer_file, self.config.t5.max_length)
        return TextEncoders(self.config, {"t5": self.load_frozen("t5")}, t5_tokenizer=tokenizer)

    def batch(self, position: int) -> Batch:
        """Return `latent`, `text` and `text_mask`; see `PreEncodedDataset.batch`.

        A batch without concatenated pairs has all arrays of the data set.
        """
        batch = super().batch(position)
        batch_size = len(batch["latent"])
        num_pairs = round(self.options.concat_fraction * batch_size)
        if num_pairs == 0:
            return batch
        num_frames = batch["latent"].shape[2] * self.config.vae.downsampling
        pairs = self.pairs.batch(self.recipe.seed, position, num_frames, num_pairs)
        if pairs is None:
            return batch
        num_single = batch_size - num_pairs
        single = {name: batch[name][:num_single] for name in ("latent", "text", "text_mask")}
        return self._append_pairs(single, *pairs)

    @torch.no_grad()
    def _append_pairs(
        self, single: dict[str, Tensor], latent: Tensor, captions: list[str]
    ) -> dict[str, Tensor]:
        pair_text = t5_states(self.text_encoders, captions)
        # cat_conditionings pads the shorter texts and masks the padding.
        joined = cat_conditionings(
            Conditioning(contexts=(Context(single["text"], single["text_mask"]),)),
            Conditioning(contexts=(pair_text,)).map(Tensor.cpu),
        )
        [text] = joined.contexts
        return {
            "latent": torch.cat([single["latent"], latent]),
            "text": text.tokens,
            "text_mask": text.mask,
        }

    def losses(self, batch: dict[str, Tensor], trainable: str, generator: Generator) -> Losses:
        """Return the squared error, whose minimum is the mean latent of a caption."""
        error = self._predict(batch).float() - batch["latent"]
        return {"latent_prior/mse": error.square().mean()}

    def _predict(self, batch: dict[str, Tensor]) -> Tensor:
        text = Context(batch["text"], batch["text_mask"])
        prediction: Tensor = self.latent_prior(text, batch["latent"].shape[2])
        return prediction

    def preview(self) -> Preview:
        """Return mels of a few clips beside those of their prior means."""
        batch = self.preview_batch(next(self.latent_prior.parameters()).device)
        return self.comparison_preview("prior_means", batch["latent"], self._predict(batch))
