"""Birds, frogs and insects: duck, rooster, crow, owl, songbird, frog, cricket, bee."""

from __future__ import annotations

import numpy as np

from ..events import (
    breakpoint_curve,
    descriptor,
    limit_length,
    log_interpolate,
    noise_context,
    periodic_annotations,
    periodic_onsets,
    repeat_calls,
    white_noise_per_hz,
)
from ..sound_class import Annotations, SoundClass, Take, effect_class
from ..synth import (
    Array,
    RenderContext,
    attack_release,
    mix_into,
    random_curve,
    resonator,
)
from .formants import (
    formant_filter,
    jitter,
    moving_formant_filter,
    pulse_train,
    scale_formants,
    whistle_tone,
)

# Breakpoints (position, value) of a rooster's crow: its pitch relative to the long note, and its
# level, which is low between the syllables.
_CROW_PITCH = (
    *((0, 0.6), (0.06, 0.85), (0.13, 0.8), (0.17, 0.78), (0.22, 0.95), (0.29, 0.9), (0.33, 0.85)),
    *((0.4, 1.12), (0.47, 1.12), (0.53, 0.9), (0.6, 1.0), (0.85, 0.95), (1, 0.55)),
)
_CROW_LEVEL = (
    *((0, 0), (0.04, 0.8), (0.11, 0.7), (0.15, 0.03), (0.19, 0.8), (0.26, 0.7), (0.3, 0.03)),
    *((0.35, 0.9), (0.46, 1), (0.51, 0.15), (0.57, 1), (0.8, 0.9), (1, 0)),
)
_HIGHEST_SONG_HZ = 6800.0


