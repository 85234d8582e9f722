"""The AudioMAE stage: reconstruct masked patches of Kaldi filter banks (arXiv 2207.06405)."""

from __future__ import annotations

from typing import cast

from torch import Generator, Tensor

from ...audio.mel import kaldi_fbank
from ...config.streams import Stream
from ...data.dataset import batch_indices, read_crops, seeded_generator
from ...errors import ConfigError
from ...models.audiomae import AudioMAE
from .base import Losses, Stage, StageOptions

_SAMPLE_RATE = 16000  # Hz
_SAMPLES_PER_FRAME = 160  # 10 ms


class AudioMAEOptions(StageOptions):
    """Options of the AudioMAE stage.

    Attributes:
        crop_frames: Filter-bank frames of a crop, 10 ms each.
        mask_ratio: Fraction of patches that are masked.
    """

    crop_frames: int = 512
    mask_ratio: float = 0.8


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

    def losses(self, batch: Tensor, trainable: str, generator: Generator) -> Losses:
        """Return the squared error of the masked patches (arXiv 2111.06377, section 3)."""
        loss, _, _ = self.audiomae.reconstruct(batch, self.options.mask_ratio, generator)
        return {"audiomae/mse": loss}
