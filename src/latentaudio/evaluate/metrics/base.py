"""Seams of the metrics: what a metric gets, what it returns, and its row in the table.

Letters: N clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from ..features import FeatureSet
from ..protocols import Protocol

Need = Literal[
    "embeddings", "classes", "texts", "aesthetics", "audio", "pairs", "reference", "transcripts",
    "controls",
]  # fmt: skip
Interval = tuple[float, float]

CONFIDENCE = 0.95
_NORMAL_QUANTILE = float(scipy.stats.norm.ppf(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True)
class MetricInputs:
    """What a metric may read.

    Attributes:
        generated: the clips that are measured.
        reference: the clips that they are compared with; None without a reference.
        protocol: settings of the arithmetic.
        pairs: (index in `generated`, index in `reference`) of clips with the same name.
        text_similarities: similarity of generated clips and their captions, by name.
        reference_similarities: the same for the reference.
        transcripts: spoken words of clips by name.
        rows: rows of the list of captions by name.
    """

    generated: FeatureSet
    reference: FeatureSet | None
    protocol: Protocol
    pairs: Sequence[tuple[int, int]] = ()
    text_similarities: Mapping[str, float] = field(default_factory=dict)
    reference_similarities: Mapping[str, float] = field(default_factory=dict)
    transcripts: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def references(self) -> FeatureSet:
        """The reference of a metric that needs one."""
        assert self.reference is not None
        return self.reference


@dataclass(frozen=True)
class Measurement:
    """One measured number.

    Attributes:
        value: the number.
        n: number of clips, or of pairs of clips.
        variant: which of several forms of the metric; "" if it has one.
        interval: bounds of the 95 % interval; None if it cannot be known.
        details: settings and side results, such as the bandwidth of a kernel.
        warnings: what makes the number doubtful, one line each.
        by_clip: values of single clips by name. Their mean is `value`, or nearly so. For a
            distance of distributions these are pseudo-values: value + influence of the clip.
    """

    value: float
    n: int
    variant: str = ""
    interval: Interval | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    by_clip: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_finite(self) -> bool:
        """Whether all numbers can be stored."""
        numbers = [self.value, *(self.interval or ()), *self.by_clip.values()]
        return bool(np.isfinite(numbers).all())


@dataclass(frozen=True)
class MetricSpec:
    """A row of `METRICS`.

    Attributes:
        name: the word that users type.
        title: its name in tables.
        compute: the metric.
        needs: what it cannot do without.
        is_lower_better: whether smaller numbers are better; None if neither is.
        title_of_mini: its name in tables for a backbone of `mini`; "": `title`. A network that was
            trained on the model's own kind of sounds must not look like the published one.
        min_clips: fewest clips of a set, if it reads embeddings or classes.
    """

    name: str
    title: str
    compute: Callable[[MetricInputs], list[Measurement]]
    needs: tuple[Need, ...]
    is_lower_better: bool | None = True
    title_of_mini: str = ""
    min_clips: int = 2


def mean_measurement(
    values: Mapping[str, float], variant: str = "", details: Mapping[str, Any] | None = None
) -> Measurement:
    """Return the mean of values of single clips with the interval of Student's t.

    Args:
        values: the values by name of the clip.
        variant: see `Measurement`.
        details: see `Measurement`.
    """
    numbers = np.fromiter(values.values(), np.float64)
    interval = None
    if len(numbers) > 1:
        error = float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
        quantile = float(scipy.stats.t.ppf(0.5 + CONFIDENCE / 2, len(numbers) - 1))
        mean = float(numbers.mean())
        interval = (mean - quantile * error, mean + quantile * error)
    return Measurement(
        float(numbers.mean()), len(numbers), variant, interval, details or {}, by_clip=values
    )


def normal_interval(value: float, variance: float, lowest: float = -math.inf) -> Interval:
    """Return the 95 % interval of a number that is nearly normal.

    Args:
        value: the estimate.
        variance: its variance.
        lowest: least possible value.
    """
    half = _NORMAL_QUANTILE * math.sqrt(max(0.0, variance))
    return max(lowest, value - half), max(lowest, value + half)


def variance_of_mean(influences: NDArray[np.float64]) -> float:
    """Return the variance of the mean of influences [N] of independent clips."""
    return float(influences.var(ddof=1)) / len(influences) if len(influences) > 1 else 0.0


def pseudo_values(
    names: Sequence[str], value: float, influences: NDArray[np.float64]
) -> dict[str, float]:
    """Return value + influence for every clip (Efron and Tibshirani 1993, chapter 11)."""
    values = (value + influences).tolist()
    return dict(zip(names, values, strict=True))
