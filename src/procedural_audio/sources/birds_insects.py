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
    butterworth,
    mix_into,
    random_curve,
    resonator,
)
from .formants import (
    formant_filter,
    jitter,
    pulse_train,
    whistle_tone,
)
from .surroundings import add_air
from .vocal_tract import Larynx, build_throat, filter_voice, vibrate

# Breakpoints (position, value) of a rooster's crow: its pitch relative to the long note, and its
# level, which is low between the syllables.
_CROW_PITCH = (
    *((0, 0.75), (0.07, 0.95), (0.13, 0.8), (0.17, 0.75), (0.22, 1.0), (0.3, 0.9), (0.34, 0.8)),
    *((0.38, 1.15), (0.42, 1.3), (0.6, 1.25), (0.75, 1.15), (0.88, 0.95), (1, 0.6)),
)
_CROW_LEVEL = (
    *((0, 0), (0.03, 0.7), (0.1, 0.6), (0.14, 0.05), (0.18, 0.8), (0.27, 0.7), (0.31, 0.08)),
    *((0.36, 0.9), (0.42, 1), (0.7, 1), (0.85, 0.6), (1, 0)),
)
_HIGHEST_SONG_HZ = 6800.0


def duck(ctx: RenderContext) -> Take:
    """Render quacks: a harsh nasal tone whose pitch sinks a little."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    pitch = log_interpolate(340, 170, size) * ctx.log_triangular(0.93, 1.07)
    length = limit_length(ctx, ctx.log_triangular(0.14, 0.28))
    larynx = Larynx(0.0, 0.025, 0.2, ctx.triangular(0.2, 0.5), ctx.triangular(0.0, 0.4))
    throat = build_throat(ctx, log_interpolate(0.055, 0.08, size), 0.2, 1.25)
    harsh = ctx.triangular(0.1, 0.5)

    def quack(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(n, (0, 1.1), (0.3, 1), (1, 0.78))
        cry = vibrate(ctx, noise, pitch * pitch_factor * contour, larynx, harsh)
        opening = breakpoint_curve(n, (0, 0.3), (0.35, 1), (1, 0.4))
        envelope = breakpoint_curve(n, (0, 0), (0.1, 1), (0.6, 0.8), (1, 0))
        sound = filter_voice(cry, ctx.sample_rate, throat, opening) * envelope
        return butterworth(sound, ctx.sample_rate, 700)

    qualities = descriptor(size, ("small",), ("large",))
    return repeat_calls(ctx, length, (0.07, 0.6), 8, quack, qualities)


def rooster(ctx: RenderContext) -> Take:
    """Render a crow of four syllables: two short notes, a jump, and a long note that sinks."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    pitch = log_interpolate(880, 500, size)
    length = limit_length(ctx, ctx.log_triangular(1.0, 1.7))
    larynx = Larynx(0.1, 0.008, 0.1, ctx.triangular(0.05, 0.2), ctx.triangular(0.0, 0.3))
    throat = build_throat(ctx, log_interpolate(0.055, 0.075, size), 0.1, 1.3)
    harsh = ctx.triangular(0.2, 0.7)

    def cock_a_doodle_doo(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(n, *_CROW_PITCH)
        harshness = harsh * breakpoint_curve(n, (0, 0.5), (0.35, 0.3), (0.5, 0.4), (1, 1))
        cry = vibrate(ctx, noise, pitch * pitch_factor * contour, larynx, harshness)
        opening = breakpoint_curve(n, (0, 0.5), (0.2, 0.8), (0.4, 1), (0.8, 1), (1, 0.4))
        sound = filter_voice(cry, ctx.sample_rate, throat, opening)
        return butterworth(sound, ctx.sample_rate, 500) * breakpoint_curve(n, *_CROW_LEVEL)

    qualities = descriptor(size, ("young",), ("large",))
    take = repeat_calls(ctx, length, (0.4, 1.2), 2, cock_a_doodle_doo, qualities)
    return Take(add_air(noise, take.samples, ctx.triangular(-56, -46)), take.annotations)


def crow(ctx: RenderContext) -> Take:
    """Render caws: a hoarse voice that is half noise, with a rattle of about seventy hertz."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    pitch = log_interpolate(560, 330, size)
    length = limit_length(ctx, ctx.log_triangular(0.3, 0.55))
    larynx = Larynx(0.1, 0.02, 0.2, ctx.triangular(0.1, 0.3), ctx.triangular(0.2, 0.8))
    throat = build_throat(ctx, log_interpolate(0.05, 0.075, size), 0.2, 1.2)
    harsh = ctx.triangular(0.3, 0.6)

    def caw(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(n, (0, 0.8), (0.25, 1.08), (0.7, 1), (1, 0.75))
        cry = vibrate(ctx, noise, pitch * pitch_factor * contour, larynx, harsh)
        opening = breakpoint_curve(n, (0, 0.3), (0.3, 1), (0.7, 0.8), (1, 0.3))
        envelope = breakpoint_curve(n, (0, 0), (0.12, 1), (0.7, 0.85), (1, 0))
        sound = filter_voice(cry, ctx.sample_rate, throat, opening) * envelope
        return butterworth(sound, ctx.sample_rate, 700)

    qualities = descriptor(size, ("small",), ("large",))
    take = repeat_calls(ctx, length, (0.12, 0.8), 5, caw, qualities)
    return Take(add_air(noise, take.samples, ctx.triangular(-64, -54)), take.annotations)


def owl(ctx: RenderContext) -> Take:
    """Render hoots in the quiet of the night: soft tones that rise, hold and sink.

    The pitch of their flat middle is annotated.
    """
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(220, 640)
    length = limit_length(ctx, ctx.log_triangular(0.25, 0.6))
    second_harmonic = ctx.triangular(0.03, 0.12)
    breath = ctx.triangular(0.05, 0.15)
    bend = ctx.triangular(0.66, 0.75)

    def hoot(_: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(n, (0, bend), (0.3, 1), (0.8, 1), (1, bend + 0.03))
        frequency = jitter(ctx, pitch * contour, 0.006, 20)
        hiss_noise = white_noise_per_hz(noise, length)
        breath_noise = resonator(hiss_noise, ctx.sample_rate, 1.1 * pitch, 0.6 * pitch)
        envelope = breakpoint_curve(n, (0, 0), (0.25, 0.9), (0.5, 1), (0.8, 0.8), (1, 0))
        tone = whistle_tone(frequency, ctx.sample_rate, second_harmonic)
        return (tone + breath * breath_noise) * envelope

    take = repeat_calls(ctx, length, (0.1, 0.8), 6, hoot)
    take.annotations["pitch_hz"] = pitch
    night = add_air(noise, take.samples, ctx.triangular(-54, -44))
    return Take(night, take.annotations)


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
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    rate_hz = ctx.log_triangular(0.8, 4.5)
    length = limit_length(ctx, min(0.55 / rate_hz, ctx.log_triangular(0.14, 0.4)))
    pulse_hz = log_interpolate(85, 35, size) * ctx.log_triangular(0.9, 1.1)
    larynx = Larynx(0.0, 0.02, 0.15, ctx.triangular(0.1, 0.5))
    throat = build_throat(ctx, log_interpolate(0.1, 0.18, size), 0.12, 1.3)
    n = ctx.to_samples(length)
    frequency = pulse_hz * breakpoint_curve(n, (0, 0.85), (0.6, 1), (1, 1.15))
    cry = vibrate(ctx, noise, frequency, larynx)
    opening = breakpoint_curve(n, (0, 0.3), (0.6, 1), (1, 0.4))
    envelope = breakpoint_curve(n, (0, 0), (0.15, 0.5), (0.75, 1), (1, 0))
    sound = filter_voice(cry, ctx.sample_rate, throat, opening) * envelope
    croak = butterworth(sound, ctx.sample_rate, 300)
    onsets = periodic_onsets(ctx, rate_hz, length)
    canvas = ctx.silence()
    for onset in onsets:
        mix_into(canvas, croak, round(onset * ctx.sample_rate), ctx.triangular(0.9, 1))
    annotations = periodic_annotations(onsets, rate_hz)
    annotations["qualities"] = descriptor(size, ("small",), ("large", "deep"))
    return Take(canvas, annotations)


def cricket(ctx: RenderContext) -> Take:
    """Render chirps at a steady rate: three to five wing strokes of a tone of 3.4 to 6.2 kHz."""
    tone_hz = ctx.log_triangular(3600, 5800)
    num_strokes = ctx.integer(3, 5)
    stroke_hz = ctx.triangular(28, 48)
    length = num_strokes / stroke_hz
    rate_hz = ctx.log_triangular(0.9, min(5.0, 0.6 / length))
    t = ctx.time_axis(length)
    position = t * stroke_hz % 1  # inside a stroke
    stroke = np.sin(np.pi * np.minimum(position / 0.55, 1.0)) ** 1.5
    envelope = stroke * breakpoint_curve(len(t), (0, 0.5), (0.6, 1), (1, 0.9))
    chirp = whistle_tone(np.full(len(t), tone_hz), ctx.sample_rate, 0.0) * envelope
    onsets = periodic_onsets(ctx, rate_hz, length)
    canvas = ctx.silence()
    for onset in onsets:
        mix_into(canvas, chirp, round(onset * ctx.sample_rate))
    meadow = add_air(noise_context(ctx), canvas, ctx.triangular(-56, -46))
    return Take(meadow, periodic_annotations(onsets, rate_hz))


def bee(ctx: RenderContext) -> Take:
    """Render a buzz: unsteady wings, and a level that changes as the insect flies about.

    The wing rate is the annotated pitch.
    """
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(105, 420)
    tilt = ctx.triangular(0.15, 0.6)
    nearness = ctx.triangular(0.7, 1.3) * random_curve(ctx, ctx.duration, ctx.triangular(0.6, 2))
    frequency = jitter(ctx, np.full(ctx.num_samples, pitch), 0.025, 2.5)
    frequency = jitter(ctx, frequency, 0.02, 40)
    frequency *= pitch / float(np.median(frequency))
    wings = pulse_train(frequency, ctx.sample_rate, tilt, top_hz=7000)
    wings = wings * np.exp(0.4 * random_curve(ctx, ctx.duration, 30))
    wings = wings + 0.1 * white_noise_per_hz(noise, ctx.duration)
    resonances = ((2.2 * pitch, pitch, 0.9), (2600, 900, 0.8))
    body = wings + formant_filter(wings, ctx.sample_rate, resonances)
    body = butterworth(body, ctx.sample_rate, min(200.0, pitch))
    fade = attack_release(ctx, ctx.duration, 0.08, 0.08)
    envelope = np.exp(np.clip(nearness, -2.5, 2.0)) * fade
    size = np.log(420 / pitch) / np.log(4)
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
