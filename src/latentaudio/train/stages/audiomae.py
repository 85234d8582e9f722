"""AudioMAE (spec 7, arXiv 2207.06405): rebuild hidden patches of Kaldi filterbanks. Knows losses and crops, nothing else."""

from __future__ import annotations

from typing import cast

from torch import Generator, Tensor

from ...audio.mel import kaldi_fbank
from ...data.dataset import crops, dice, draw
from ...data.manifest import read_manifest
from ...nn.audiomae import AudioMAE
from . import Losses, Stage, StageOptions


class AudioMAEOptions(StageOptions):
    """frames: fbank frames of a crop (10 ms each). mask_ratio: share of hidden patches."""

    frames: int = 512
    mask_ratio: float = 0.8


class AudioMAEStage(Stage):
    """Player: the autoencoder."""

    Options = AudioMAEOptions
    parts = {"audiomae": "audiomae"}  # noqa: RUF012

    def setup(self) -> None:
        self.clips = read_manifest(*self.data)
        self.audiomae = cast(AudioMAE, self.learnt("audiomae"))
        self.players = {"audiomae": self.audiomae}

    def batch(self, step: int, micro: int) -> Tensor:
        """Normalised filterbanks [B, 1, frames, F]."""
        recipe, frames = self.recipe, self.options.frames
        position = step * recipe.accumulate + micro
        indices = draw(len(self.clips), recipe.batch, recipe.seed, position)
        return kaldi_fbank(crops(self.clips, indices, 16000, frames * 160, dice(recipe.seed, 3, position)), frames)

    def losses(self, batch: Tensor, player: str, dice: Generator) -> Losses:
        loss, _, _ = self.audiomae.reconstruct(batch, self.options.mask_ratio, dice)
        return {"audiomae/patches": loss}
