"""CLAP (arXiv 2211.06687): captions and sounds of the same clip agree, all others do not.

Knows losses and batches, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from ...audio.mel import CLAP_RATE, clap_mel
from ...audio.ops import resample
from ...conditioning.base import TextParts, clap_audio_vectors, clap_vectors
from ...conditioning.tokenizer import Tokenizer
from ...data.dataset import dice, draw, read_crop
from ...data.manifest import Clip, read_manifest
from ...errors import ConfigError
from ...loaders.model_folder import TOKENIZER_FILE
from .base import Batch, Losses, Stage, StageOptions

if TYPE_CHECKING:
    from transformers import ClapModel


class CLAPOptions(StageOptions):
    """longest: seconds of a clip that are heard; shorter clips are tiled to 10 s as at inference."""

    longest: float = 10.0


class CLAPStage(Stage):
    """Player: the whole two-tower model; a text tower that is already trained is taken up from the model folder."""

    Options = CLAPOptions
    parts = {"clap": "clap"}  # noqa: RUF012

    def setup(self) -> None:
        file = self.model / TOKENIZER_FILE
        if self.config.clap is None or not file.is_file():
            raise ConfigError(
                f"{self.model} has no {TOKENIZER_FILE}; name a folder that has it with --init (stage text makes it)"
            )
        self.clips = read_manifest(*self.data)
        self.clap = cast("ClapModel", self.learnt("clap"))
        self.texts = TextParts(
            self.config,
            {"clap": self.clap},
            clap_tokens=Tokenizer.from_file(file, self.config.clap.text_length),
        )
        self.players = {"clap": self.clap}

    def batch(self, position: int) -> Batch:
        """mel [B, 1, L, F] in decibels and one caption of each clip."""
        recipe = self.recipe
        clips = [self.clips[i] for i in draw(len(self.clips), recipe.batch, recipe.seed, position)]
        generator = dice(recipe.seed, 4, position)
        chosen = [
            c.captions[int(torch.randint(len(c.captions), (1,), generator=generator))]
            for c in clips
        ]
        return {
            "mel": torch.cat([self._mel(clip, generator) for clip in clips]),
            "captions": chosen,
        }

    def _mel(self, clip: Clip, generator: Generator) -> Tensor:
        seconds = min(clip.seconds, self.options.longest)
        samples = read_crop(clip, CLAP_RATE // 3, round(seconds * CLAP_RATE / 3), generator)
        return clap_mel(
            torch.from_numpy(np.atleast_2d(resample(samples, CLAP_RATE // 3, CLAP_RATE)))
        )

    def losses(self, batch: dict[str, Tensor], player: str, dice: Generator) -> Losses:
        sound = clap_audio_vectors(self.clap, batch["mel"])
        words = clap_vectors(self.texts, cast("list[str]", batch["captions"]))
        logits = self.clap.logit_scale_a.exp().clamp(max=100) * sound @ words.T
        same = torch.arange(len(logits), device=logits.device)
        return {
            "clap/sound": cross_entropy(logits, same) / 2,
            "clap/words": cross_entropy(logits.T, same) / 2,
        }
