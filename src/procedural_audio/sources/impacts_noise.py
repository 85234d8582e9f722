"""Building blocks of impacts and machines: noise bursts, grain clouds, engine pulses, rhythms.

Parameters are drawn from the context and noise from its `noise_context` (see `events`).

Letters: T samples, M onsets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..events import first_onset, periodic_annotations, white_noise_per_hz
from ..sound_class import Annotations, Take
from ..synth import (
    HIGHEST_PARTIAL,
    Array,
    RenderContext,
    attack_release,
    butterworth,
    decay_envelope,
    mix_into,
    normalize_peak,
)
from .formants import HIGHEST_HARMONIC_HZ

_MAX_COUNTABLE_HZ = 5.0  # above this rate listeners no longer count with ease
_WAVETABLE_SIZE = 8192  # points of one period; linear interpolation errs by less than -60 dB
_MACHINE_FADE_S = 0.05


def noise_burst(
    noise: RenderContext,
    seconds: float,
    low_hz: float,
    high_hz: float,
    half_life: float,
    attack: float = 0.001,
) -> Array:
    """Render a burst of band-limited noise that decays: a slap, a click, a crash.

    Args:
        noise: Context with the noise generator.
        seconds: Duration of the burst.
        low_hz: Lower edge of the band.
        high_hz: Upper edge of the band.
        half_life: Time in seconds in which the level halves.
        attack: Attack time in seconds.

    Returns:
        Samples `[T]`.
    """
    band = butterworth(white_noise_per_hz(noise, seconds), noise.sample_rate, low_hz, high_hz)
    return band * decay_envelope(noise, seconds, half_life, attack)


def grain_cloud(
    noise: RenderContext,
    grains: Sequence[Array],
    onsets: Array,
    gains: Array,
    num_samples: int,
) -> Array:
    """Mix many short sounds.

    Args:
        noise: Context whose generator chooses the grain at each onset.
        grains: The short sounds.
        onsets: Onsets in seconds `[M]`.
        gains: Gain at each onset `[M]`.
        num_samples: Length of the result.

    Returns:
        Samples `[num_samples]`.
    """
    out = np.zeros(num_samples)
    indices = noise.rng.integers(len(grains), size=len(onsets))
    for onset, gain, index in zip(onsets, gains, indices, strict=True):
        mix_into(out, grains[index], round(onset * noise.sample_rate), gain)
    return out


def poisson_onsets(noise: RenderContext, density: float, start: float, stop: float) -> Array:
    """Draw the onsets of a Poisson process.

    Args:
        noise: Context with the generator.
        density: Mean number of onsets per second.
        start: Earliest onset in seconds.
        stop: Latest onset in seconds.

    Returns:
        Onsets in seconds, sorted, at least one.
    """
    count = max(1, int(noise.rng.poisson(density * max(stop - start, 0.0))))
    return np.sort(noise.rng.uniform(start, max(stop, start + 1e-3), count))


def firing_pulses(frequency: Array, sample_rate: int, sharpness: float, gains: Array) -> Array:
    """Render the firing of an engine: one smooth pulse x exp(1 - x) in every cycle.

    The pulse has no step, so it hardly aliases at the low rates of machines.

    Args:
        frequency: Firings per second `[T]`.
        sample_rate: Sample rate in Hz.
        sharpness: Inverse width of the pulse: x is `sharpness` times the position in the cycle.
        gains: Gains of successive cycles, repeated.

    Returns:
        Samples `[T]`.
    """
    cycles = np.cumsum(frequency) / sample_rate
    x = sharpness * (cycles % 1.0)
    return np.asarray(x * np.exp(1 - x) * gains[cycles.astype(int) % len(gains)])


def wavetable_tone(
    frequency: Array, sample_rate: int, tilt: float, top_hz: float = HIGHEST_HARMONIC_HZ
) -> Array:
    """Render a sawtooth-like tone from a wavetable, many times faster than `pulse_train`.

    Harmonic k has gain `k**-tilt`. Harmonics that would pass `top_hz` at the highest frequency
    are left out everywhere. So the low part of a wide glide is duller than it could be.

    Args:
        frequency: Fundamental frequency in Hz `[T]`.
        sample_rate: Sample rate in Hz.
        tilt: Spectral tilt: 1 is a sawtooth.
        top_hz: No harmonic passes this frequency.

    Returns:
        Samples `[T]` of unit deviation.
    """
    limit = min(top_hz, HIGHEST_PARTIAL * sample_rate)
    num_harmonics = max(1, int(limit / float(frequency.max())))
    spectrum = np.zeros(_WAVETABLE_SIZE // 2 + 1, complex)
    spectrum[1 : num_harmonics + 1] = -1j * np.arange(1, num_harmonics + 1.0) ** -tilt
    period = np.fft.irfft(spectrum)
    period /= period.std()
    position = np.cumsum(frequency) / sample_rate % 1.0
    points = np.linspace(0, 1, _WAVETABLE_SIZE + 1)
    return np.asarray(np.interp(position, points, np.append(period, period[0])))


def clip_fade(ctx: RenderContext) -> Array:
    """Return the envelope `[T]` of a clip that starts and ends while a machine runs."""
    return attack_release(ctx, ctx.duration, _MACHINE_FADE_S, _MACHINE_FADE_S)


def countable_annotations(onsets: Sequence[float], rate_hz: float) -> Annotations:
    """Annotate a periodic series, without its number if it is too fast to count."""
    annotations = periodic_annotations(onsets, rate_hz)
    if rate_hz > _MAX_COUNTABLE_HZ:
        annotations.pop("count", None)
    return annotations


def repeat_strikes(
    ctx: RenderContext,
    rate_hz: float,
    max_count: int,
    length: float,
    render_strike: Callable[[], Array],
    qualities: tuple[str, ...] = (),
) -> Take:
    """Render a periodic series of two to `max_count` strikes; fewer in a short clip.

    Args:
        ctx: Context of the clip.
        rate_hz: Strikes per second.
        max_count: Largest number of strikes.
        length: Length of one strike in seconds.
        render_strike: Renders one strike.
        qualities: Adjectives for the source.

    Returns:
        The take. All strikes end within the clip.
    """
    first = first_onset(ctx)
    num_possible = 1 + max(0, int((ctx.duration - first - length - 0.02) * rate_hz))
    count = ctx.integer(min(2, num_possible), min(max_count, num_possible))
    onsets = [first + k / rate_hz for k in range(count)]
    annotations = countable_annotations(onsets, rate_hz) | Annotations(qualities=qualities)
    return place_strikes(ctx, onsets, render_strike, annotations)


def place_strikes(
    ctx: RenderContext,
    onsets: Sequence[float],
    render_strike: Callable[[], Array],
    annotations: Annotations,
) -> Take:
    """Render one strike at each onset, at nearly even levels.

    Args:
        ctx: Context of the clip.
        onsets: Onsets in seconds.
        render_strike: Renders one strike.
        annotations: Annotations of the take.

    Returns:
        The take.
    """
    canvas = ctx.silence()
    for onset in onsets:
        strike = normalize_peak(render_strike(), 1.0)
        mix_into(canvas, strike, round(onset * ctx.sample_rate), ctx.triangular(0.8, 1.0))
    return Take(canvas, annotations)
