"""What is asked of the corpus renderer: lengths, kinds, format, and the dice of every clip.

Knows which orders can be rendered and how a clip's randomness follows from split, seed and index alone. Refuses to know how
anything is rendered or stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from latentaudio.errors import UsageError

from .captions.grammar import Split
from .scene import SHARES
from .sound_class import Kind

FileType: TypeAlias = Literal["flac", "wav"]

VERSION = 4
"""Raised whenever a kind, the space or the grammar changes what a seed renders."""

_SALT: dict[Split, tuple[int, ...]] = {
    "train": (),
    "test": (1,),
}  # one seed never gives both splits the same dice
_SHUFFLE = (2,)
_SHORTEST_S = 0.6  # what a kind can be asked for


@dataclass(frozen=True)
class Order:
    """What was asked for; together with VERSION it fixes every byte of the corpus. shares: see `scene.SHARES`."""

    hours: float
    seed: int = 0
    kinds: tuple[str, ...] | None = None
    rate: int = 16000
    seconds: tuple[float, ...] = (1.28, 2.56, 5.12, 10.24)
    weights: tuple[float, ...] = (0.08, 0.12, 0.65, 0.15)
    file_type: FileType = "flac"
    captions: int = 3
    split: Split = "train"
    shares: tuple[float, ...] = SHARES

    def __post_init__(self) -> None:
        """Refuses what cannot be rendered. Raises UsageError."""
        if not (np.isfinite(self.hours) and self.hours > 0):
            raise UsageError(f"hours is {self.hours}: ask for more than 0, for example 0.1")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}: use a whole number from 0 up")
        if not 16000 <= self.rate <= 48000:
            raise UsageError(f"rate is {self.rate} Hz: use 16000 to 48000")
        if self.captions < 1:
            raise UsageError(f"captions is {self.captions}: every clip needs at least 1")
        if not self.seconds or not all(_SHORTEST_S <= length < math.inf for length in self.seconds):
            raise UsageError(
                f"seconds is {self.seconds}: give one or more lengths of at least {_SHORTEST_S}"
            )
        if len(self.weights) != len(self.seconds) or not _shares(self.weights):
            raise UsageError(
                f"weights {self.weights} do not fit seconds {self.seconds}: one weight >= 0 per length, not all 0"
            )
        if (
            len(self.shares) != len(SHARES)
            or not _shares(self.shares)
            or abs(sum(self.shares) - 1) > 1e-6
        ):
            raise UsageError(
                f"shares are {self.shares}: give three from 0 up that add to 1 (alone, then, while)"
            )
        if self.file_type not in ("flac", "wav"):
            raise UsageError(f"file type is '{self.file_type}': use 'flac' or 'wav'")
        if self.split not in _SALT:
            raise UsageError(f"split is '{self.split}': use 'train' or 'test'")

    def dice(self, index: int) -> np.random.Generator:
        """The randomness of one clip, and of nothing else."""
        return np.random.default_rng([self.seed, index, *_SALT[self.split]])

    def length(self, rng: np.random.Generator) -> float:
        """Seconds of a clip: its first throw of the dice."""
        odds = np.asarray(self.weights, float)
        return self.seconds[int(rng.choice(len(odds), p=odds / odds.sum()))]

    def file_name(self, index: int) -> str:
        """Where a clip lies inside the folder, in drawers of a thousand."""
        return f"clips/{index // 1000:03d}/{index:06d}.{self.file_type}"

    def lead(self, cast: Sequence[Kind], index: int) -> Kind:
        """The kind that clip `index` must hold: shuffled rounds through the cast, so that each gets its equal share."""
        turn, place = divmod(index, len(cast))
        return cast[
            int(np.random.default_rng([self.seed, turn, *_SHUFFLE]).permutation(len(cast))[place])
        ]

    def lengths(self) -> list[float]:
        """Seconds of clips 0, 1, ... until the hours are filled."""
        drawn: list[float] = []
        wanted = self.hours * 3600
        while wanted > 1e-6:
            drawn.append(self.length(self.dice(len(drawn))))
            wanted -= drawn[-1]
        return drawn


def _shares(values: Sequence[float]) -> bool:
    """Whether these are shares of something: finite, from 0 up, not all 0."""
    return all(0 <= value < math.inf for value in values) and sum(values) > 0
