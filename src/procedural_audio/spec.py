"""The specification of a corpus, and the random generator of each clip.

Split, seed and index alone fix a clip. So clips can be rendered in any order, by any number of
processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from .captions.grammar import Split
from .errors import RenderError
from .scene import MIX_PROBABILITIES
from .sound_class import SoundClass
from .soundfont import Soundfont

FileType: TypeAlias = Literal["flac", "wav"]

DURATIONS = (1.28, 2.56, 5.12, 10.24)
"""Default durations of a clip in seconds."""
DURATION_WEIGHTS = (0.08, 0.12, 0.65, 0.15)
"""Default relative frequency of each duration."""

VERSION = 7
"""Raised whenever a sound class, the room acoustics or the grammar changes what a seed renders."""

_SPLIT_SEEDS: dict[Split, tuple[int, ...]] = {"train": (), "test": (1,)}
"""Added to the seed of a clip, so that the same seed never gives both splits the same numbers."""
_SHUFFLE_SEED = (2,)
_MIN_DURATION_S = 0.6  # the shortest clip that every render function supports
_MIN_SAMPLE_RATE = 16000
_MAX_SAMPLE_RATE = 48000
_CLIPS_PER_FOLDER = 1000


@dataclass(frozen=True)
class CorpusSpec:
    """Everything that fixes the bytes of a corpus, together with `VERSION`.

    Attributes:
        hours: Least amount of sound in hours.
        seed: Whole number from 0 up.
        classes: Names of the sound classes. None: all of them.
        sample_rate: Sample rate in Hz, 16000 to 48000.
        durations: Possible durations of a clip in seconds, each at least 0.6.
        duration_weights: Relative frequency of each duration.
        file_type: "flac" or "wav".
        num_captions: Captions per clip.
        split: "train" or "test": which of the two disjoint sets of sentences is used.
        mix_probabilities: See `scene.MIX_PROBABILITIES`.
        soundfont: Plays the notes of instruments. None: they are synthesized.

    Raises:
        RenderError: A value cannot be rendered.
    """

    hours: float
    seed: int = 0
    classes: tuple[str, ...] | None = None
    sample_rate: int = 16000
    durations: tuple[float, ...] = DURATIONS
    duration_weights: tuple[float, ...] = DURATION_WEIGHTS
    file_type: FileType = "flac"
    num_captions: int = 3
    split: Split = "train"
    mix_probabilities: tuple[float, ...] = MIX_PROBABILITIES
    soundfont: Soundfont | None = None

    def __post_init__(self) -> None:
        """Validate the values."""
        if not (np.isfinite(self.hours) and self.hours > 0):
            raise RenderError(f"hours is {self.hours}: use a number above 0, for example 0.1")
        if self.seed < 0:
            raise RenderError(f"seed is {self.seed}: use a whole number from 0 up")
        if not _MIN_SAMPLE_RATE <= self.sample_rate <= _MAX_SAMPLE_RATE:
            raise RenderError(f"sample_rate is {self.sample_rate} Hz: use 16000 to 48000")
        if self.num_captions < 1:
            raise RenderError(f"num_captions is {self.num_captions}: use at least 1")
        self._validate_durations()
        self._validate_mix_probabilities()
        if self.file_type not in ("flac", "wav"):
            raise RenderError(f"file_type is '{self.file_type}': use 'flac' or 'wav'")
        if self.split not in _SPLIT_SEEDS:
            raise RenderError(f"split is '{self.split}': use 'train' or 'test'")

    def _validate_durations(self) -> None:
        are_long_enough = all(_MIN_DURATION_S <= each < math.inf for each in self.durations)
        if not self.durations or not are_long_enough:
            raise RenderError(
                f"durations is {self.durations}: give one or more durations of at least "
                f"{_MIN_DURATION_S} seconds"
            )
        has_same_length = len(self.duration_weights) == len(self.durations)
        if not has_same_length or not _are_weights(self.duration_weights):
            raise RenderError(
                f"duration_weights {self.duration_weights} do not match durations "
                f"{self.durations}: give one weight >= 0 per duration, not all 0"
            )

    def _validate_mix_probabilities(self) -> None:
        has_three = len(self.mix_probabilities) == len(MIX_PROBABILITIES)
        if (
            not has_three
            or not _are_weights(self.mix_probabilities)
            or abs(sum(self.mix_probabilities) - 1) > 1e-6
        ):
            raise RenderError(
                f"mix_probabilities is {self.mix_probabilities}: give three numbers from 0 up "
                "that add to 1 (alone, then, while)"
            )

    def clip_generator(self, index: int) -> np.random.Generator:
        """Return the random generator of one clip."""
        return np.random.default_rng([self.seed, index, *_SPLIT_SEEDS[self.split]])

    def draw_duration(self, rng: np.random.Generator) -> float:
        """Draw the duration of a clip in seconds. It is the first draw from its generator."""
        weights = np.asarray(self.duration_weights, float)
        return self.durations[int(rng.choice(len(weights), p=weights / weights.sum()))]

    def file_name(self, index: int) -> str:
        """Return the path of a clip inside the corpus, in subfolders of a thousand clips."""
        return f"clips/{index // _CLIPS_PER_FOLDER:03d}/{index:06d}.{self.file_type}"

    def main_class(self, classes: Sequence[SoundClass], index: int) -> SoundClass:
        """Return the class that clip `index` must hold.

        The classes are shuffled anew every `len(classes)` clips, so each is equally frequent.
        """
        cycle, position = divmod(index, len(classes))
        rng = np.random.default_rng([self.seed, cycle, *_SHUFFLE_SEED])
        return classes[int(rng.permutation(len(classes))[position])]

    def clip_durations(self) -> list[float]:
        """Return the durations of clips 0, 1, ... in seconds, until the hours are reached."""
        durations: list[float] = []
        remaining = self.hours * 3600
        while remaining > 1e-6:
            rng = self.clip_generator(len(durations))
            durations.append(self.draw_duration(rng))
            remaining -= durations[-1]
        return durations

    def to_record(self, classes: Sequence[SoundClass], num_clips: int) -> dict[str, Any]:
        """Return the content of `corpus.json`.

        Its keys are those of the first corpora, so that old and new folders read alike.
        """
        return {
            "version": VERSION,
            "hours": self.hours,
            "seed": self.seed,
            "kinds": [each.name for each in classes],
            "rate": self.sample_rate,
            "seconds": self.durations,
            "weights": self.duration_weights,
            "file_type": self.file_type,
            "captions": self.num_captions,
            "split": self.split,
            "shares": self.mix_probabilities,
            "clips": num_clips,
            "soundfont": None if self.soundfont is None else self.soundfont.to_record(),
        }


def _are_weights(values: Sequence[float]) -> bool:
    """Whether all values are finite and from 0 up, and not all 0."""
    return all(0 <= value < math.inf for value in values) and sum(values) > 0
