"""Blows and beats: what every struck, ticking or firing thing is made of.

Knows bursts of noise, showers of small grains, exactly regular series, the pulses and the buzz of a turning machine. Refuses to
know any single source.

Letters: T samples. As in `series`, parameters come from the stage's own dice and noise from `aside` (`dice` below), so one seed
is one performance at every sample rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..events import air, first_onset, regular
from ..sound_class import Facts, Kind, Take
from ..synth import Array, Stage, add, decay, filtered, normalised, swell

_COUNTED_HZ = 5.0  # above it an ear no longer counts with ease
_TABLE = 8192


def burst(
    dice: Stage, seconds: float, low: float, high: float, half_life: float, attack: float = 0.001
) -> Array:
    """Noise between `low` and `high` Hz that starts at once and halves every `half_life` seconds: a slap, a click, a crash."""
    return filtered(air(dice, seconds), dice.rate, low, high) * decay(
        dice, seconds, half_life, attack
    )


def shower(dice: Stage, grains: Sequence[Array], times: Array, gains: Array, size: int) -> Array:
    """Many small sounds at once: each of `times` (s) takes one of `grains`, scaled by its entry in `gains`; `[size]`."""
    out = np.zeros(size)
    which = dice.rng.integers(len(grains), size=len(times))
    for start, gain, kind in zip(times, gains, which, strict=True):
        add(out, grains[kind], round(start * dice.rate), gain)
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


def reed(hertz: Array, rate: int, tilt: float, top: float = 7400.0) -> Array:
    """A steady or gently gliding buzz `[T]` read from a table of one cycle: as `vocal.buzz`, many times faster.

    Harmonic k has gain k**-tilt; those that would pass `top` Hz at the highest of `hertz` `[T]` are left out for good, so a
    wide glide is duller low down than it could be. Reading between 8192 points errs by less than -60 dB. Unit deviation.
    """
    count = max(1, int(min(top, 0.47 * rate) / float(hertz.max())))
    spectrum = np.zeros(_TABLE // 2 + 1, complex)
    spectrum[1 : count + 1] = -1j * np.arange(1, count + 1.0) ** -tilt
    cycle = np.fft.irfft(spectrum)
    cycle /= cycle.std()
    return np.asarray(
        np.interp(
            np.cumsum(hertz) / rate % 1.0, np.linspace(0, 1, _TABLE + 1), np.append(cycle, cycle[0])
        )
    )


def edges(stage: Stage) -> Array:
    """A machine is caught running: the fade `[T]` of a clip that begins and ends in the midst of it."""
    return swell(stage, stage.seconds, 0.05, 0.05)


def rhythm(times: Sequence[float], rate_hz: float) -> Facts:
    """Facts of a steady series as `regular` gives them, without the number where events come too fast to be counted."""
    facts = regular(times, rate_hz)
    if rate_hz > _COUNTED_HZ:
        facts.pop("count", None)
    return facts


def beaten(
    stage: Stage,
    rate_hz: float,
    most: int,
    length: float,
    blow: Callable[[], Array],
    qualities: tuple[str, ...] = (),
) -> Take:
    """A regular series of two to `most` events of `length` seconds that all fit, fewer in a short clip; `blow()` plays one."""
    first = first_onset(stage)
    fits = 1 + max(0, int((stage.seconds - first - length - 0.02) * rate_hz))
    times = [first + k / rate_hz for k in range(stage.integer(min(2, fits), min(most, fits)))]
    return placed(stage, times, blow, rhythm(times, rate_hz) | Facts(qualities=qualities))


def placed(stage: Stage, times: Sequence[float], blow: Callable[[], Array], facts: Facts) -> Take:
    """One `blow()` at each of `times` in seconds, at nearly even levels."""
    canvas = stage.silence()
    for start in times:
        add(canvas, normalised(blow(), 1.0), round(start * stage.rate), stage.draw(0.8, 1.0))
    return Take(canvas, facts)


def effect(
    play: Callable[[Stage], Take],
    nouns: tuple[str, ...],
    actions: tuple[str, ...],
    sustained: bool = False,
    indoors: bool = True,
    far: bool = True,
) -> Kind:
    """The sound effect that bears the name of the function that plays it."""
    return Kind(play.__name__, "effects", nouns, actions, play, sustained, indoors, far)
