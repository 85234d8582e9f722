"""The AudioMAE stage: reconstruct masked patches of Kaldi filter banks (arXiv 2207.06405)."""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn.functional import fold, unfold

from ...audio.mel import kaldi_fbank
from ...config.streams import Stream
from ...data.dataset import batch_indices, read_crops, seeded_generator
from ...errors import ConfigError
from ...models.audiomae import AudioMAE
from ..recipe import Count
from .base import Losses, Preview, Stage, StageOptions

_SAMPLE_RATE = 16000  # Hz
_SAMPLES_PER_FRAME = 160  # 10 ms
_NUM_PREVIEW_CLIPS = 4


class AudioMAEOptions(StageOptions):
    """Options of the AudioMAE stage.

    Attributes:
        crop_frames: Filter-bank frames of a crop, 10 ms each.
        mask_ratio: Fraction of patches that are masked.
    """

    crop_frames: Count = 512
    mask_ratio: float = Field(0.8, gt=0, lt=1)


class AudioMAEStage(Stage):
    """Train the encoder and decoder of AudioMAE. Trainables: "audiomae"."""

    Options = AudioMAEOptions
    components = {"audiomae": "audiomae"}  # noqa: RUF012

    def setup(self) -> None:
        """Read the manifest and build the autoencoder."""
        assert self.config.audiomae is not None
        patch_size = self.config.audiomae.patch_size
        if self.options.crop_frames % patch_size:
            raise ConfigError(
                f"options.crop_frames must be a multiple of {patch_size}, "
                f"not {self.options.crop_frames}"
            )
        if not self.config.audiomae.decoder_num_layers:
            raise ConfigError(
                "the AudioMAE of --init-from has no decoder, as in published models; "
                "train one without --init-from"
            )
        self.read_clips()
        self.audiomae = cast(AudioMAE, self.load_trainable("audiomae"))
        self.trainables = {"audiomae": self.audiomae}

    def batch(self, position: int) -> Tensor:
        """Return normalized filter banks [B, 1, crop_frames, F]."""
        recipe = self.recipe
        num_frames = self.options.crop_frames
        indices = batch_indices(len(self.clips), recipe.batch_size, recipe.seed, position)
        generator = seeded_generator(recipe.seed, Stream.AUDIOMAE_CROPS, position)
        num_samples = num_frames * _SAMPLES_PER_FRAME
        samples = read_crops(self.clips, indices, _SAMPLE_RATE, num_samples, generator)
        return kaldi_fbank(samples, num_frames)

    def preview(self) -> Preview:
        """Return filter banks of a few clips above what the autoencoder fills in for the mask."""
        config = self.audiomae.config
        device = next(self.audiomae.parameters()).device
        fbank = self.batch(0)[:_NUM_PREVIEW_CLIPS].to(device)
        generator = torch.Generator().manual_seed(0)
        _, prediction, mask = self.audiomae.reconstruct(fbank, self.options.mask_ratio, generator)
        side = config.patch_size
        patches = unfold(fbank, side, stride=side).transpose(1, 2)
        variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
        # predictions are of patches that are normalized one by one
        filled = prediction.float() * (variance + 1e-6).sqrt() + mean
        filled = torch.where(mask[..., None] > 0, filled, patches)
        rows = fold(filled.transpose(1, 2), fbank.shape[2:], side, stride=side)
        both = torch.cat([fbank, rows], dim=3)[:, 0].flatten(0, 1)
        return Preview(maps={"reconstruction_of_masked": both.T.flip(0)})

    def losses(self, batch: Tensor, trainable: str, generator: Generator) -> Losses:
        """Return the squared error of the masked patches (arXiv 2111.06377, section 3)."""
        loss, _, _ = self.audiomae.reconstruct(batch, self.options.mask_ratio, generator)
        return {"audiomae/mse": loss}
