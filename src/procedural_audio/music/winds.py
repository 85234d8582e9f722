"""Wind instruments and the choir: flute, trumpet, organ, accordion, singers.

A factory draws one instrument and returns an `Instrument`.

Letters: T samples, K partials.
"""

from __future__ import annotations

import numpy as np

from ..events import breakpoint_curve, noise_context, white_noise_per_hz
from ..sources.formants import Formants, formant_filter
from ..synth import (
    Array,
    RenderContext,
    attack_release,
    butterworth,
    phase_from_frequency,
    resonator,
)
from .instruments import (
    Instrument,
    decaying_partials,
    excitation_noise,
    harmonic_numbers,
    wavetable_harmonics,
)

_NO_DECAY = 1e6  # half-life in seconds of a steady partial


def flute(ctx: RenderContext) -> Instrument:
    """Build a flute: few harmonics, breath noise around them, and a slow vibrato."""
    noise = noise_context(ctx)
    breath = ctx.log_triangular(0.03, 0.14)
    vibrato_hz = ctx.triangular(4.2, 5.8)
    tremolo_depth = ctx.triangular(0.05, 0.22)
    richness = ctx.triangular(0.5, 1.3)
    attack = ctx.triangular(0.05, 0.12)

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        t = ctx.time_axis(seconds + 0.08)
        vibrato = np.sin(2 * np.pi * vibrato_hz * t) * np.clip((t - 0.15) / 0.4, 0, 1)
        phase = phase_from_frequency(frequency * 2 ** (6 * vibrato / 1200), ctx.sample_rate)
        gains = np.array([1.0, 0.42, 0.2, 0.06, 0.03]) * richness ** np.arange(5)
        gains = gains * min(1.0, (700 / frequency) ** 0.5) ** np.arange(5)
        num_harmonics = len(harmonic_numbers(ctx, frequency * 1.02))
        x = wavetable_harmonics(phase, gains[:num_harmonics]) * (1 + tremolo_depth * vibrato)
        white = white_noise_per_hz(noise, seconds + 0.08)[: len(t)]
        pipe = resonator(white, ctx.sample_rate, frequency, 0.25 * frequency)
        breath_noise = butterworth(white, ctx.sample_rate, 900, 6800) * 0.5 + 4 * pipe
        chiff = 1 + 3 * 0.5 ** (t / 0.03)
        envelope = attack_release(ctx, seconds + 0.08, min(attack, 0.4 * seconds), 0.08)
        return velocity * (x + breath * breath_noise * chiff) * envelope

    return Instrument(render_tone, ("breathy",) if breath > 0.09 else ())


def trumpet(ctx: RenderContext) -> Instrument:
    """Build a trumpet: the louder a tone, the more high harmonics; its pitch scoops up."""
    is_muted = ctx.rng.random() < 0.2
    brightness = ctx.triangular(0.7, 1.3)
    scoop_cents = ctx.triangular(20, 90)
    vibrato_cents = ctx.triangular(3, 9)
    formant_hz = ctx.triangular(1100, 1500) * (1.7 if is_muted else 1.0)
    attack = ctx.triangular(0.025, 0.06)

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        t = ctx.time_axis(seconds + 0.06)
        vibrato = vibrato_cents * np.sin(2 * np.pi * 5.3 * t) * np.clip((t - 0.4) / 0.4, 0, 1)
        cents = vibrato - scoop_cents * 0.5 ** (t / 0.012)
        phase = phase_from_frequency(frequency * 2 ** (cents / 1200), ctx.sample_rate)
        partials = harmonic_numbers(ctx, frequency * 1.01) * frequency
        rise = np.minimum((partials / formant_hz) ** (1.6 if is_muted else 0.8), 1.0)
        loud = rise * np.exp(-np.maximum(partials - formant_hz, 0) / (1500 * brightness))
        soft = loud * np.exp(-partials / 900)
        pressure_peak = min(0.3, 0.07 / seconds)
        pressure = breakpoint_curve(len(t), (0, 0), (pressure_peak, 1), (0.8, 0.75), (1, 0.2))
        pressure = pressure * velocity
        loud_tone = pressure * wavetable_harmonics(phase, loud)
        soft_tone = wavetable_harmonics(phase, soft / (soft.max() + 1e-9))
        x = loud_tone + (1 - pressure) * soft_tone
        return velocity * x * attack_release(ctx, seconds + 0.06, attack, 0.06)

    return Instrument(render_tone, ("muted",) if is_muted else ())


