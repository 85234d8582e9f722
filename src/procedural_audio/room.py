"""Where a sound is heard: how far away, in which room, how loud.

Knows arrays, distances, rooms and levels. Refuses to know what the sound is, how it is described or where it is stored.

Letters: T samples. Mono float64 `[T]`, seconds, hertz, as in `synth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

from .synth import Array, normalised

Distance: TypeAlias = Literal["near", "mid", "far"]
Room: TypeAlias = Literal["none", "small room", "large hall", "cathedral"]
Loudness: TypeAlias = Literal["quiet", "normal", "loud"]

DISTANCES: tuple[Distance, ...] = ("near", "mid", "far")
ROOMS: tuple[Room, ...] = ("none", "small room", "large hall", "cathedral")
LOUDNESSES: tuple[Loudness, ...] = ("quiet", "normal", "loud")

PEAKS: dict[Loudness, float] = {"quiet": 0.12, "normal": 0.4, "loud": 0.9}
_FAR_GAIN = 0.6
_FADE_S = 0.005


@dataclass(frozen=True)
class _Walls:
    """A room as the ear knows it: range of its 60 dB decay time (s), gap before the first echo (s), echo to direct energy."""

    decay_s: tuple[float, float]
    gap_s: float
    wet: float


_WALLS: dict[Room, _Walls] = {
    "small room": _Walls((0.25, 0.45), 0.003, 0.5),
    "large hall": _Walls((1.3, 2.2), 0.018, 0.45),
    "cathedral": _Walls((3.5, 6.0), 0.035, 0.9),
}
_OPEN_AIR = _Walls(
    (0.5, 0.9), 0.03, 0.12
)  # trees, houses and ground give back a little of what is far away
_WETNESS: dict[Distance, float] = {"near": 0.35, "mid": 1.0, "far": 3.0}
# Upper edge in Hz and share of the decay time: walls and air eat treble.
_BANDS = ((250.0, 1.1), (1000.0, 1.0), (4000.0, 0.7), (np.inf, 0.4))


def echoes(rng: np.random.Generator, rate: int, decay_s: float, size: int) -> Array:
    """A room's impulse response `[<= size]` of unit energy: noise that loses 60 dB in `decay_s`, treble sooner than bass."""
    n = max(2, min(size, round(1.1 * decay_s * rate)))
    spectrum = rfft(rng.standard_normal(n))
    hertz = np.fft.rfftfreq(n, 1 / rate)
    t = np.arange(n) / rate
    out, low = np.zeros(n), 0.0
    for high, share in _BANDS:
        band = np.where((hertz >= low) & (hertz < high), spectrum, 0)
        out += irfft(band, n) * 10 ** (-3 * t / (share * decay_s))
        low = high
    return np.asarray(out / (np.sqrt(np.sum(out**2)) + 1e-12))


def spread(
    x: Array, rate: int, rng: np.random.Generator, distance: Distance, room: Room, size: int
) -> Array:
    """`x` as heard from `distance` in `room`: a canvas `[size]` that leaves space for the tail; its level is not set yet.

    Far away the air takes the treble and the echoes outweigh the direct sound; close up the bass grows and the room recedes.
    """
    if distance == "far":
        x = _softened(x, rate, float(rng.uniform(1400, 2200)))
    elif distance == "near":
        x = x + 0.6 * _softened(x, rate, 220.0)
    out = np.zeros(size)
    out[: len(x)] = x[:size]
    walls = _WALLS.get(room, _OPEN_AIR if distance == "far" else None)
    if walls is None:
        return out
    response = echoes(rng, rate, float(rng.uniform(*walls.decay_s)), size)
    n = next_fast_len(len(x) + len(response) - 1, real=True)
    tail = irfft(rfft(x, n) * rfft(response, n), n)
    gap = min(round(walls.gap_s * rate), size)
    span = min(size - gap, len(tail))
    out[gap : gap + span] += np.sqrt(walls.wet * _WETNESS[distance]) * tail[:span]
    return out


def levelled(x: Array, distance: Distance, loudness: Loudness) -> Array:
    """`x` at the peak its loudness promises; what is far is weaker. Nobody normalises later, so this is the level heard."""
    return normalised(x, PEAKS[loudness] * (_FAR_GAIN if distance == "far" else 1.0))


def faded(x: Array, rate: int, seconds: float = _FADE_S) -> Array:
    """`x` with a short ramp at either end, so that cutting a sound never clicks."""
    n = min(max(1, round(seconds * rate)), len(x) // 2)
    out = x.copy()
    out[:n] *= np.arange(n) / n
    out[len(x) - n :] *= np.arange(n)[::-1] / n
    return out


def _softened(x: Array, rate: int, hertz: float) -> Array:
    """One-pole low-pass, 6 dB per octave: the gentle slope of air and of proximity, not of a closed door."""
    pole = float(np.exp(-2 * np.pi * hertz / rate))
    return np.asarray(lfilter([1 - pole], [1.0, -pole], x))
