"""Blows and beats: what every struck, ticking or firing thing is made of.

Knows bursts of noise, showers of small grains, exactly regular series and the pulses of a turning machine. Refuses to know any
single source.

Letters: T samples, M modes. As in `series`, parameters come from the stage's own dice and noise from `aside`, so one seed is one
performance at every sample rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import oaconvolve

from .kinds import Facts, Take
from .series import air, first_onset, regular
from .synth import Array, Stage, add, decay, filtered, normalised

_COUNTED_HZ = 5.0


def burst(dice: Stage, seconds: float, low: float, high: float, half_life: float, attack: float = 0.001) -> Array:
    """Noise between `low` and `high` Hz that starts at once and halves every `half_life` seconds: a slap, a click, a crash."""
    return filtered(air(dice, seconds), dice.rate, low, high) * decay(dice, seconds, half_life, attack)


def shower(dice: Stage, grains: Sequence[Array], times: Array, gains: Array, size: int) -> Array:
    """Many small sounds at once: each of `times` (s) takes one of `grains` at random, scaled by its entry in `gains`; `[size]`."""
    out = np.zeros(size)
    which = dice.rng.integers(len(grains), size=len(times))
    where = np.round(times * dice.rate).astype(int)
    inside = (where >= 0) & (where < size)
    for k, grain in enumerate(grains):
        chosen = inside & (which == k)
        if chosen.any():
            impulses = np.zeros(size)
            np.add.at(impulses, where[chosen], gains[chosen])
            out += oaconvolve(impulses, grain)[:size]
    return out


def scattered(dice: Stage, per_second: float, start: float, stop: float) -> Array:
    """Moments of a Poisson process between two times in seconds, at least one, in order."""
    count = max(1, int(dice.rng.poisson(per_second * max(stop - start, 0.0))))
    return np.sort(dice.rng.uniform(start, max(stop, start + 1e-3), count))


def pulses(hertz: Array, rate: int, sharp: float, gains: Array) -> Array:
    """Firing of an engine: one smooth pulse x*exp(1-x), x = sharp * share of the cycle, for every cycle of `hertz` `[T]`.

    `gains` are used in turn, one a cycle. The pulse has no jump, so it hardly aliases at the low rates of machines.
    """
    cycles = np.cumsum(hertz) / rate
    x = sharp * (cycles % 1.0)
    return np.asarray(x * np.exp(1 - x) * gains[cycles.astype(int) % len(gains)])


def rhythm(times: Sequence[float], rate_hz: float) -> Facts:
    """Facts of a steady series as `regular` gives them, without the number where events come too fast to be counted."""
    facts = regular(times, rate_hz)
    if rate_hz > _COUNTED_HZ:
        facts.pop("count", None)
    return facts


def beaten(stage: Stage, rate_hz: float, most: int, length: float, blow: Callable[[], Array], qualities: tuple[str, ...] = ()) -> Take:
    """An exactly regular series of two to `most` events of `length` seconds that all fit (fewer in a short clip); `blow()` gives each anew."""
    first = first_onset(stage)
    fits = 1 + max(0, int((stage.seconds - first - length - 0.02) * rate_hz))
    times = [first + k / rate_hz for k in range(stage.integer(min(2, fits), min(most, fits)))]
    return placed(stage, times, blow, rhythm(times, rate_hz) | Facts(qualities=qualities))


def placed(stage: Stage, times: Sequence[float], blow: Callable[[], Array], facts: Facts) -> Take:
    """One `blow()` at each of `times` in seconds, at nearly even levels."""
    canvas = stage.silence()
    for start in times:
        add(canvas, normalised(blow(), 1.0), round(start * stage.rate), stage.uniform(0.8, 1.0))
    return Take(canvas, facts)