def duck(ctx: RenderContext) -> Take:
    """Render quacks: a nasal tone with two narrow formants, whose pitch sinks a little."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    pitch = log_interpolate(340, 150, size) * ctx.log_triangular(0.93, 1.07)
    length = limit_length(ctx, ctx.log_triangular(0.13, 0.26))
    breath = ctx.triangular(0.08, 0.25)
    head = log_interpolate(1.2, 0.85, size)
    closed = scale_formants(((900, 120, 0.8), (2300, 200, 0.6)), head)
    opened = scale_formants(((1250, 130, 1.0), (2700, 220, 1.0), (3900, 400, 0.4)), head)

    def quack(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(n, (0, 1.08), (0.3, 1), (1, 0.82))
        frequency = jitter(ctx, pitch * pitch_factor * contour, 0.02, 80)
        excitation = pulse_train(frequency, ctx.sample_rate, 0.15)
        excitation = excitation + breath * white_noise_per_hz(noise, length)
        opening = breakpoint_curve(n, (0, 0), (0.35, 1), (1, 0.3))
        envelope = breakpoint_curve(n, (0, 0), (0.1, 1), (0.7, 0.8), (1, 0))
        sound = moving_formant_filter(excitation, ctx.sample_rate, closed, opened, opening)
        return sound * envelope

    qualities = descriptor(size, ("small",), ("large",))
    return repeat_calls(ctx, length, (0.07, 0.6), 8, quack, qualities)


def rooster(ctx: RenderContext) -> Take:
    """Render a crow of four syllables: two short notes, a jump, and a long note that sinks."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    pitch = log_interpolate(900, 480, size)
    length = limit_length(ctx, ctx.log_triangular(1.4, 2.6))
    breath = ctx.triangular(0.05, 0.2)
    roughness = ctx.triangular(0.004, 0.015)
    head = log_interpolate(1.2, 0.8, size)
    formants = scale_formants(((1000, 300, 1.0), (2100, 400, 0.9), (3300, 500, 0.5)), head)

    def cock_a_doodle_doo(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(n, *_CROW_PITCH)
        frequency = jitter(ctx, pitch * pitch_factor * contour, roughness, 70)
        excitation = pulse_train(frequency, ctx.sample_rate, 0.4)
        excitation = excitation + breath * white_noise_per_hz(noise, length)
        sound = formant_filter(excitation, ctx.sample_rate, formants)
        return sound * breakpoint_curve(n, *_CROW_LEVEL)

    qualities = descriptor(size, ("young",), ("large",))
    return repeat_calls(ctx, length, (0.4, 1.2), 2, cock_a_doodle_doo, qualities)


def crow(ctx: RenderContext) -> Take:
    """Render caws: half tone and half noise, with a rattle of about seventy hertz."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    pitch = log_interpolate(640, 310, size)
    length = limit_length(ctx, ctx.log_triangular(0.26, 0.5))
    rattle_hz = ctx.triangular(55, 95)
    depth = ctx.triangular(0.5, 0.85)
    breath = ctx.triangular(0.6, 1.2)
    head = log_interpolate(1.22, 0.85, size)
    formants = scale_formants(((1350, 300, 1.0), (1900, 350, 0.9), (3400, 700, 0.35)), head)

    def caw(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(n, (0, 0.8), (0.2, 1.05), (0.7, 1), (1, 0.75))
        frequency = jitter(ctx, pitch * pitch_factor * contour, 0.05, 160)
        rattle_frequency = jitter(ctx, np.full(n, rattle_hz), 0.2, 40)
        modulator = whistle_tone(rattle_frequency, ctx.sample_rate, 0.0)
        rattle = 1 - depth * (0.5 + 0.5 * modulator)
        excitation = pulse_train(frequency, ctx.sample_rate, 0.3)
        excitation = excitation + breath * white_noise_per_hz(noise, length)
        envelope = breakpoint_curve(n, (0, 0), (0.12, 1), (0.7, 0.85), (1, 0))
        return formant_filter(excitation, ctx.sample_rate, formants) * rattle * envelope

    qualities = descriptor(size, ("small",), ("large",))
    return repeat_calls(ctx, length, (0.12, 0.8), 5, caw, qualities)


def owl(ctx: RenderContext) -> Take:
    """Render hoots: nearly pure tones. The pitch of their flat middle is annotated."""
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(190, 800)
    length = limit_length(ctx, ctx.log_triangular(0.22, 0.55))
    second_harmonic = ctx.triangular(0.03, 0.15)
    breath = ctx.triangular(0.02, 0.1)

    def hoot(_: float) -> Array:
        n = ctx.to_samples(length)
        frequency = pitch * breakpoint_curve(n, (0, 0.93), (0.2, 1), (0.85, 1), (1, 0.95))
        hiss_noise = white_noise_per_hz(noise, length)
        breath_noise = resonator(hiss_noise, ctx.sample_rate, 1.1 * pitch, 0.5 * pitch)
        envelope = breakpoint_curve(n, (0, 0), (0.25, 0.9), (0.5, 1), (0.8, 0.8), (1, 0))
        tone = whistle_tone(frequency, ctx.sample_rate, second_harmonic)
        return (tone + breath * breath_noise) * envelope

    take = repeat_calls(ctx, length, (0.1, 0.8), 6, hoot)
    take.annotations["pitch_hz"] = pitch
    return take


def bird(ctx: RenderContext) -> Take:
    """Render a song: phrases of one repeated syllable, a new syllable for each phrase."""
    size = ctx.triangular(0, 1)
    center_hz = log_interpolate(5200, 2100, size)
    canvas = ctx.silence()
    time = ctx.triangular(0.05, min(0.3, 0.14 * ctx.duration))
    while time < ctx.duration - 0.08:
        length = ctx.log_triangular(0.04, 0.17) * (1 + 0.4 * size)
        syllable = _song_syllable(ctx, length, center_hz)
        period = length * ctx.triangular(1.25, 1.9)
        for _ in range(ctx.integer(1, 6)):
            if time + length < ctx.duration:
                gain = ctx.triangular(0.7, 1)
                mix_into(canvas, syllable, round(time * ctx.sample_rate), gain)
            time += period
        time += ctx.log_triangular(0.05, 0.4)
    return Take(canvas, Annotations(qualities=descriptor(size, ("small",), ("large",))))


def _song_syllable(ctx: RenderContext, length: float, center_hz: float) -> Array:
    """A whistled glide through three pitches around `center_hz`, perhaps with a fast trill."""
    pitches: list[float] = []
    for _ in range(3):
        pitches.append(min(_HIGHEST_SONG_HZ, center_hz * ctx.log_triangular(0.72, 1.35)))
    trill_hz = ctx.triangular(25, 60)
    depth = ctx.triangular(0, 0.06)
    turn = ctx.triangular(0.3, 0.7)
    n = ctx.to_samples(length)
    trill = 1 + depth * np.sin(2 * np.pi * trill_hz * ctx.time_axis(length))
    glide = breakpoint_curve(n, (0, pitches[0]), (turn, pitches[1]), (1, pitches[2]))
    envelope = breakpoint_curve(n, (0, 0), (0.25, 1), (0.65, 0.9), (1, 0))
    return whistle_tone(glide * trill, ctx.sample_rate, 0.08) * envelope


def frog(ctx: RenderContext) -> Take:
    """Render croaks at a steady rate: bursts of about fifty throat pulses per second."""
    size = ctx.triangular(0, 1)
    rate_hz = ctx.log_triangular(0.8, 4.5)
    length = limit_length(ctx, min(0.55 / rate_hz, ctx.log_triangular(0.14, 0.4)))
    pulse_hz = log_interpolate(85, 35, size) * ctx.log_triangular(0.9, 1.1)
    head = log_interpolate(1.7, 0.65, size)
    formants = scale_formants(((620, 110, 1.0), (1500, 200, 0.7), (2600, 300, 0.2)), head)
    n = ctx.to_samples(length)
    frequency = pulse_hz * breakpoint_curve(n, (0, 0.85), (0.6, 1), (1, 1.15))
    excitation = pulse_train(frequency, ctx.sample_rate, 0.0)
    envelope = breakpoint_curve(n, (0, 0), (0.15, 0.5), (0.75, 1), (1, 0))
    croak = formant_filter(excitation, ctx.sample_rate, formants) * envelope
    onsets = periodic_onsets(ctx, rate_hz, length)
    canvas = ctx.silence()
    for onset in onsets:
        mix_into(canvas, croak, round(onset * ctx.sample_rate), ctx.triangular(0.9, 1))
    annotations = periodic_annotations(onsets, rate_hz)
    annotations["qualities"] = descriptor(size, ("small",), ("large", "deep"))
    return Take(canvas, annotations)


def cricket(ctx: RenderContext) -> Take:
    """Render chirps at a steady rate: three to five wing strokes of a tone of 3.4 to 6.2 kHz."""
    tone_hz = ctx.log_triangular(3400, 6200)
    num_strokes = ctx.integer(3, 5)
    stroke_hz = ctx.triangular(28, 48)
    length = num_strokes / stroke_hz
    rate_hz = ctx.log_triangular(0.9, min(5.0, 0.6 / length))
    t = ctx.time_axis(length)
    position = t * stroke_hz % 1  # inside a stroke
    stroke = np.sin(np.pi * np.minimum(position / 0.75, 1.0)) ** 1.5
    envelope = stroke * breakpoint_curve(len(t), (0, 0.5), (0.6, 1), (1, 0.9))
    chirp = whistle_tone(tone_hz * (1 - 0.015 * position), ctx.sample_rate, 0.0) * envelope
    onsets = periodic_onsets(ctx, rate_hz, length)
    canvas = ctx.silence()
    for onset in onsets:
        mix_into(canvas, chirp, round(onset * ctx.sample_rate))
    return Take(canvas, periodic_annotations(onsets, rate_hz))


def bee(ctx: RenderContext) -> Take:
    """Render a buzz: a bright steady tone at the wing rate, whose level drifts with distance.

    The wing rate is the annotated pitch.
    """
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(95, 480)
    tilt = ctx.triangular(0.5, 1.0)
    drift_depth = ctx.triangular(0.2, 0.6)
    drift = random_curve(ctx, ctx.duration, ctx.triangular(1, 4))
    frequency = jitter(ctx, np.full(ctx.num_samples, pitch), 0.003, 5)
    frequency = jitter(ctx, frequency, 0.002, 60)
    wings = pulse_train(frequency, ctx.sample_rate, tilt, top_hz=6000)
    wings = wings + 0.05 * white_noise_per_hz(noise, ctx.duration)
    resonances = ((2.2 * pitch, pitch, 0.9), (2600, 900, 0.8))
    body = wings + formant_filter(wings, ctx.sample_rate, resonances)
    fade = attack_release(ctx, ctx.duration, 0.08, 0.08)
    envelope = np.exp(drift_depth * drift) * fade
    size = np.log(480 / pitch) / np.log(480 / 95)
    qualities = descriptor(size, ("small",), ("large",))
    return Take(body * envelope, Annotations(pitch_hz=pitch, qualities=qualities))


CLASSES: tuple[SoundClass, ...] = (
    effect_class(
        "duck",
        duck,
        ("duck", "mallard", "farm duck"),
        ("quacking", "squawking", "calling from a lake"),
        can_be_indoors=False,
    ),
    effect_class(
        "rooster",
        rooster,
        ("rooster", "cockerel", "cock"),
        ("crowing", "crowing at dawn", "calling at daybreak"),
        can_be_indoors=False,
    ),
    effect_class(
        "crow",
        crow,
        ("crow", "raven", "black crow"),
        ("cawing", "calling hoarsely", "cawing from a tree"),
        can_be_indoors=False,
    ),
    effect_class(
        "owl",
        owl,
        ("owl", "eagle owl", "tawny owl"),
        ("hooting", "calling at night", "hooting in a wood"),
        can_be_indoors=False,
    ),
    effect_class(
        "bird",
        bird,
        ("bird", "songbird", "warbler", "finch"),
        ("singing", "chirping", "tweeting", "twittering"),
        is_sustained=True,
    ),
    effect_class(
        "frog",
        frog,
        ("frog", "toad", "pond frog"),
        ("croaking", "ribbiting", "calling by a pond"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "cricket",
        cricket,
        ("cricket", "field cricket", "tree cricket"),
        ("chirping", "chirring", "stridulating"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "bee",
        bee,
        ("bee", "bumblebee", "honeybee", "wasp"),
        ("buzzing", "buzzing around", "flying about"),
        is_sustained=True,
        can_be_far=False,
    ),
)
