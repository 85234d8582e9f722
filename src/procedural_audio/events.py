"""When things happen and what a listener may say of it: counted calls, steady pulses, and dice that leave other dice alone.

Knows onsets, curves and the facts that follow from them. Refuses to know what sounds at those onsets.

Letters: T samples. Parameters are drawn from the stage itself and noise from `aside`, so that the number of samples drawn,
which depends on the rate, never shifts a parameter: one seed is one performance at every sample rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from .sound_class import Facts, Take
from .synth import Array, Stage, add, normalised

SHORTEST_GAP = 0.2
"""Seconds between onsets below which an ear no longer counts with ease."""
QUICK_HZ = 3.0
"""Events a second above which a series is called rapid."""
MOST_COUNTED = 8
"""Events of a steady series above which a listener states a rate instead of a number."""


def aside(stage: Stage) -> Stage:
    """The same stage with dice of its own: what is drawn there leaves `stage.rng` where it was, whatever the rate."""
    return Stage(np.random.default_rng(int(stage.rng.integers(2**63))), stage.rate, stage.seconds)


def air(hiss: Stage, seconds: float) -> Array:
    """White noise `[T]` of equal power per hertz at every rate, unit deviation at 16 kHz: breath and tone stay balanced."""
    return hiss.white(seconds) * float(np.sqrt(hiss.rate / 16000))


def contour(n: int, *points: tuple[float, float]) -> Array:
    """A smooth curve `[n]` through points (share of the way 0..1, value) that never overshoots them (monotone cubic)."""
    where, value = zip(*points, strict=True)
    return np.asarray(PchipInterpolator(where, value)(np.linspace(0.0, 1.0, n)))


def between(low: float, high: float, share: float) -> float:
    """Geometric interpolation: `low` at share 0, `high` at share 1."""
    return float(low * (high / low) ** share)


def worded(share: float, low: tuple[str, ...], high: tuple[str, ...]) -> tuple[str, ...]:
    """The words for the clear thirds of a 0..1 dial; none for its middle, where two listeners would disagree."""
    return low if share < 0.33 else (high if share > 0.67 else ())


def first_onset(stage: Stage) -> float:
    """When a clip's first event starts: at once, but not at the very edge."""
    return stage.draw(0.07, min(0.13, 0.18 * stage.seconds))


def fitting(stage: Stage, seconds: float) -> float:
    """A call's length, shortened where the clip would cut it."""
    return min(seconds, 0.75 * stage.seconds)


def spread(stage: Stage, length: float, gaps: tuple[float, float], most: int) -> list[float]:
    """Onsets in seconds of one to `most` calls of `length` seconds that all fit, at an even pace, rests drawn from `gaps`."""
    first = first_onset(stage)
    period = max(SHORTEST_GAP, length + stage.log_draw(*gaps))
    room = stage.seconds - first - length - 0.02
    count = stage.integer(1, max(1, min(most, 1 + int(room / period))))
    return [first + k * period for k in range(count)]


def steady(stage: Stage, rate_hz: float, length: float) -> list[float]:
    """Onsets in seconds of an exactly regular series at `rate_hz` that fills the clip and cuts no event of `length` seconds."""
    first = first_onset(stage)
    return [
        first + k / rate_hz
        for k in range(1 + max(0, int((stage.seconds - first - length) * rate_hz)))
    ]


def regular(times: Sequence[float], rate_hz: float) -> Facts:
    """Facts of a steady series: its rate from three events on, their number while a listener would still count."""
    facts = Facts(onsets=tuple(times))
    if len(times) >= 3:
        facts["rate_hz"] = rate_hz
        facts["manner"] = (
            ("rapidly",) if rate_hz > QUICK_HZ else (("slowly",) if rate_hz < 1.1 else ())
        )
    if len(times) <= MOST_COUNTED:
        facts["count"] = len(times)
    return facts


def _levels(stage: Stage, count: int) -> tuple[list[float], tuple[str, ...]]:
    """Gains of a series of calls and how they are called: mostly even, sometimes a clear climb or fall."""
    dice = float(stage.rng.random())
    even = [stage.draw(0.8, 1.0) for _ in range(count)]
    if count < 3 or dice > 0.24:
        return even, ()
    climb = np.geomspace(0.25, 1.0, count).tolist()
    return (climb, ("getting louder",)) if dice < 0.12 else (climb[::-1], ("getting quieter",))


def _pace(times: Sequence[float], length: float) -> tuple[str, ...]:
    """How a series of three or more calls is paced, where it is clearly so."""
    if len(times) < 3:
        return ()
    gap = (times[-1] - times[0]) / (len(times) - 1)
    return (
        ("rapidly",)
        if gap < 1 / QUICK_HZ
        else (("with long pauses",) if gap - length > 0.8 else ())
    )


def chorus(
    stage: Stage,
    length: float,
    gaps: tuple[float, float],
    most: int,
    call: Callable[[float], Array],
    qualities: tuple[str, ...] = (),
) -> Take:
    """A counted series of calls. `call(vary)` plays one of at most `length` seconds; `vary`, near 1, bends its pitch."""
    times = spread(stage, length, gaps, most)
    gains, trend = _levels(stage, len(times))
    canvas = stage.silence()
    for start, gain in zip(times, gains, strict=True):
        add(canvas, normalised(call(stage.log_draw(0.96, 1.04))), round(start * stage.rate), gain)
    facts = Facts(
        count=len(times),
        onsets=tuple(times),
        qualities=qualities,
        manner=_pace(times, length) + trend,
    )
    if len(times) >= 3:
        facts["rate_hz"] = (len(times) - 1) / (times[-1] - times[0])
    return Take(canvas, facts)
