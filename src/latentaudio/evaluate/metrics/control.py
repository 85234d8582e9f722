"""Control of time and pitch: whether a clip has the numbers that its list states.

The list of captions has a column for each number that is checked. An empty cell is not checked.

| column | check |
|---|---|
| pitch_hz | the fundamental is within a semitone |
| rate_hz or bpm | the repetition rate is within a tenth |
| count | the number of onsets is equal |
| onset_s | the first onset is within 0.1 s |
| first, second | the sound class `first` comes before `second` |

The checks are those of the benchmark of mini. The order needs classes that `procedural_audio`
renders, because it compares spectra with typical ones of the class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from procedural_audio.registry import get_registry

from ...audio.io import read
from ...errors import DataError, UsageError
from ..mini import signal_analysis
from ..mini.attributes import (
    LEVEL_RATE_CLASSES,
    PARTIAL_PITCH_CLASSES,
    PITCH_TOLERANCE_SEMITONES,
    RATE_TOLERANCE,
)
from .base import Measurement, MetricInputs, MetricSpec, mean_measurement

RATE = 16000
ONSET_TOLERANCE_S = 0.1
CLASS_COLUMN = "class"
"""Column that selects how pitch and rate of a sound class are measured; optional."""
Row = Mapping[str, Any]
Samples = NDArray[np.float32]
Check = Callable[[Samples, Row], bool | None]
"""Samples [T] and a row -> whether the clip is right; None if the row does not say."""


def check_pitch(samples: Samples, row: Row) -> bool | None:
    """Return whether the pitch is within a semitone of `pitch_hz`."""
    wanted = _number(row, "pitch_hz", 1.0, RATE / 2)
    if wanted is None:
        return None
    is_partial = row.get(CLASS_COLUMN) in PARTIAL_PITCH_CLASSES
    measure = signal_analysis.strongest_partial if is_partial else signal_analysis.fundamental
    semitones = 12 * np.log2(measure(samples, RATE) / wanted)
    return bool(abs(semitones) <= PITCH_TOLERANCE_SEMITONES)


def check_rate(samples: Samples, row: Row) -> bool | None:
    """Return whether the repetition rate is within a tenth of `rate_hz`, or of `bpm` / 60."""
    wanted = _number(row, "rate_hz", 1e-3, 1000.0)
    if wanted is None:
        bpm = _number(row, "bpm", 1e-3, 60_000.0)
        wanted = None if bpm is None else bpm / 60
    if wanted is None:
        return None
    use_onsets = row.get(CLASS_COLUMN) not in LEVEL_RATE_CLASSES
    period = signal_analysis.period(samples, RATE, use_onsets=use_onsets)
    return bool(abs(1 / period / wanted - 1) <= RATE_TOLERANCE)


def check_count(samples: Samples, row: Row) -> bool | None:
    """Return whether the number of onsets is `count`."""
    wanted = _number(row, "count", 0.0, 1e6)
    if wanted is None:
        return None
    return len(_onsets(samples)) == wanted


def check_onset(samples: Samples, row: Row) -> bool | None:
    """Return whether the first onset is within 0.1 s of `onset_s`."""
    wanted = _number(row, "onset_s", 0.0, 1e6)
    if wanted is None:
        return None
    onsets = _onsets(samples)
    return bool(onsets) and abs(onsets[0] - wanted) <= ONSET_TOLERANCE_S


def check_order(samples: Samples, row: Row) -> bool | None:
    """Return whether the class `first` comes before the class `second`.

    Raises:
        UsageError: A class is unknown.
    """
    names = [str(row.get(column) or "") for column in ("first", "second")]
    if not all(names):
        return None
    for name in names:
        if name not in get_registry():
            known = ", ".join(list(get_registry())[:5])
            raise UsageError(f"there is no sound class {name!r:.40}; classes are {known}, ...")
    first, second = (_template(name) for name in names)
    return bool(np.any(samples)) and signal_analysis.comes_first(samples, RATE, first, second)


CHECKS: Mapping[str, Check] = {
    "pitch": check_pitch,
    "rate": check_rate,
    "count": check_count,
    "onset": check_onset,
    "order": check_order,
}
"""Every check. To add one, add a function and a row."""
COLUMNS = ("pitch_hz", "rate_hz", "bpm", "count", "onset_s", "first")
"""Columns of which a list must have one."""


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the fraction of right clips of every check for which a row has a number.

    Raises:
        UsageError: A cell is no such number, or no row has one.
    """
    right: dict[str, dict[str, float]] = {name: {} for name in CHECKS}
    for name, path in zip(inputs.generated.names, inputs.generated.paths, strict=True):
        row = inputs.rows.get(name, {})
        if not any(row.get(column) not in (None, "") for column in COLUMNS):
            continue
        samples, _ = read(path, RATE)
        if not np.isfinite(samples).all():
            raise DataError(f"{path} has samples that are not finite; remove the file")
        for check, function in CHECKS.items():
            is_right = function(samples[0], row)
            if is_right is not None:
                right[check][name] = float(is_right)
    details = {
        "pitch": {"tolerance_semitones": PITCH_TOLERANCE_SEMITONES},
        "rate": {"tolerance": RATE_TOLERANCE},
        "onset": {"tolerance_s": ONSET_TOLERANCE_S},
    }
    measured = []
    for check, values in right.items():
        if values:
            measured.append(mean_measurement(values, check, details.get(check)))
    return measured


def _onsets(samples: Samples) -> list[float]:
    """Times of the onsets; silence has none."""
    return signal_analysis.onsets(samples, RATE) if np.any(samples) else []


@cache
def _template(name: str) -> NDArray[np.float64]:
    from ..mini.quality import class_template

    return class_template(name)


def _number(row: Row, column: str, least: float, greatest: float) -> float | None:
    """The number of a cell; None if it is empty.

    Raises:
        UsageError: It is no number between the bounds.
    """
    cell = row.get(column)
    if cell is None or cell == "":
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        value = float("nan")
    if not least <= value <= greatest:
        raise UsageError(
            f"{column} {cell!r:.40} of the list of captions is no number from {least:g} to "
            f"{greatest:g}; correct it, or leave the cell empty"
        )
    return value


SPEC = MetricSpec("control", "Control", compute, ("audio", "controls"), is_lower_better=False)
