"""Voice synthesis: a pulse train as excitation, and formant filters as vocal tract.

Animal voices, engines, sirens and horns use the same source-filter model.

Letters: T samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ..events import noise_context
from ..synth import (
    HIGHEST_PARTIAL,
    Array,
    RenderContext,
    phase_from_frequency,
    random_curve,
    resonator,
)

Formants: TypeAlias = Sequence[tuple[float, float, float]]
"""Resonances of a vocal tract or body: (center in Hz, bandwidth in Hz, gain)."""

HIGHEST_HARMONIC_HZ = 7400.0
"""Default upper limit of harmonics: a clip of 16 kHz holds no more."""
_HIGHEST_FORMANT = 0.46  # formants above this fraction of the sample rate are left out
_HIGHEST_OVERTONE = 0.23  # the same for the fundamental of a second harmonic


def pulse_train(
    frequency: Array, sample_rate: int, tilt: float, top_hz: float = HIGHEST_HARMONIC_HZ
) -> Array:
    """Synthesize a band-limited pulse train, the excitation of a voice.

    Harmonic k has gain `k**-tilt`. The sines come from a recurrence:

        sin((k + 1) p) = 2 cos(p) sin(k p) - sin((k - 1) p)

    It needs one multiplication per harmonic; a sine would cost twenty.

    Args:
        frequency: Fundamental frequency in Hz `[T]`.
        sample_rate: Sample rate in Hz.
        tilt: Spectral tilt: 0 is a pulse, 1 a sawtooth.
        top_hz: No harmonic passes this frequency.

    Returns:
        Samples `[T]` of unit deviation.
    """
    top_hz = min(top_hz, HIGHEST_PARTIAL * sample_rate)
    phase = phase_from_frequency(frequency, sample_rate)
    double_cosine = 2 * np.cos(phase)
    harmonic = np.sin(phase)
    previous = np.zeros(len(phase))
    out = np.zeros(len(phase))
    highest = float(frequency.max())
    num_harmonics = int(top_hz / max(float(frequency.min()), 20.0))
    for k in range(1, num_harmonics + 1):
        # Each harmonic fades over the last 10 % below the top, so that a gliding tone never
        # switches one off with a click.
        fade: Array | float = 1.0
        if k * highest >= 0.9 * top_hz:
            fade = np.clip((top_hz - k * frequency) / (0.1 * top_hz), 0.0, 1.0)
        out += k**-tilt * fade * harmonic
        following = double_cosine * harmonic - previous
        previous = harmonic
        harmonic = following
    return np.asarray(out / (out.std() + 1e-12))


def whistle_tone(frequency: Array, sample_rate: int, second_harmonic: float) -> Array:
    """Synthesize a nearly pure tone.

    Args:
        frequency: Frequency in Hz `[T]`.
        sample_rate: Sample rate in Hz.
        second_harmonic: Gain of the only overtone, which is left out where it would alias.

    Returns:
        Samples `[T]`.
    """
    phase = phase_from_frequency(frequency, sample_rate)
    has_overtone = frequency < _HIGHEST_OVERTONE * sample_rate
    return np.asarray(np.sin(phase) + second_harmonic * np.sin(2 * phase) * has_overtone)


def jitter(ctx: RenderContext, frequency: Array, depth: float, rate_hz: float) -> Array:
    """Modulate a frequency curve `[T]` at random.

    Args:
        ctx: Context of the clip.
        frequency: Frequency in Hz `[T]`.
        depth: Standard deviation relative to the frequency.
        rate_hz: Speed of the modulation. Above 40 Hz it is roughness, below 5 Hz drift.

    Returns:
        The modulated frequency in Hz `[T]`.
    """
    curve = random_curve(noise_context(ctx), len(frequency) / ctx.sample_rate, rate_hz)
    return frequency * np.exp(depth * curve)


def formant_filter(x: Array, sample_rate: int, formants: Formants) -> Array:
    """Filter an excitation by parallel formants.

    Neighbors have opposite signs, so that the valleys between them stay shallow.

    Args:
        x: Excitation `[T]`.
        sample_rate: Sample rate in Hz.
        formants: The formants. Those that would alias are left out.

    Returns:
        Samples `[T]`.
    """
    out = np.zeros(len(x))
    for i, (center, bandwidth, gain) in enumerate(formants):
        if center < _HIGHEST_FORMANT * sample_rate:
            out += (-1) ** i * gain * resonator(x, sample_rate, center, bandwidth)
    return out


def moving_formant_filter(
    x: Array, sample_rate: int, closed: Formants, opened: Formants, opening: Array
) -> Array:
    """Filter an excitation by a mouth that opens and closes.

    Args:
        x: Excitation `[T]`.
        sample_rate: Sample rate in Hz.
        closed: Formants of the closed mouth.
        opened: Formants of the open mouth.
        opening: 0 where the mouth is closed, 1 where it is open `[T]`.

    Returns:
        Samples `[T]`.
    """
    closed_sound = (1 - opening) * formant_filter(x, sample_rate, closed)
    return closed_sound + opening * formant_filter(x, sample_rate, opened)


def scale_formants(formants: Formants, factor: float) -> Formants:
    """Return the formants of a smaller head (factor above 1) or a larger one (below 1)."""
    scaled: list[tuple[float, float, float]] = []
    for center, bandwidth, gain in formants:
        scaled.append((center * factor, bandwidth * factor**0.5, gain))
    return tuple(scaled)
