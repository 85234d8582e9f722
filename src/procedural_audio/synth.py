"""Sound-making primitives shared by every kind: noise, envelopes, filters, oscillators, modes.

Knows arrays and sample rates. Refuses to know captions, kinds, files or torch.

Letters: T samples. Every function takes and returns mono float64 `[T]` unless it says otherwise; times are seconds,
frequencies hertz, levels linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """What a kind is given to play on: its dice, the sample rate in Hz and the clip's length in seconds."""

    rng: np.random.Generator
    rate: int
    seconds: float

    @property
    def size(self) -> int:
        """Samples in the clip: exactly `round(seconds * rate)`."""
        return round(self.seconds * self.rate)

    def silence(self) -> Array:
        """A clip of zeros, `[size]`."""
        return np.zeros(self.size)

    def draw(self, low: float, high: float) -> float:
        """A number between low and high, ordinary ones more often than extremes: the mean of two even draws."""
        return low + (high - low) * 0.5 * float(self.rng.random() + self.rng.random())

    def log_draw(self, low: float, high: float) -> float:
        """A number whose logarithm is drawn so: right for pitches, rates and sizes."""
        return float(np.exp(self.draw(np.log(low), np.log(high))))

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def samples(self, seconds: float) -> int:
        """How many samples a duration takes, at least one."""
        return max(1, round(seconds * self.rate))

    def clock(self, seconds: float) -> Array:
        """Times 0, 1/rate, ... of a span, in seconds."""
        return np.arange(self.samples(seconds)) / self.rate

    def white(self, seconds: float) -> Array:
        """White Gaussian noise of unit deviation."""
        return self.rng.standard_normal(self.samples(seconds))


def add(canvas: Array, sound: Array, start: int, gain: float = 1.0) -> None:
    """Mix `sound` into `canvas` in place from sample `start`; what falls outside either end is cut."""
    skip = max(0, -start)
    stop = min(len(canvas), start + len(sound))
    if stop > start + skip:
        canvas[start + skip : stop] += gain * sound[skip : stop - start]


def filtered(
    x: Array, rate: int, low: float | None = None, high: float | None = None, order: int = 2
) -> Array:
    """Butterworth filter: high-pass at `low`, low-pass at `high`, or the band between when both are given."""
    top = 0.49 * rate
    edges = [min(max(edge, 1.0), top) for edge in (low, high) if edge is not None]
    if not edges:
        return x
    kind = "bandpass" if len(edges) == 2 else ("highpass" if low is not None else "lowpass")
    if len(edges) == 2 and edges[1] <= edges[0] * 1.01:
        edges[0] = edges[1] / 1.02
    sos = butter(order, edges if len(edges) == 2 else edges[0], kind, fs=rate, output="sos")
    return np.asarray(sosfilt(sos, x))


def coloured(stage: Stage, seconds: float, slope: float) -> Array:
    """Noise whose power falls by 3*slope dB per octave (0 white, 1 pink, 2 brown), unit deviation."""
    n = stage.samples(seconds)
    spectrum = np.fft.rfft(stage.rng.standard_normal(n))
    bins = np.fft.rfftfreq(n, 1 / stage.rate)
    spectrum *= np.maximum(bins, 20.0) ** (-slope / 2)
    spectrum[0] = 0.0
    out = np.fft.irfft(spectrum, n)
    return np.asarray(out / (out.std() + 1e-12))


def resonate(x: Array, rate: int, hertz: float, bandwidth: float) -> Array:
    """Two-pole resonator at `hertz` with the given 3 dB bandwidth in Hz, unit gain at its peak (formants, bodies)."""
    r = float(np.exp(-np.pi * bandwidth / rate))
    theta = 2 * np.pi * min(hertz, 0.49 * rate) / rate
    gain = (1 - r) * np.sqrt(1 - 2 * r * np.cos(2 * theta) + r * r)
    return np.asarray(lfilter([gain], [1.0, -2 * r * np.cos(theta), r * r], x))


def decay(stage: Stage, seconds: float, half_life: float, attack: float = 0.002) -> Array:
    """Percussive envelope: a linear attack in seconds, then halving every `half_life` seconds."""
    t = stage.clock(seconds)
    return np.asarray(np.minimum(t / max(attack, 1e-4), 1.0) * 0.5 ** (t / half_life))


def swell(stage: Stage, seconds: float, attack: float, release: float) -> Array:
    """Sustained envelope: half-cosine attack and release in seconds, one between."""
    n = stage.samples(seconds)
    env = np.ones(n)
    a, r = min(stage.samples(attack), n), min(stage.samples(release), n)
    env[:a] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(a) / a)
    env[n - r :] *= (0.5 - 0.5 * np.cos(np.pi * np.arange(r) / r))[::-1]
    return env


def modes(stage: Stage, seconds: float, hertz: Array, gains: Array, half_lives: Array) -> Array:
    """Struck body: a sum of exponentially decaying sines, one per row of the `[M]` arrays; above 0.47 rate none sounds."""
    t = stage.clock(seconds)
    out = np.zeros(len(t))
    for f, g, h in zip(hertz, gains, half_lives, strict=True):
        if f < 0.47 * stage.rate:
            live = min(len(t), stage.samples(12 * float(h)))
            out[:live] += g * np.sin(2 * np.pi * f * t[:live]) * 0.5 ** (t[:live] / h)
    return out


def glide(hertz: Array, rate: int, phase: float = 0.0) -> Array:
    """Phase in radians of an oscillator whose frequency follows `hertz` `[T]` sample by sample."""
    return np.asarray(phase + 2 * np.pi * np.cumsum(hertz) / rate)


def harmonics(phase: Array, hertz: Array | float, rate: int, gains: Array) -> Array:
    """Additive tone: harmonic k+1 of `phase` with gain `gains[k]`, dropped where it would pass 0.47 rate (no aliasing)."""
    out = np.zeros(len(phase))
    top = float(np.max(hertz))
    for k, g in enumerate(gains):
        if (k + 1) * top < 0.47 * rate:
            out += g * np.sin((k + 1) * phase)
    return out


def wander(stage: Stage, seconds: float, hertz: float) -> Array:
    """A slow random curve of about zero mean and unit deviation whose corners come `hertz` times a second (drift, gusts)."""
    n = stage.samples(seconds)
    knots = stage.rng.standard_normal(max(4, int(seconds * hertz) + 4))
    x = np.linspace(0, len(knots) - 3, n)
    i = x.astype(int)
    f = 0.5 - 0.5 * np.cos(np.pi * (x - i))
    return np.asarray(knots[i] * (1 - f) + knots[i + 1] * f)


def at_times(
    stage: Stage, rate_hz: float, jitter: float = 0.0, start: float | None = None
) -> list[float]:
    """Moments of a steady pulse over the whole clip in seconds; `jitter` is a share of the period."""
    period = 1.0 / rate_hz
    first = stage.draw(0, min(period, 0.3)) if start is None else start
    count = max(1, int(np.ceil((stage.seconds - first) / period - 1e-9)))
    return [first + period * (k + jitter * stage.draw(-0.5, 0.5)) for k in range(count)]


def normalised(x: Array, peak: float = 0.9) -> Array:
    """The same sound scaled so that its largest absolute sample is `peak`; silence stays silence."""
    top = float(np.max(np.abs(x), initial=0.0))
    return x * (peak / top) if top > 1e-9 else x
