"""Means of ratings with their intervals, and paired tests of systems.

Ratings of one clip by several people are averaged first: the interval says how much the mean would
move with other clips. People who rate the same clips are not independent samples of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ..compare import paired_test
from ..metrics.base import mean_measurement
from ..report import aligned, format_number
from .answers import Answer, AnswerFile, read_answers
from .plan import QUESTIONS

_MIN_PAIRS = 2
_TITLES = {"ovl": "OVL", "rel": "REL"}


@dataclass(frozen=True)
class SystemRating:
    """The ratings of one system to one question.

    Attributes:
        question: "ovl" or "rel".
        system: the system.
        mean: over clips of the mean over people.
        interval: its 95 % interval; None for one clip.
        n: number of clips.
        num_ratings: number of ratings.
        num_listeners: number of people.
    """

    question: str
    system: str
    mean: float
    interval: tuple[float, float] | None
    n: int
    num_ratings: int
    num_listeners: int


@dataclass(frozen=True)
class SystemDifference:
    """The paired difference of two systems over the clips that both have ratings of.

    Attributes:
        question: "ovl" or "rel".
        first: a system.
        second: another one.
        difference: mean over clips of second - first.
        interval: its 95 % interval.
        p_value: probability of such a difference if both are alike (permutation test).
        n: number of clips.
    """

    question: str
    first: str
    second: str
    difference: float
    interval: tuple[float, float] | None
    p_value: float
    n: int


@dataclass(frozen=True)
class Summary:
    """The result of a listening test.

    Attributes:
        scale: greatest rating.
        ratings: of every system and question.
        differences: of every pair of systems.
    """

    scale: int
    ratings: tuple[SystemRating, ...]
    differences: tuple[SystemDifference, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the tables for the terminal."""
        if not self.ratings:
            return "no answers yet"
        rows: list[tuple[str, ...]] = [
            ("question", "system", f"mean of 1 to {self.scale}", "95 % interval", "clips",
             "ratings", "listeners")
        ]  # fmt: skip
        for each in self.ratings:
            rows.append(
                (
                    _TITLES[each.question], each.system, f"{each.mean:.2f}",
                    _interval(each.interval), str(each.n), str(each.num_ratings),
                    str(each.num_listeners),
                )
            )  # fmt: skip
        lines = aligned(rows)
        if self.differences:
            rows = [("question", "second - first", "difference", "95 % interval", "p", "clips")]
            for pair in self.differences:
                rows.append(
                    (
                        _TITLES[pair.question], f"{pair.second} - {pair.first}",
                        f"{pair.difference:+.2f}", _interval(pair.interval),
                        format_number(pair.p_value), str(pair.n),
                    )
                )  # fmt: skip
            lines += ["", *aligned(rows)]
        return "\n".join(lines)


def summarize_files(paths: Sequence[Path]) -> Summary:
    """Return the result of one test from the files of several machines.

    Raises:
        DataError: A file cannot be read.
        UsageError: The files are of unlike tests.
    """
    files = [read_answers(path) for path in paths]
    for path, file in zip(paths, files, strict=True):
        if file.test_sha256 != files[0].test_sha256:
            raise UsageError(f"{path} and {paths[0]} are of unlike tests; sum each up alone")
    answers = [
        answer.model_copy(update={"listener": f"{number}/{answer.listener}"})
        for number, file in enumerate(files)
        for answer in file.answers
    ]
    return summarize_answers(files[0].model_copy(update={"answers": tuple(answers)}))


def summarize_answers(stored: AnswerFile) -> Summary:
    """Return means, intervals and paired tests of the answers to a test."""
    ratings = []
    differences = []
    for question in QUESTIONS:
        means: dict[str, dict[str, float]] = {}
        for system in stored.systems:
            chosen = [a for a in stored.answers if a.question == question and a.system == system]
            if chosen:
                means[system] = _means_by_clip(chosen)
                ratings.append(_rate(question, system, chosen, means[system]))
        names = list(means)
        for index, first in enumerate(names):
            for second in names[index + 1 :]:
                pair = _compare(question, first, second, means)
                if pair is not None:
                    differences.append(pair)
    return Summary(stored.scale, tuple(ratings), tuple(differences))


def _means_by_clip(answers: Sequence[Answer]) -> dict[str, float]:
    by_clip: dict[str, list[int]] = {}
    for answer in answers:
        by_clip.setdefault(answer.clip, []).append(answer.rating)
    return {clip: float(np.mean(ratings)) for clip, ratings in by_clip.items()}


def _rate(
    question: str, system: str, answers: Sequence[Answer], means: Mapping[str, float]
) -> SystemRating:
    measured = mean_measurement(means)
    num_listeners = len({answer.listener for answer in answers})
    return SystemRating(
        question, system, measured.value, measured.interval, measured.n, len(answers), num_listeners
    )


def _compare(
    question: str, first: str, second: str, means: Mapping[str, Mapping[str, float]]
) -> SystemDifference | None:
    """The difference over common clips; None if there are too few."""
    clips = [clip for clip in means[first] if clip in means[second]]
    if len(clips) < _MIN_PAIRS:
        return None
    by_clip = {clip: means[second][clip] - means[first][clip] for clip in clips}
    measured = mean_measurement(by_clip)
    p_value = paired_test(np.fromiter(by_clip.values(), np.float64))
    return SystemDifference(
        question, first, second, measured.value, measured.interval, p_value, measured.n
    )


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
