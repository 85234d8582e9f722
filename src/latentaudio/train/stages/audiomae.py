"""AudioMAE (spec 7, arXiv 2207.06405): rebuild hidden patches of Kaldi filterbanks. Knows losses and crops, nothing else."""

from __future__ import annotations

from typing import cast

from torch import Generator, Tensor

from ...audio.mel import kaldi_fbank
from ...data.dataset import crops, dice, draw
from ...data.manifest import read_manifest
from ...errors import ConfigError
from ...models.audiomae import AudioMAE
from .base import Losses, Stage, StageOptions


class AudioMAEOptions(StageOptions):
    """frames: fbank frames of a crop (10 ms each). mask_ratio: share of hidden patches."""

    frames: int = 512
    mask_ratio: float = 0.8


class AudioMAEStage(Stage):
    """Player: the autoencoder."""

    Options = AudioMAEOptions
    parts = {"audiomae": "audiomae"}  # noqa: RUF012

    def setup(self) -> None:
        assert self.config.audiomae is not None
        if self.options.frames % self.config.audiomae.patch:
            raise ConfigError(
                f"options.frames must be a multiple of {self.config.audiomae.patch}, not {self.options.frames}"
            )
        if not self.config.audiomae.decoder_depth:
            raise ConfigError(
                "the AudioMAE of --init has lost its decoder, as those that ship do: train one without --init"
            )
        self.clips = read_manifest(*self.data)
        self.audiomae = cast(AudioMAE, self.learnt("audiomae"))
        self.players = {"audiomae": self.audiomae}

    def batch(self, position: int) -> Tensor:
        """Normalised filterbanks [B, 1, frames, F]."""
        recipe, frames = self.recipe, self.options.frames
        indices = draw(len(self.clips), recipe.batch, recipe.seed, position)
        return kaldi_fbank(
            crops(self.clips, indices, 16000, frames * 160, dice(recipe.seed, 3, position)), frames
        )

    def losses(self, batch: Tensor, player: str, dice: Generator) -> Losses:
        loss, _, _ = self.audiomae.reconstruct(batch, self.options.mask_ratio, dice)
        return {"audiomae/patches": loss}
