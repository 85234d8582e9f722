"""Throats and mouths: a buzzing source with a rough edge, and formants that open and close.

Knows what every animal voice is made of. Refuses to know any single animal, and when it calls.

Letters: T samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ..events import aside
from ..synth import Array, Stage, glide, resonate, wander

Vowel: TypeAlias = Sequence[tuple[float, float, float]]
"""Formants: (centre Hz, bandwidth Hz, gain)."""


def buzz(hertz: Array, rate: int, tilt: float, top: float = 7400.0) -> Array:
    """Band-limited pulse-like tone `[T]` following `hertz` `[T]`: harmonic k has gain k**-tilt and none passes `top` Hz.

    sin(k p) comes from the recurrence sin((k+1)p) = 2 cos(p) sin(kp) - sin((k-1)p): one multiplication where a sine would cost
    twenty. Unit deviation.
    """
    top = min(top, 0.47 * rate)
    phase = glide(hertz, rate)
    double, now, before = 2 * np.cos(phase), np.sin(phase), np.zeros(len(phase))
    out = np.zeros(len(phase))
    highest = float(hertz.max())
    for k in range(1, int(top / max(float(hertz.min()), 20.0)) + 1):
        # Each harmonic leaves over the last 10 % below the top, so a gliding voice never switches one off with a click.
        fade = (
            1.0 if k * highest < 0.9 * top else np.clip((top - k * hertz) / (0.1 * top), 0.0, 1.0)
        )
        out += k**-tilt * fade * now
        now, before = double * now - before, now
    return np.asarray(out / (out.std() + 1e-12))


def whistle(hertz: Array, rate: int, second: float) -> Array:
    """A nearly pure tone `[T]` following `hertz` `[T]`, with a second harmonic of that gain where there is room for it."""
    phase = glide(hertz, rate)
    return np.asarray(np.sin(phase) + second * np.sin(2 * phase) * (hertz < 0.23 * rate))


def shaky(stage: Stage, hertz: Array, share: float, corners_hz: float) -> Array:
    """`hertz` `[T]` shaken at random by `share` of itself, `corners_hz` times a second: roughness above 40, drift below 5."""
    return hertz * np.exp(share * wander(aside(stage), len(hertz) / stage.rate, corners_hz))


def mouth(x: Array, rate: int, vowel: Vowel) -> Array:
    """The source `[T]` through parallel formants; opposite signs of neighbours keep the valleys between them shallow."""
    out = np.zeros(len(x))
    for i, (centre, width, gain) in enumerate(vowel):
        if centre < 0.46 * rate:
            out += (-1) ** i * gain * resonate(x, rate, centre, width)
    return out


def opening(x: Array, rate: int, closed: Vowel, opened: Vowel, share: Array) -> Array:
    """A mouth that moves between two vowels: `share` `[T]` is 0 where it is `closed` and 1 where it is `opened`."""
    return (1 - share) * mouth(x, rate, closed) + share * mouth(x, rate, opened)


def scaled(vowel: Vowel, factor: float) -> Vowel:
    """The same vowel from a head smaller (factor above 1) or larger (below 1)."""
    return tuple((centre * factor, width * factor**0.5, gain) for centre, width, gain in vowel)
