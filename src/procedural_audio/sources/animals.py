"""Mammals of house, farm and forest: dog, cat, cow, sheep, horse, wolf.

Their calls are pulse trains with jitter and breath noise, filtered by formants of a mouth that
opens and closes. A larger animal has a lower pitch, longer calls and lower formants.
"""

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
from ..sound_class import SoundClass, Take, effect_class
from ..synth import (
    Array,
    RenderContext,
    butterworth,
    damped_modes,
    decay_envelope,
    mix_into,
)
from .formants import jitter
from .surroundings import add_air
from .vocal_tract import Larynx, build_throat, filter_voice, vibrate


def dog(ctx: RenderContext) -> Take:
    """Render barks: harsh bursts of breath and voice while the jaw snaps open and shut."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    pitch = log_interpolate(820, 390, size) * ctx.log_triangular(0.9, 1.1)
    length = log_interpolate(0.13, 0.28, size) * ctx.log_triangular(0.85, 1.2)
    length = limit_length(ctx, length)
    larynx = Larynx(0.55, 0.02, 0.2, ctx.triangular(0.25, 0.6), ctx.triangular(0.0, 0.5))
    throat = build_throat(ctx, log_interpolate(0.1, 0.2, size), 0.17, 1.5)
    harsh = ctx.triangular(0.6, 1.2)

    def bark(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(n, (0, 0.7), (0.2, 1), (0.5, 0.9), (1, 0.55))
        harshness = harsh * breakpoint_curve(n, (0, 1), (0.3, 0.5), (1, 1))
        cry = vibrate(ctx, noise, pitch * pitch_factor * contour, larynx, harshness)
        opening = breakpoint_curve(n, (0, 0.1), (0.2, 1), (0.5, 0.8), (1, 0))
        envelope = breakpoint_curve(n, (0, 0), (0.06, 1), (0.3, 0.8), (0.6, 0.25), (1, 0))
        return filter_voice(cry, ctx.sample_rate, throat, opening) * envelope

    qualities = descriptor(size, ("small", "yappy"), ("large", "deep"))
    return repeat_calls(ctx, length, (0.08, 0.7), 7, bark, qualities)


def cat(ctx: RenderContext) -> Take:
    """Render meows: the lips open from a hum to a bright vowel and close again."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    pitch = log_interpolate(1000, 470, size) * ctx.log_triangular(0.92, 1.08)
    length = limit_length(ctx, ctx.log_triangular(0.45, 1.2))
    peak = ctx.triangular(0.2, 0.5)
    breath = ctx.triangular(0.03, 0.15)
    larynx = Larynx(0.3 + 0.6 * size, 0.006, 0.06, breath, ctx.triangular(0.0, 0.3))
    throat = build_throat(ctx, log_interpolate(0.07, 0.105, size), 0.16, 1.7)
    start_pitch = ctx.triangular(0.6, 0.95)
    end_pitch = ctx.triangular(0.5, 0.9)
    harsh = max(0.0, ctx.triangular(-0.3, 0.4))

    def meow(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(n, (0, start_pitch), (peak, 1.1), (0.7, 1), (1, end_pitch))
        cry = vibrate(ctx, noise, pitch * pitch_factor * contour, larynx, harsh)
        opening = breakpoint_curve(n, (0, 0), (0.1, 0.1), (peak, 1), (0.65, 0.6), (1, 0))
        envelope = breakpoint_curve(n, (0, 0), (0.08, 0.5), (peak, 1), (0.75, 0.5), (1, 0))
        return filter_voice(cry, ctx.sample_rate, throat, opening) * envelope

    qualities = descriptor(size, ("small", "young"), ("large",))
    take = repeat_calls(ctx, length, (0.25, 1.2), 4, meow, qualities)
    return Take(add_air(noise, take.samples, ctx.triangular(-64, -54)), take.annotations)


def cow(ctx: RenderContext) -> Take:
    """Render moos: a nasal hum that opens to a loud rough vowel and sinks again."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    pitch = log_interpolate(260, 115, size) * ctx.log_triangular(0.93, 1.07)
    length = limit_length(ctx, ctx.log_triangular(1.1, 2.4))
    peak = ctx.triangular(0.4, 0.7)
    rise = ctx.triangular(0.65, 0.9)
    larynx = Larynx(0.2, 0.012, 0.15, ctx.triangular(0.05, 0.2), ctx.triangular(0.0, 0.4))
    throat = build_throat(ctx, log_interpolate(0.3, 0.48, size), 0.08, 1.5)
    harsh = ctx.triangular(0.0, 0.4)

    def moo(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(n, (0, rise), (0.3, 0.95), (peak, 1.1), (0.85, 1), (1, 0.7))
        harshness = harsh * breakpoint_curve(n, (0, 0), (0.3, 0.4), (peak, 1), (1, 0.2))
        cry = vibrate(ctx, noise, pitch * pitch_factor * contour, larynx, harshness)
        opening = breakpoint_curve(n, (0, 0.2), (0.2, 0.6), (peak, 1), (0.85, 1), (1, 0.5))
        envelope = breakpoint_curve(
            n, (0, 0), (0.02, 0.4), (0.2, 0.6), (peak, 1), (0.85, 0.6), (1, 0)
        )
        return filter_voice(cry, ctx.sample_rate, throat, opening) * envelope

    qualities = descriptor(size, ("young", "small"), ("large", "deep"))
    take = repeat_calls(ctx, length, (0.3, 1.2), 3, moo, qualities)
    return Take(add_air(noise, take.samples, ctx.triangular(-64, -52)), take.annotations)


def sheep(ctx: RenderContext) -> Take:
    """Render bleats: a nasal vowel whose pitch and level shake ten times a second."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    pitch = log_interpolate(420, 150, size) * ctx.log_triangular(0.93, 1.07)
    length = limit_length(ctx, ctx.log_triangular(0.55, 1.2))
    tremolo_hz = ctx.triangular(7, 13)
    depth = ctx.triangular(0.3, 0.65)
    larynx = Larynx(0.4, 0.015, 0.15, ctx.triangular(0.08, 0.25))
    throat = build_throat(ctx, log_interpolate(0.13, 0.22, size), 0.12, 1.3)

    def bleat(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        onset_curve = breakpoint_curve(n, (0, 0), (0.2, 1), (1, 1))
        tremolo = np.sin(2 * np.pi * tremolo_hz * ctx.time_axis(length)) * onset_curve
        contour = breakpoint_curve(n, (0, 0.85), (0.15, 1.05), (0.7, 1), (1, 0.85))
        frequency = pitch * pitch_factor * contour * (1 + 0.07 * depth * tremolo)
        cry = vibrate(ctx, noise, frequency, larynx, 0.12)
        opening = breakpoint_curve(n, (0, 0.2), (0.2, 0.9), (0.8, 0.7), (1, 0.3))
        curve = breakpoint_curve(n, (0, 0), (0.08, 0.9), (0.3, 1), (0.8, 0.7), (1, 0))
        envelope = (1 - depth * (0.5 - 0.5 * tremolo)) * curve
        return filter_voice(cry, ctx.sample_rate, throat, opening) * envelope

    qualities = descriptor(size, ("young", "small"), ("large",))
    return repeat_calls(ctx, length, (0.3, 1.2), 4, bleat, qualities)


def horse(ctx: RenderContext) -> Take:
    """Render a gallop: three hoofbeats and a rest in every stride, on soft or hard ground."""
    noise = noise_context(ctx)
    hardness = ctx.triangular(0, 1)
    stride_hz = ctx.log_triangular(1.3, 2.8)
    body_tuning = ctx.log_triangular(0.75, 1.3)
    beat_spacing = ctx.triangular(0.17, 0.23)  # relative to the stride
    onsets = periodic_onsets(ctx, stride_hz, 0.7 / stride_hz)
    canvas = ctx.silence()
    for onset in onsets:
        for beat, gain in enumerate((0.7, 0.8, 1.0)):
            tuning = body_tuning * ctx.log_triangular(0.94, 1.06)
            clop = _hoofbeat(ctx, tuning, (520, 900, 1450, 2300), 0.016, hardness)
            thud = _hoofbeat(ctx, tuning, (75, 130, 210), 0.03, 1.2 - hardness)
            grit = white_noise_per_hz(noise, 0.15)
            dirt = butterworth(grit, ctx.sample_rate, 200, 900 + 2500 * hardness)
            dirt = dirt * decay_envelope(ctx, 0.15, 0.008, 0.001)
            start = round((onset + beat * beat_spacing / stride_hz) * ctx.sample_rate)
            sound = clop + thud + 0.6 * dirt
            mix_into(canvas, sound, start, gain * ctx.triangular(0.85, 1))
    annotations = periodic_annotations(onsets, stride_hz)
    # A listener may count hoofbeats or strides, so no count is annotated.
    annotations.pop("count", None)
    manner = descriptor(hardness, ("on soft ground",), ("on hard ground",))
    annotations["manner"] = manner + (("fast",) if stride_hz > 2.3 else ())
    return Take(canvas, annotations)


def _hoofbeat(
    ctx: RenderContext,
    tuning: float,
    frequencies: tuple[float, ...],
    half_life: float,
    gain: float,
) -> Array:
    """A hoof on ground, 0.15 s: damped modes, the higher the weaker and shorter."""
    hertz = np.array(frequencies)
    ratios = frequencies[0] / hertz
    gains = gain * ratios**0.7
    return damped_modes(ctx, 0.15, tuning * hertz, gains, half_life * ratios**0.8)


def wolf(ctx: RenderContext) -> Take:
    """Render howls: a long tone that rises, holds and sinks. The held pitch is annotated."""
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(230, 820)
    length = limit_length(ctx, ctx.log_triangular(1.6, 3.8))
    start_pitch = ctx.triangular(0.45, 0.75)
    larynx = Larynx(ctx.triangular(1.1, 1.7), 0.004, 0.1, ctx.triangular(0.03, 0.1))
    throat = build_throat(ctx, ctx.triangular(0.2, 0.26), 0.2, 1.4)
    hold_from = ctx.triangular(0.12, 0.3)
    hold_to = ctx.triangular(0.6, 0.8)
    end_pitch = ctx.triangular(0.5, 0.75)

    def howl(pitch_factor: float) -> Array:
        n = ctx.to_samples(length)
        contour = breakpoint_curve(
            n, (0, start_pitch), (hold_from, 1), (hold_to, 1), (1, end_pitch)
        )
        # The annotated pitch allows only a few cents of drift, within a howl and between howls.
        contour = contour * pitch_factor**0.1
        frequency = jitter(ctx, pitch * contour, 0.006, 3)
        cry = vibrate(ctx, noise, frequency, larynx)
        opening = breakpoint_curve(n, (0, 0.1), (0.3, 0.6), (0.7, 0.4), (1, 0.1))
        envelope = breakpoint_curve(n, (0, 0), (0.1, 0.6), (0.3, 1), (0.75, 0.8), (1, 0))
        return filter_voice(cry, ctx.sample_rate, throat, opening) * envelope

    take = repeat_calls(ctx, length, (0.3, 1.0), 2, howl)
    take.annotations["pitch_hz"] = pitch
    return take


CLASSES: tuple[SoundClass, ...] = (
    effect_class(
        "dog",
        dog,
        ("dog", "hound", "pet dog", "yard dog"),
        ("barking", "woofing", "barking at someone"),
    ),
    effect_class(
        "cat",
        cat,
        ("cat", "house cat", "pet cat"),
        ("meowing", "mewing", "miaowing"),
    ),
    effect_class(
        "cow",
        cow,
        ("cow", "dairy cow", "farm cow"),
        ("mooing", "lowing", "bellowing"),
        can_be_indoors=False,
    ),
    effect_class(
        "sheep",
        sheep,
        ("sheep", "goat", "farm sheep"),
        ("bleating", "baaing", "calling its flock"),
        can_be_indoors=False,
    ),
    effect_class(
        "horse",
        horse,
        ("horse", "pony", "~horse hooves", "~hooves"),
        ("galloping", "galloping by", "running", "galloping along"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "wolf",
        wolf,
        ("wolf", "wild wolf", "grey wolf"),
        ("howling", "wailing", "howling at the moon"),
        can_be_indoors=False,
    ),
)
