"""Instruments: the building blocks of all, and the bars and synthesizers.

Strings are in `strings`, wind instruments and the choir in `winds`. A factory draws one instrument
(its size, brightness, player) and returns an `Instrument`; every tone of a clip comes from it.
Noise has its own generator, so that a seed sounds the same at every sample rate.

Letters: T samples, K partials, B samples of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..events import noise_context, white_noise_per_hz
from ..synth import HIGHEST_PARTIAL, Array, RenderContext, attack_release, butterworth

ToneFunction: TypeAlias = Callable[[float, float, float], Array]
"""(fundamental in Hz, seconds held, velocity 0 to 1) -> samples `[T]`, with a release."""

HIGHEST_PARTIAL_HZ = 7600.0
"""No partial is above it: a clip of 16 kHz holds no more."""
_WAVETABLE_SIZE = 16384  # points of one period; the error is below -70 dB up to harmonic 60
_BLOCK = 256  # samples of the fine table of `decaying_partials`
_VIBRATO_MARGIN = 0.46  # highest harmonic as a fraction of the sample rate, with vibrato


def _no_processing(x: Array) -> Array:
    return x


@dataclass(frozen=True)
class Instrument:
    """One instrument.

    Attributes:
        render_tone: Renders one tone.
        qualities: Adjectives for the instrument.
        process_clip: Processes the whole clip `[T]`, as an amplifier or a vocal tract does.
    """

    render_tone: ToneFunction
    qualities: tuple[str, ...] = ()
    process_clip: Callable[[Array], Array] = _no_processing


def decaying_partials(
    ctx: RenderContext,
    seconds: float,
    frequencies: Array,
    gains: Array,
    half_lives: Array,
    phases: Array | float = 0.0,
) -> Array:
    """Synthesize a sum of decaying sines, about forty times faster than `synth.damped_modes`.

    A decaying sine is a power series z**n, and z**(aB + b) = z**(aB) z**b. So the sum over partials
    is a matrix product of a coarse table `[T/B, K]` and a fine one `[K, B]`.

    Args:
        ctx: Context of the clip.
        seconds: Duration of the sound.
        frequencies: Frequencies in Hz `[K]`. Those that would alias are left out.
        gains: Gains `[K]`.
        half_lives: Half-lives in seconds `[K]`.
        phases: Initial phases in radians `[K]`, or one for all.

    Returns:
        Samples `[T]`, without an attack.
    """
    sample_rate = ctx.sample_rate
    is_audible = frequencies < min(HIGHEST_PARTIAL_HZ, HIGHEST_PARTIAL * sample_rate)
    n = ctx.to_samples(seconds)
    damping = -np.log(2) / (half_lives[is_audible] * sample_rate)
    log_z = damping + 2j * np.pi * frequencies[is_audible] / sample_rate
    all_phases = np.broadcast_to(phases, frequencies.shape)
    amplitudes = gains[is_audible] * np.exp(1j * all_phases[is_audible])
    coarse = amplitudes * np.exp(np.outer(np.arange(0, n, _BLOCK), log_z))
    fine = np.exp(np.outer(log_z, np.arange(_BLOCK)))
    return np.asarray(coarse.imag @ fine.real + coarse.real @ fine.imag).ravel()[:n]


def wavetable_harmonics(phase: Array, gains: Array) -> Array:
    """Synthesize a sum of `gains[k] * sin((k + 1) * phase)` by interpolation in a wavetable.

    The cost does not grow with the number of harmonics.

    Args:
        phase: Phase of the fundamental in radians `[T]`, from 0 up.
        gains: Gain of each harmonic `[K]`.

    Returns:
        Samples `[T]`.
    """
    spectrum = np.zeros(_WAVETABLE_SIZE // 2 + 1, complex)
    spectrum[1 : len(gains) + 1] = -0.5j * _WAVETABLE_SIZE * gains
    wave = np.fft.irfft(spectrum)
    slope = np.roll(wave, -1) - wave
    position = phase * (_WAVETABLE_SIZE / (2 * np.pi))
    index = position.astype(np.int64)
    fraction = position - index
    index &= _WAVETABLE_SIZE - 1
    return np.asarray(wave[index] + fraction * slope[index])


def harmonic_numbers(ctx: RenderContext, frequency: float, max_count: int = 60) -> Array:
    """Return the numbers of the harmonics that a clip can hold.

    Args:
        ctx: Context of the clip.
        frequency: Fundamental frequency in Hz, with the highest vibrato.
        max_count: Largest number of harmonics.

    Returns:
        The numbers 1 to K.
    """
    highest = min(HIGHEST_PARTIAL_HZ, _VIBRATO_MARGIN * ctx.sample_rate)
    return np.arange(1.0, min(max_count, int(highest / frequency)) + 1)


def key_envelope(
    ctx: RenderContext, seconds: float, release: float, attack: float = 0.002
) -> Array:
    """Return the envelope `[T]` of a key that is held for `seconds` and then released."""
    return attack_release(ctx, seconds + release, attack, release)


def excitation_noise(
    noise: RenderContext, seconds: float, low_hz: float, high_hz: float, half_life: float
) -> Array:
    """Render a short noise burst for hammers, picks and breath.

    Args:
        noise: Context with the noise generator.
        seconds: Duration of the result, padded with silence.
        low_hz: Lower edge of the band.
        high_hz: Upper edge of the band.
        half_life: Time in seconds in which the level halves.

    Returns:
        Samples `[T]`.
    """
    length = min(seconds, 10 * half_life)
    sample_rate = noise.sample_rate
    white = white_noise_per_hz(noise, length)
    band = butterworth(white, sample_rate, low_hz, min(high_hz, 0.45 * sample_rate))
    out = np.zeros(noise.to_samples(seconds))
    out[: len(band)] = band * 0.5 ** (noise.time_axis(length) / half_life)
    return out


def _mallet_bar(
    ctx: RenderContext,
    ratios: tuple[float, ...],
    gains: tuple[float, ...],
    half_life: float,
    click_gain: float,
) -> ToneFunction:
    """Bars and tongues: a few modes at fixed ratios, and the click of the mallet.

    `half_life` is that of the lowest mode at 700 Hz; higher modes decay faster.
    """
    noise = noise_context(ctx)
    hardness = ctx.triangular(0.4, 1.3)
    mode_ratios = np.array(ratios)

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        half_lives = half_life * (700 / frequency) ** 0.6 / mode_ratios**0.7
        length = seconds + 0.15
        mode_gains = np.array(gains) * np.where(mode_ratios > 1, hardness, 1.0)
        x = decaying_partials(ctx, length, mode_ratios * frequency, mode_gains, half_lives)
        click = excitation_noise(noise, length, 1000, 5000, 0.003)
        x += click_gain * hardness * click[: len(x)]
        return velocity * x * attack_release(ctx, length, 0.001, 0.12)

    return render_tone


def xylophone(ctx: RenderContext) -> Instrument:
    """Build a xylophone: hard wooden bars whose second mode is a twelfth above."""
    half_life = ctx.log_triangular(0.045, 0.09)
    bar = _mallet_bar(ctx, (1.0, 3.0, 6.1, 9.8), (1, 0.5, 0.25, 0.12), half_life, 0.35)
    return Instrument(bar, ("wooden",))


def marimba(ctx: RenderContext) -> Instrument:
    """Build a marimba: deep wooden bars whose second mode is two octaves above and short."""
    half_life = ctx.log_triangular(0.12, 0.22)
    bar = _mallet_bar(ctx, (1.0, 3.95, 9.3), (1, 0.22, 0.06), half_life, 0.1)
    return Instrument(bar, ("wooden",))


def music_box(ctx: RenderContext) -> Instrument:
    """Build a music box: steel tongues with the modes of a clamped bar (1, 6.27, 17.5)."""
    half_life = ctx.log_triangular(0.45, 0.9)
    tongue = _mallet_bar(ctx, (1.0, 2.01, 6.27, 17.5), (1, 0.15, 0.4, 0.1), half_life, 0.25)
    return Instrument(tongue)


def synth_lead(ctx: RenderContext) -> Instrument:
    """Build an analog synthesizer: two detuned oscillators and a filter envelope per tone."""
    is_square = ctx.rng.random() < 0.4
    detune_cents = ctx.triangular(2, 9)
    low_cutoff_hz = ctx.log_triangular(300, 900)
    high_cutoff_hz = ctx.log_triangular(2500, 6500)
    closing_half_life = ctx.log_triangular(0.08, 0.8)

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        t = ctx.time_axis(seconds + 0.05)
        k = harmonic_numbers(ctx, frequency * 1.02)
        gains = np.where((k % 2 == 1) | (not is_square), 1 / k, 0.0)
        dark_cutoff = max(low_cutoff_hz, frequency)
        dark = gains / (1 + (k * frequency / dark_cutoff) ** 4) ** 0.5
        bright_cutoff = max(high_cutoff_hz, 2 * frequency)
        bright = gains / (1 + (k * frequency / bright_cutoff) ** 4) ** 0.5
        filter_opening = 0.5 ** (t / closing_half_life)
        x = np.zeros(len(t))
        for cents in (-detune_cents / 2, detune_cents / 2):
            phase = 2 * np.pi * frequency * 2 ** (cents / 1200) * t
            dark_tone = (1 - filter_opening) * wavetable_harmonics(phase, dark)
            x += dark_tone + filter_opening * wavetable_harmonics(phase, bright)
        return velocity * x * attack_release(ctx, seconds + 0.05, 0.004, 0.05)

    return Instrument(render_tone, ("electronic", "hollow") if is_square else ("electronic",))


def synth_pad(ctx: RenderContext) -> Instrument:
    """Build a soft synthesizer: three detuned sawtooth oscillators with a slow attack."""
    detune_cents = ctx.triangular(8, 18)
    cutoff_hz = ctx.log_triangular(500, 2200)
    sweep_hz = ctx.triangular(0.1, 0.4)
    attack = ctx.triangular(0.15, 0.5)

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        t = ctx.time_axis(seconds + 0.4)
        k = harmonic_numbers(ctx, frequency * 1.02, 30)
        dark_cutoff = max(cutoff_hz, frequency)
        dark = 1 / k / (1 + (k * frequency / dark_cutoff) ** 4) ** 0.5
        bright_cutoff = 2.5 * max(cutoff_hz, frequency)
        bright = 1 / k / (1 + (k * frequency / bright_cutoff) ** 4) ** 0.5
        sweep = 0.5 - 0.5 * np.cos(2 * np.pi * sweep_hz * t)
        x = np.zeros(len(t))
        for i, cents in enumerate((-detune_cents, 0.0, detune_cents)):
            phase = 2 * np.pi * frequency * 2 ** (cents / 1200) * t + 2.0 * i
            x += wavetable_harmonics(phase, (dark + bright) / 2)
        x *= 0.7 + 0.3 * sweep
        return velocity * x * attack_release(ctx, seconds + 0.4, min(attack, 0.4 * seconds), 0.4)

    return Instrument(render_tone, ("warm",) if cutoff_hz < 900 else ())
