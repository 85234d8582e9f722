"""Two evaluations of the same prompts: paired tests by clip, and refusal of unlike protocols."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.stats

from ..errors import UsageError
from .metrics.base import mean_measurement
from .report import Evaluation, Value, aligned, format_number

NUM_PERMUTATIONS = 9999
_BATCH = 256  # permutations at once
_MIN_PAIRS = 2
_EXACT_PAIRS = 13  # up to here, all 2^n signs are fewer than `NUM_PERMUTATIONS`


@dataclass(frozen=True)
class Difference:
    """The difference of one metric between two evaluations.

    Attributes:
        title: the metric.
        backbone: the network; None for metrics of signals.
        first: value of the first evaluation.
        second: value of the second evaluation.
        difference: mean over clips of second - first.
        interval: its 95 % interval; None without values of single clips.
        p_value: probability of a difference so large if the two models are alike.
        n: number of clips in both.
        better: "first", "second", or "" if zero is in the interval or no side is better.
    """

    title: str
    backbone: str | None
    first: float
    second: float
    difference: float
    interval: tuple[float, float] | None
    p_value: float | None
    n: int
    better: str

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def compare_evaluations(first: Evaluation, second: Evaluation) -> list[Difference]:
    """Return the differences of all numbers that both evaluations have.

    Args:
        first: an evaluation.
        second: one of the same protocol, reference and prompts.

    Raises:
        UsageError: They are unlike, or have no number in common.
    """
    check_alike(first, second)
    of_second = {_key(value): value for value in second.values}
    differences = []
    for value in first.values:
        other = of_second.get(_key(value))
        if other is not None:
            _check_values(value, other)
            differences.append(_difference(value, other))
    if not differences:
        raise UsageError("the two results have no metric in common")
    return differences


def paired_test(differences: np.ndarray) -> float:
    """Return the p-value of a two-sided permutation test: signs of differences are exchanged.

    Args:
        differences: of pairs, [n].
    """
    count = math.inf if len(differences) <= _EXACT_PAIRS else NUM_PERMUTATIONS
    result = scipy.stats.permutation_test(
        (differences, np.zeros_like(differences)),
        _mean_difference,
        permutation_type="samples",
        n_resamples=count,
        batch=_BATCH,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def table(differences: list[Difference]) -> str:
    """Return the differences as text for the terminal."""
    rows = [("metric", "backbone", "first", "second", "second - first", "95 % interval", "p", "N",
             "better")]  # fmt: skip
    for each in differences:
        interval = "" if each.interval is None else " to ".join(map(format_number, each.interval))
        rows.append(
            (
                each.title,
                each.backbone or "",
                format_number(each.first),
                format_number(each.second),
                format_number(each.difference),
                interval,
                "" if each.p_value is None else format_number(each.p_value),
                str(each.n),
                each.better,
            )
        )
    return "\n".join(aligned(rows))


def _mean_difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray((first - second).mean(axis=axis))


def _key(value: Value) -> tuple[str, str, str | None]:
    return value.metric, value.variant, value.backbone


_ALIKE: dict[str, Callable[[Evaluation], Any]] = {
    "protocols": lambda each: each.protocol,
    "subsets": lambda each: each.subset.sha256 if each.subset else None,
    "reference clips": lambda each: each.reference.sha256 if each.reference else None,
}
_VALUES_ALIKE = {
    "weights of the backbone": "weights_sha256",
    "sample rates": "sample_rate",
    "resamplers": "resampler",
    "numbers of candidates": "candidates",
    "lists of prompts": "prompts_sha256",
}


def check_alike(first: Evaluation, second: Evaluation) -> None:
    """Raise UsageError if two evaluations have unlike protocols or reference clips."""
    for name, get in _ALIKE.items():
        values = (get(first), get(second))
        if values[0] != values[1]:
            raise UsageError(
                f"the two results have unlike {name} ({_unlike(*values)}); "
                "evaluate both with the same settings"
            )


def _check_values(first: Value, second: Value) -> None:
    """Raise UsageError if two numbers depend on unlike settings."""
    for name, attribute in _VALUES_ALIKE.items():
        values = (getattr(first, attribute), getattr(second, attribute))
        if values[0] != values[1]:
            raise UsageError(
                f"the two values of {first.metric} have unlike {name} ({_unlike(*values)}); "
                "evaluate both with the same settings"
            )


def _unlike(first: Any, second: Any) -> str:
    """Two values for a message; of two mappings, the first setting that differs."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in ("name", *sorted({*first, *second})):
            if first.get(name) != second.get(name):
                return f"{name}: {first.get(name)!s:.60} and {second.get(name)!s:.60}"
    return f"{first!s:.16} and {second!s:.16}"


def _difference(first: Value, second: Value) -> Difference:
    """The paired difference of one number."""
    names = [name for name in first.by_clip if name in second.by_clip]
    interval = None
    p_value = None
    mean = second.value - first.value
    if len(names) >= _MIN_PAIRS:
        by_name = {name: second.by_clip[name] - first.by_clip[name] for name in names}
        result = mean_measurement(by_name)
        mean = result.value
        interval = result.interval
        p_value = paired_test(np.fromiter(by_name.values(), np.float64))
    if not np.isfinite([mean, *(interval or ())]).all():
        raise UsageError(f"the difference of {first.full_title} is too large; evaluate both again")
    better = ""
    if interval is not None and first.is_lower_better is not None and interval[0] * interval[1] > 0:
        is_second_better = (mean < 0) == first.is_lower_better
        better = "second" if is_second_better else "first"
    return Difference(
        first.full_title,
        first.backbone,
        first.value,
        second.value,
        mean,
        interval,
        p_value,
        len(names),
        better,
    )
