"""String instruments: struck, plucked and bowed strings, with their bodies and amplifiers.

A factory draws one instrument and returns an `Instrument`.

Letters: T samples, K partials.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import resample_poly

from ..events import noise_context, white_noise_per_hz
from ..sources.formants import Formants, formant_filter
from ..synth import (
    Array,
    RenderContext,
    attack_release,
    butterworth,
    phase_from_frequency,
    random_curve,
)
from .instruments import (
    Instrument,
    ToneFunction,
    decaying_partials,
    excitation_noise,
    harmonic_numbers,
    key_envelope,
    wavetable_harmonics,
)

_MAX_STRING_PARTIALS = 80
_STRING_STIFFNESS = 4e-5  # inharmonicity of a plucked string
_OVERSAMPLING = 4  # of the amplifier, whose distortion makes new harmonics that would alias


def piano(ctx: RenderContext) -> Instrument:
    """Build a piano: stiff strings, partials a little sharp, a fast decay and then a slow one."""
    noise = noise_context(ctx)
    brightness = ctx.triangular(0, 1)
    sustain = ctx.log_triangular(0.7, 1.6)
    stiffness = ctx.log_triangular(1.5e-4, 5e-4)

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        k = harmonic_numbers(ctx, frequency, 40)
        inharmonicity = stiffness * (frequency / 262) ** 0.8
        stretch = np.sqrt((1 + inharmonicity * k**2) / (1 + inharmonicity))
        partials = frequency * k * stretch
        hammer_position = 0.25 + np.abs(np.sin(np.pi * k * 0.12))
        rolloff = np.exp(-partials / (700 + 1900 * brightness * velocity))
        gains = hammer_position / k**0.6 * rolloff
        half_lives = sustain * 0.55 * (262 / frequency) ** 0.45 / (1 + 0.12 * k)
        # Each partial is a fast decay plus a slow one, slightly detuned so that they beat.
        x = decaying_partials(
            ctx,
            seconds + 0.2,
            np.concatenate([partials, partials * 1.0002]),
            np.concatenate([0.75 * gains, 0.25 * gains]),
            np.concatenate([half_lives, 3.5 * half_lives]),
        )
        x += 0.25 * velocity * excitation_noise(noise, seconds + 0.2, 60, 900, 0.012)
        return x * key_envelope(ctx, seconds, 0.2, 0.002 + 0.003 * (1 - brightness))

    qualities: tuple[str, ...] = ()
    if brightness > 0.75:
        qualities = ("bright",)
    elif brightness < 0.25:
        qualities = ("mellow",)
    return Instrument(render_tone, qualities)


def _plucked_string(
    ctx: RenderContext,
    position: float,
    brightness: float,
    sustain: float,
    variation: RenderContext,
) -> ToneFunction:
    """A string plucked at a fraction `position` of its length.

    Harmonic k of an ideal string starts as sin(k pi position) / k, and high harmonics decay
    first. `variation` is the generator of the deviations of one instrument.
    """
    normal = variation.rng.standard_normal(_MAX_STRING_PARTIALS)
    deviations = np.clip(1 + 0.3 * normal, 0.2, 2.0)
    phases = variation.rng.uniform(0, 2 * np.pi, _MAX_STRING_PARTIALS)

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        k = harmonic_numbers(ctx, frequency, 70)
        n = len(k)
        rolloff = np.exp(-k * frequency / (500 + 4500 * brightness * velocity))
        gains = deviations[:n] * np.abs(np.sin(np.pi * k * position)) / k * rolloff
        gains[0] = max(gains[0], 0.5 * gains.max())
        base_decay = 1 / (sustain * (196 / frequency) ** 0.4)
        half_lives = 1 / (base_decay + (k * frequency / 1500) ** 1.5 / 1.2)
        stretch = np.sqrt((1 + _STRING_STIFFNESS * k**2) / (1 + _STRING_STIFFNESS))
        partials = frequency * k * stretch
        x = decaying_partials(ctx, seconds + 0.12, partials, gains, half_lives, phases[:n])
        return x * key_envelope(ctx, seconds, 0.12, 0.0015)

    return render_tone


def guitar(ctx: RenderContext) -> Instrument:
    """Build an acoustic guitar: the string, the pick, and the two lowest modes of the body."""
    noise = noise_context(ctx)
    brightness = ctx.triangular(0.1, 1)
    position = ctx.triangular(0.12, 0.3)
    sustain = ctx.log_triangular(0.5, 1.0)
    string = _plucked_string(ctx, position, brightness, sustain, noise_context(ctx))
    body_modes = np.array([ctx.triangular(95, 120), ctx.triangular(190, 230)])
    body_gains = np.array([1.0, 0.7])
    body_half_lives = np.array([0.03, 0.025])

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        x = string(frequency, seconds, velocity)
        length = len(x) / ctx.sample_rate
        body = decaying_partials(ctx, length, body_modes, body_gains, body_half_lives)
        x += 0.12 * body[: len(x)]
        pick = excitation_noise(noise, length, 1500, 6500, 0.006)
        x += (0.03 + 0.07 * brightness) * pick[: len(x)]
        return x

    qualities = ("acoustic",)
    if brightness > 0.65:
        qualities = ("steel-string",)
    elif brightness < 0.35:
        qualities = ("nylon-string",)
    return Instrument(render_tone, qualities)


def electric_guitar(ctx: RenderContext) -> Instrument:
    """Build an electric guitar: long plucked strings through an overdriven amplifier.

    The amplifier distorts the whole clip, so the tones of a chord intermodulate.
    """
    drive = ctx.log_triangular(4, 30)
    position = ctx.triangular(0.15, 0.35)
    sustain = ctx.log_triangular(1.2, 2.5)
    string = _plucked_string(ctx, position, 0.7, sustain, noise_context(ctx))
    cabinet_hz = ctx.triangular(3200, 5200)

    def amplify(x: Array) -> Array:
        normalized = x / (np.abs(x).max() + 1e-9)
        distorted = np.tanh(drive * resample_poly(normalized, _OVERSAMPLING, 1))
        output = np.asarray(resample_poly(distorted, 1, _OVERSAMPLING))[: len(x)]
        return butterworth(output, ctx.sample_rate, 70, cabinet_hz, order=3)

    return Instrument(string, ("distorted",) if drive > 9 else ("overdriven",), amplify)


def bass_guitar(ctx: RenderContext) -> Instrument:
    """Build an electric bass: a thick, dull string with a soft thump of the finger."""
    noise = noise_context(ctx)
    brightness = ctx.triangular(0.02, 0.22)
    position = ctx.triangular(0.2, 0.4)
    sustain = ctx.log_triangular(0.35, 0.8)
    string = _plucked_string(ctx, position, brightness, sustain, noise_context(ctx))

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        x = string(frequency, seconds, velocity)
        finger = excitation_noise(noise, len(x) / ctx.sample_rate, 80, 1200, 0.01)
        return x + 0.08 * finger[: len(x)]

    return Instrument(render_tone)


def _bowed_string(ctx: RenderContext, body: Formants, attack: float) -> Instrument:
    """A bowed string: a sawtooth with vibrato, whose level the resonances of the body vary."""
    noise = noise_context(ctx)
    vibrato_hz = ctx.triangular(4.8, 6.4)
    vibrato_cents = ctx.triangular(10, 26)
    bow_noise = ctx.triangular(0.02, 0.06)
    rolloff_hz = ctx.triangular(1800, 4500)

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        t = ctx.time_axis(seconds + 0.1)
        depth = vibrato_cents * np.clip((t - 0.12) / 0.3, 0, 1)
        k = harmonic_numbers(ctx, frequency * 1.02)
        vibrato = 2 ** (depth / 1200 * np.sin(2 * np.pi * vibrato_hz * t))
        phase = phase_from_frequency(frequency * vibrato, ctx.sample_rate)
        x = wavetable_harmonics(phase, k**-0.9 * np.exp(-k * frequency / rolloff_hz))
        white = white_noise_per_hz(noise, seconds + 0.1)[: len(t)]
        # The noise of the bow is modulated by the vibration of the string.
        modulation = bow_noise * (1 + np.sin(phase))
        x += modulation * butterworth(white, ctx.sample_rate, 900, 6500)
        x = 0.3 * x + formant_filter(x, ctx.sample_rate, body)
        level = 1 + 0.08 * random_curve(noise, seconds + 0.1, 7.0)[: len(t)]
        envelope = attack_release(ctx, seconds + 0.1, min(attack, 0.4 * seconds), 0.1)
        return velocity * x * level * envelope

    qualities: tuple[str, ...] = ()
    if rolloff_hz > 3600:
        qualities = ("bright",)
    elif rolloff_hz < 2400:
        qualities = ("warm",)
    return Instrument(render_tone, qualities)


_VIOLIN_BODY: Formants = (
    (290, 60, 0.9),
    (470, 70, 1.0),
    (560, 80, 0.7),
    (1000, 200, 0.5),
    (2600, 900, 1.1),
    (4200, 900, 0.3),
)
_CELLO_BODY: Formants = (
    (105, 30, 0.8),
    (190, 40, 1.0),
    (240, 50, 0.8),
    (480, 120, 0.6),
    (1000, 400, 0.4),
    (2000, 600, 0.25),
)


def violin(ctx: RenderContext) -> Instrument:
    """Build a violin: small bowed strings."""
    body = _tune_body(_VIOLIN_BODY, ctx.triangular(0.93, 1.07))
    return _bowed_string(ctx, body, ctx.log_triangular(0.05, 0.18))


def cello(ctx: RenderContext) -> Instrument:
    """Build a cello: large bowed strings."""
    body = _tune_body(_CELLO_BODY, ctx.triangular(0.93, 1.07))
    return _bowed_string(ctx, body, ctx.log_triangular(0.06, 0.2))


def _tune_body(body: Formants, factor: float) -> Formants:
    """Scale the resonances of a body, but not their bandwidths."""
    return [(center * factor, bandwidth, gain) for center, bandwidth, gain in body]
