"""Building blocks of sound synthesis: noise, envelopes, filters, oscillators, damped modes.

Letters: T samples, M modes. Every function takes and returns mono float64 `[T]` unless its
docstring names another shape. Times are in seconds, frequencies in hertz, levels linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

if TYPE_CHECKING:
    from .soundfont import Soundfont

Array: TypeAlias = NDArray[np.float64]

HIGHEST_PARTIAL = 0.47
"""Partials above this fraction of the sample rate are left out, to avoid aliasing."""
_HIGHEST_EDGE = 0.49
"""Highest filter edge as a fraction of the sample rate; Butterworth design needs less than 0.5."""


@dataclass(frozen=True)
class RenderContext:
    """Random generator and format of the clip that a render function fills.

    Attributes:
        rng: Source of every random number of the take.
        sample_rate: Sample rate in Hz.
        duration: Duration of the clip in seconds.
        soundfont: Plays the notes of instruments. None: they are synthesized.
    """

    rng: np.random.Generator
    sample_rate: int
    duration: float
    soundfont: Soundfont | None = None

    @property
    def num_samples(self) -> int:
        """Number of samples of the clip: exactly `round(duration * sample_rate)`."""
        return round(self.duration * self.sample_rate)

    def silence(self) -> Array:
        """Return a clip of zeros, `[num_samples]`."""
        return np.zeros(self.num_samples)

    def triangular(self, low: float, high: float) -> float:
        """Draw a number between two limits from the symmetric triangular distribution.

        It is the mean of two uniform draws: ordinary values are more frequent than extremes.
        """
        return low + (high - low) * 0.5 * float(self.rng.random() + self.rng.random())

    def log_triangular(self, low: float, high: float) -> float:
        """Draw a number whose logarithm is triangular: right for pitches, rates and sizes."""
        return float(np.exp(self.triangular(np.log(low), np.log(high))))

    def integer(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def to_samples(self, seconds: float) -> int:
        """Convert a duration to a number of samples, at least one."""
        return max(1, round(seconds * self.sample_rate))

    def time_axis(self, seconds: float) -> Array:
        """Return the times 0, 1/sample_rate, ... of a duration, in seconds."""
        return np.arange(self.to_samples(seconds)) / self.sample_rate

    def white_noise(self, seconds: float) -> Array:
        """Draw white Gaussian noise of unit standard deviation."""
        return self.rng.standard_normal(self.to_samples(seconds))


def mix_into(canvas: Array, sound: Array, start: int, gain: float = 1.0) -> None:
    """Mix a sound into a canvas, in place. Samples outside the canvas are dropped.

    Args:
        canvas: Samples that are changed.
        sound: Samples to add.
        start: Position in the canvas in samples. It may be negative.
        gain: Gain of the sound.
    """
    skip = max(0, -start)
    stop = min(len(canvas), start + len(sound))
    if stop > start + skip:
        canvas[start + skip : stop] += gain * sound[skip : stop - start]


def butterworth(
    x: Array, sample_rate: int, low: float | None = None, high: float | None = None, order: int = 2
) -> Array:
    """Apply a Butterworth filter.

    Args:
        x: Samples `[T]`.
        sample_rate: Sample rate in Hz.
        low: Edge of the high-pass in Hz. None: no high-pass.
        high: Edge of the low-pass in Hz. None: no low-pass. With both edges it is a band-pass.
        order: Order of the filter; a band-pass has twice as many poles.

    Returns:
        The filtered samples `[T]`.
    """
    highest_edge = _HIGHEST_EDGE * sample_rate
    edges = [min(max(edge, 1.0), highest_edge) for edge in (low, high) if edge is not None]
    if not edges:
        return x
    if len(edges) == 2:
        if edges[1] <= edges[0] * 1.01:  # the design fails for an empty band
            edges[0] = edges[1] / 1.02
        sos = butter(order, edges, "bandpass", fs=sample_rate, output="sos")
    else:
        kind = "highpass" if low is not None else "lowpass"
        sos = butter(order, edges[0], kind, fs=sample_rate, output="sos")
    return np.asarray(sosfilt(sos, x))


def colored_noise(ctx: RenderContext, seconds: float, slope: float) -> Array:
    """Draw noise of unit deviation whose power falls by `3 * slope` dB per octave.

    Args:
        ctx: Context of the clip.
        seconds: Duration of the noise.
        slope: 0 is white noise, 1 pink, 2 brown. Below 20 Hz the spectrum is flat.

    Returns:
        Samples `[T]`.
    """
    n = ctx.to_samples(seconds)
    spectrum = np.fft.rfft(ctx.rng.standard_normal(n))
    frequencies = np.fft.rfftfreq(n, 1 / ctx.sample_rate)
    spectrum *= np.maximum(frequencies, 20.0) ** (-slope / 2)
    spectrum[0] = 0.0
    noise = np.fft.irfft(spectrum, n)
    return np.asarray(noise / (noise.std() + 1e-12))


def resonator(x: Array, sample_rate: int, frequency_hz: float, bandwidth_hz: float) -> Array:
    """Apply a two-pole resonator with unit gain at its peak: one formant or body resonance.

    Args:
        x: Samples `[T]`.
        sample_rate: Sample rate in Hz.
        frequency_hz: Frequency of the peak.
        bandwidth_hz: Width of the peak 3 dB below its top.

    Returns:
        The filtered samples `[T]`.
    """
    radius = float(np.exp(-np.pi * bandwidth_hz / sample_rate))
    angle = 2 * np.pi * min(frequency_hz, _HIGHEST_EDGE * sample_rate) / sample_rate
    gain = (1 - radius) * np.sqrt(1 - 2 * radius * np.cos(2 * angle) + radius * radius)
    return np.asarray(lfilter([gain], [1.0, -2 * radius * np.cos(angle), radius * radius], x))


def decay_envelope(
    ctx: RenderContext, seconds: float, half_life: float, attack: float = 0.002
) -> Array:
    """Return a percussive envelope: a linear attack, then an exponential decay.

    Args:
        ctx: Context of the clip.
        seconds: Duration of the envelope.
        half_life: Time in seconds in which the level halves.
        attack: Attack time in seconds.

    Returns:
        Gains `[T]`.
    """
    t = ctx.time_axis(seconds)
    return np.asarray(np.minimum(t / max(attack, 1e-4), 1.0) * 0.5 ** (t / half_life))


def attack_release(ctx: RenderContext, seconds: float, attack: float, release: float) -> Array:
    """Return a sustained envelope: half-cosine attack and release, 1 between them.

    Args:
        ctx: Context of the clip.
        seconds: Duration of the envelope, with attack and release.
        attack: Attack time in seconds.
        release: Release time in seconds.

    Returns:
        Gains `[T]`.
    """
    n = ctx.to_samples(seconds)
    envelope = np.ones(n)
    num_attack = min(ctx.to_samples(attack), n)
    num_release = min(ctx.to_samples(release), n)
    envelope[:num_attack] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(num_attack) / num_attack)
    release_ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(num_release) / num_release)
    envelope[n - num_release :] *= release_ramp[::-1]
    return envelope


def damped_modes(
    ctx: RenderContext, seconds: float, frequencies: Array, gains: Array, half_lives: Array
) -> Array:
    """Synthesize a struck body: a sum of exponentially decaying sines (modal synthesis).

    Args:
        ctx: Context of the clip.
        seconds: Duration of the sound.
        frequencies: Mode frequencies in Hz `[M]`. Those near half the sample rate are left out.
        gains: Gain of each mode `[M]`.
        half_lives: Time in seconds in which a mode loses half its level `[M]`.

    Returns:
        Samples `[T]`.
    """
    t = ctx.time_axis(seconds)
    out = np.zeros(len(t))
    for frequency, gain, half_life in zip(frequencies, gains, half_lives, strict=True):
        if frequency < HIGHEST_PARTIAL * ctx.sample_rate:
            # After 12 half-lives a mode has lost 72 dB; the rest is not computed.
            stop = min(len(t), ctx.to_samples(12 * float(half_life)))
            decay = 0.5 ** (t[:stop] / half_life)
            out[:stop] += gain * np.sin(2 * np.pi * frequency * t[:stop]) * decay
    return out


def phase_from_frequency(frequency: Array, sample_rate: int, phase: float = 0.0) -> Array:
    """Integrate a frequency curve in Hz `[T]` to the phase of an oscillator in radians `[T]`."""
    return np.asarray(phase + 2 * np.pi * np.cumsum(frequency) / sample_rate)


def additive_tone(phase: Array, frequency: Array | float, sample_rate: int, gains: Array) -> Array:
    """Synthesize a harmonic tone: the sum of `gains[k] * sin((k + 1) * phase)`.

    Args:
        phase: Phase of the fundamental in radians `[T]`.
        frequency: Frequency of the fundamental in Hz, a number or a curve `[T]`.
        sample_rate: Sample rate in Hz.
        gains: Gain of each harmonic. Harmonics that would alias are left out.

    Returns:
        Samples `[T]`.
    """
    out = np.zeros(len(phase))
    highest = float(np.max(frequency))
    for k, gain in enumerate(gains):
        if (k + 1) * highest < HIGHEST_PARTIAL * sample_rate:
            out += gain * np.sin((k + 1) * phase)
    return out


def random_curve(ctx: RenderContext, seconds: float, rate_hz: float) -> Array:
    """Draw a smooth random curve of mean 0 and unit deviation, for drift and gusts.

    Args:
        ctx: Context of the clip.
        seconds: Duration of the curve.
        rate_hz: Number of random values per second. Half-cosines join them.

    Returns:
        The curve `[T]`.
    """
    n = ctx.to_samples(seconds)
    values = ctx.rng.standard_normal(max(4, int(seconds * rate_hz) + 4))
    position = np.linspace(0, len(values) - 3, n)
    index = position.astype(int)
    mix = 0.5 - 0.5 * np.cos(np.pi * (position - index))
    return np.asarray(values[index] * (1 - mix) + values[index + 1] * mix)


def normalize_peak(x: Array, peak: float = 0.9) -> Array:
    """Scale a sound so that its largest absolute sample is `peak`. Silence stays silence."""
    largest = float(np.max(np.abs(x), initial=0.0))
    return x * (peak / largest) if largest > 1e-9 else x
