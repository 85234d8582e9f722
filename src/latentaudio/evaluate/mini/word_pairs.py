"""Prompts that differ in one word, such as slow and fast, and how a clip shows the difference.

Letter: T samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...audio.loudness import loudness
from . import signal_analysis

RATE = 16000
Measure = Callable[[NDArray[np.floating]], float]


def _pitch_semitones(samples: NDArray[np.floating]) -> float:
    """Pitch in semitones above 1 Hz; nan for silence."""
    return 12 * float(np.log2(signal_analysis.fundamental(samples, RATE)))


def _loudness(samples: NDArray[np.floating]) -> float:
    return loudness(np.asarray(samples, np.float32)[None], RATE)


def _log_rate(samples: NDArray[np.floating]) -> float:
    """Repetitions per second in octaves; nan if nothing repeats."""
    return -float(np.log2(signal_analysis.period(samples, RATE)))


@dataclass(frozen=True)
class WordPair:
    """Two words of a prompt and the measure that must tell them apart.

    Attributes:
        words: the lower one first.
        prompts: templates; the word replaces {}.
        measure: of a clip [T].
        unit: of the measure.
        least: least difference that counts.
    """

    words: tuple[str, str]
    prompts: tuple[str, ...]
    measure: Measure
    unit: str
    least: float

    @property
    def name(self) -> str:
        """Both words."""
        return "/".join(self.words)


WORD_PAIRS = (
    WordPair(
        ("slow", "fast"),
        ("{} footsteps", "a {} ticking clock", "{} knocking on a door", "{} hammering",
         "{} typing on a keyboard", "a {} heartbeat", "{} clapping", "a {} dripping tap"),
        _log_rate,
        "octaves",
        0.26,  # a rate of 1.2
    ),
    WordPair(
        ("low", "high"),
        ("a {} tone", "a {} bell", "a {} synthesizer note", "a {} violin note", "a {} whistle",
         "a {} flute note", "a {} horn", "a {} piano note"),
        _pitch_semitones,
        "semitones",
        2.0,
    ),
    WordPair(
        ("quiet", "loud"),
        ("{} rain", "a {} dog", "a {} engine", "{} applause", "a {} bell", "a {} alarm"),
        _loudness,
        "LU",
        3.0,
    ),
    WordPair(
        ("distant", "close"),
        ("a {} dog", "{} thunder", "a {} train", "a {} bell", "{} footsteps", "a {} siren"),
        _loudness,
        "LU",
        3.0,
    ),
)  # fmt: skip
"""Every pair. To add one, add a row."""