def organ(ctx: RenderContext) -> Instrument:
    """Build a pipe organ: ranks of pipes at octaves and fifths, and a puff at the start."""
    noise = noise_context(ctx)
    ranks = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 8.0])
    rank_gains = [1.0]
    for low, high in ((0.4, 1), (0, 0.5), (0.2, 0.8), (0, 0.3), (0, 0.45)):
        rank_gains.append(ctx.triangular(low, high))
    detuning = noise_context(ctx).rng.normal(0, 0.0007, 24)
    pipe_gains = np.array([1.0, 0.35, 0.16, 0.07])

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        length = seconds + 0.15
        pitches = np.outer(ranks * frequency, np.arange(1.0, 5.0)).ravel() * (1 + detuning)
        rolloff = np.where(pitches < 5000, 1.0, np.exp(-(pitches - 5000) / 900))
        gains = np.outer(np.array(rank_gains), pipe_gains).ravel() * rolloff
        phases = np.arange(24.0) ** 2
        x = decaying_partials(ctx, length, pitches, gains, np.full(24, _NO_DECAY), phases)
        puff = excitation_noise(noise, length, frequency, 6 * frequency, 0.02)
        x += 0.5 * puff[: len(x)]
        return velocity * x * attack_release(ctx, length, 0.04, 0.15)

    return Instrument(render_tone)


def accordion(ctx: RenderContext) -> Instrument:
    """Build an accordion: pairs of free reeds a few cents apart, which beat."""
    detune_cents = ctx.triangular(6, 16)
    rolloff_hz = ctx.triangular(1200, 2600)

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        t = ctx.time_axis(seconds + 0.07)
        k = harmonic_numbers(ctx, frequency * 1.02)
        gains = k**-0.5 * np.exp(-k * frequency / rolloff_hz)
        x = np.zeros(len(t))
        for cents in (-detune_cents / 2, detune_cents / 2):
            phase = 2 * np.pi * frequency * 2 ** (cents / 1200) * t
            x = x + wavetable_harmonics(phase, gains)
        return velocity * x * attack_release(ctx, seconds + 0.07, 0.05, 0.07)

    return Instrument(render_tone)


_VOWEL_AH: Formants = ((710, 90, 1.0), (1150, 110, 0.7), (2750, 160, 0.25), (3500, 200, 0.15))
_VOWEL_OO: Formants = ((330, 70, 1.0), (800, 90, 0.35), (2450, 150, 0.06), (3300, 200, 0.04))
_CHOIR_TOP_HZ = 4600
# Depth of the vibrato (22 cents) and of the slow drift (8 cents), as phase deviation.
_VIBRATO_DEPTH = 0.0128
_DRIFT_DEPTH = 0.0046


def choir(ctx: RenderContext) -> Instrument:
    """Build four singers on one vowel, each with vibrato and a slow drift of pitch.

    The vocal tract filters the whole clip.
    """
    noise = noise_context(ctx)
    head = ctx.triangular(0.97, 1.2)
    is_open = ctx.rng.random() < 0.6
    base_vowel = _VOWEL_AH if is_open else _VOWEL_OO
    vowel = tuple((center * head, bandwidth, gain) for center, bandwidth, gain in base_vowel)
    # A row per singer: vibrato rate, drift rate, and the phase of each.
    lowest = (4.8, 0.5, 0, 0)
    highest = (6.2, 1.4, 6.28, 6.28)
    singers = noise_context(ctx).rng.uniform(lowest, highest, (4, 4))

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        t = ctx.time_axis(seconds + 0.2)
        k = np.arange(1.0, min(40, int(_CHOIR_TOP_HZ / frequency)) + 1)
        x = 0.05 * white_noise_per_hz(noise, seconds + 0.2)[: len(t)]
        for vibrato_hz, drift_hz, vibrato_phase, drift_phase in singers:
            vibrato = np.sin(2 * np.pi * vibrato_hz * t + vibrato_phase)
            drift = np.sin(2 * np.pi * drift_hz * t + drift_phase)
            deviation = _VIBRATO_DEPTH / vibrato_hz * vibrato + _DRIFT_DEPTH / drift_hz * drift
            start = 0.01 * (vibrato_phase + drift_phase)
            phase = 2 * np.pi * frequency * (t + deviation / (2 * np.pi) + start)
            x += wavetable_harmonics(phase, k**-1.1)
        attack = min(0.18, 0.4 * seconds)
        return velocity * x * attack_release(ctx, seconds + 0.2, attack, 0.2)

    def sing(x: Array) -> Array:
        return formant_filter(x, ctx.sample_rate, vowel)

    return Instrument(render_tone, process_clip=sing)
