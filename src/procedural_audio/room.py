"""Room acoustics: distance, reverberation and level of a dry sound.

Letters: T samples. Sounds are mono float64 `[T]`; times are in seconds, frequencies in hertz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

from .synth import Array, normalize_peak

Distance: TypeAlias = Literal["near", "mid", "far"]
Room: TypeAlias = Literal["none", "small room", "large hall", "cathedral"]
Loudness: TypeAlias = Literal["quiet", "normal", "loud"]

DISTANCES: tuple[Distance, ...] = ("near", "mid", "far")
ROOMS: tuple[Room, ...] = ("none", "small room", "large hall", "cathedral")
LOUDNESSES: tuple[Loudness, ...] = ("quiet", "normal", "loud")

PEAK_LEVELS: dict[Loudness, float] = {"quiet": 0.12, "normal": 0.4, "loud": 0.9}
"""Largest absolute sample of a sound, by loudness."""
_FAR_GAIN = 0.6
_FADE_S = 0.005


@dataclass(frozen=True)
class _Reverb:
    """Reverberation of a place: range of the 60 dB decay time, pre-delay, wet to dry energy."""

    decay_s: tuple[float, float]
    predelay_s: float
    wet_energy: float


_REVERBS: dict[Room, _Reverb] = {
    "small room": _Reverb((0.25, 0.45), 0.003, 0.5),
    "large hall": _Reverb((1.3, 2.2), 0.018, 0.45),
    "cathedral": _Reverb((3.5, 6.0), 0.035, 0.9),
}
# Outdoors, trees, houses and the ground reflect a little of a far sound.
_OPEN_AIR = _Reverb((0.5, 0.9), 0.03, 0.12)
# A far source has more reverberation in proportion to its direct sound.
_WET_GAINS: dict[Distance, float] = {"near": 0.35, "mid": 1.0, "far": 3.0}
# Upper edge of a band in Hz, and its decay time relative to that of the room: walls and air
# absorb high frequencies.
_BANDS = ((250.0, 1.1), (1000.0, 1.0), (4000.0, 0.7), (np.inf, 0.4))
_NEAR_BASS_GAIN = 0.6  # proximity effect of a close microphone
_NEAR_BASS_HZ = 220.0


def impulse_response(
    rng: np.random.Generator, sample_rate: int, decay_s: float, max_samples: int
) -> Array:
    """Draw the impulse response of a room: noise that decays, high frequencies first.

    Args:
        rng: Source of the noise.
        sample_rate: Sample rate in Hz.
        decay_s: Time in seconds in which the middle frequencies lose 60 dB.
        max_samples: Largest length.

    Returns:
        Impulse response of unit energy, at most `max_samples` long.
    """
    n = max(2, min(max_samples, round(1.1 * decay_s * sample_rate)))
    spectrum = rfft(rng.standard_normal(n))
    frequencies = np.fft.rfftfreq(n, 1 / sample_rate)
    t = np.arange(n) / sample_rate
    out = np.zeros(n)
    low = 0.0
    for high, relative_decay in _BANDS:
        band = np.where((frequencies >= low) & (frequencies < high), spectrum, 0)
        out += irfft(band, n) * 10 ** (-3 * t / (relative_decay * decay_s))
        low = high
    return np.asarray(out / (np.sqrt(np.sum(out**2)) + 1e-12))


def place_in_room(
    x: Array,
    sample_rate: int,
    rng: np.random.Generator,
    distance: Distance,
    room: Room,
    num_samples: int,
) -> Array:
    """Render a dry sound at a distance in a room.

    At "far" the air absorbs high frequencies and reverberation outweighs the direct sound. At
    "near" the bass is stronger and the reverberation weaker. The level is not set yet.

    Args:
        x: Dry samples `[T]`.
        sample_rate: Sample rate in Hz.
        rng: Source of the reverberation.
        distance: Distance of the source.
        room: Room, or "none" for the open air.
        num_samples: Length of the result, which has space for the reverberation tail.

    Returns:
        Samples `[num_samples]`.
    """
    if distance == "far":
        x = _one_pole_lowpass(x, sample_rate, float(rng.uniform(1900, 3000)))
    elif distance == "near":
        x = x + _NEAR_BASS_GAIN * _one_pole_lowpass(x, sample_rate, _NEAR_BASS_HZ)
    out = np.zeros(num_samples)
    out[: len(x)] = x[:num_samples]
    reverb = _REVERBS.get(room, _OPEN_AIR if distance == "far" else None)
    if reverb is None:
        return out
    decay_s = float(rng.uniform(*reverb.decay_s))
    response = impulse_response(rng, sample_rate, decay_s, num_samples)
    n = next_fast_len(len(x) + len(response) - 1, real=True)
    tail = irfft(rfft(x, n) * rfft(response, n), n)
    predelay = min(round(reverb.predelay_s * sample_rate), num_samples)
    length = min(num_samples - predelay, len(tail))
    wet_gain = np.sqrt(reverb.wet_energy * _WET_GAINS[distance])
    out[predelay : predelay + length] += wet_gain * tail[:length]
    return out


def set_peak_level(x: Array, distance: Distance, loudness: Loudness) -> Array:
    """Scale a sound to the peak level of its loudness; a far sound is weaker.

    Nothing normalizes the clip afterwards, so this is its final level.

    Args:
        x: Samples `[T]`.
        distance: Distance of the source.
        loudness: Loudness of the source.

    Returns:
        Samples `[T]`.
    """
    return normalize_peak(x, PEAK_LEVELS[loudness] * (_FAR_GAIN if distance == "far" else 1.0))


def fade_ends(x: Array, sample_rate: int, seconds: float = _FADE_S) -> Array:
    """Return a copy with a linear fade of `seconds` at both ends, so that cuts do not click."""
    n = min(max(1, round(seconds * sample_rate)), len(x) // 2)
    out = x.copy()
    out[:n] *= np.arange(n) / n
    out[len(x) - n :] *= np.arange(n)[::-1] / n
    return out


def _one_pole_lowpass(x: Array, sample_rate: int, cutoff_hz: float) -> Array:
    """Low-pass by 6 dB per octave, the gentle slope of air absorption."""
    pole = float(np.exp(-2 * np.pi * cutoff_hz / sample_rate))
    return np.asarray(lfilter([1 - pole], [1.0, -pole], x))
