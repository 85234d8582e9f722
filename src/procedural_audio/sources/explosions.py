"""Discharges: ray guns, explosions, gunshots."""

from __future__ import annotations

import numpy as np

from ..events import (
    breakpoint_curve,
    descriptor,
    first_onset,
    limit_length,
    noise_context,
    repeat_calls,
)
from ..sound_class import Annotations, SoundClass, Take, effect_class
from ..synth import (
    Array,
    RenderContext,
    attack_release,
    butterworth,
    colored_noise,
    damped_modes,
    decay_envelope,
    mix_into,
    normalize_peak,
    random_curve,
)
from .formants import pulse_train
from .impacts_noise import grain_cloud, noise_burst, poisson_onsets
from .surroundings import add_echo


def laser(ctx: RenderContext) -> Take:
    """Render shots of a ray gun: a bright tone that falls several octaves."""
    start_hz = ctx.log_triangular(2200, 6500)
    fall_ratio = ctx.log_triangular(8, 30)
    length = limit_length(ctx, ctx.log_triangular(0.12, 0.5))
    bend = ctx.triangular(1.0, 3.0)
    tilt = ctx.triangular(0.9, 2.0)
    n = ctx.to_samples(length)
    position = np.linspace(0, 1, n)
    fall = (1 - (1 - position) ** bend) if bend > 1 else position
    frequency = np.maximum(start_hz * fall_ratio**-fall, 60.0)
    envelope = breakpoint_curve(n, (0, 1), (0.5, 0.8), (1, 0))
    shot = pulse_train(frequency, ctx.sample_rate, tilt) * envelope
    qualities = descriptor(np.log(start_hz / 2200) / 1.08, ("deep",), ())
    return repeat_calls(ctx, length, (0.06, 0.8), 8, lambda _: shot, qualities)


def _blast(ctx: RenderContext, noise: RenderContext, size: float, seconds: float) -> Array:
    """A pressure front and the turbulence behind it: the larger, the darker and the longer."""
    turbulence = colored_noise(noise, ctx.duration, 1.3)[: ctx.to_samples(seconds)]
    rumble = butterworth(turbulence, ctx.sample_rate, 25, 900 - 500 * size, 1)
    rumble = rumble * decay_envelope(noise, seconds, 0.1 + 0.35 * size, 0.01)
    front = noise_burst(noise, seconds, 150, 6500, 0.03 + 0.05 * size)
    return normalize_peak(rumble) + (1.8 - 0.8 * size) * normalize_peak(front)


def explosion(ctx: RenderContext) -> Take:
    """Render an explosion: a crack, a long dark rumble, and debris that falls."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    start = first_onset(ctx)
    remaining = ctx.duration - start
    blast = _blast(ctx, noise, 0.35 + 0.65 * size, remaining)
    blast *= 1 + 0.35 * np.clip(random_curve(ctx, remaining, 6)[: len(blast)], -1.5, 1.5)
    thump = damped_modes(
        ctx,
        remaining,
        np.array([38.0, 57, 81]) * (1.6 - 0.7 * size),
        np.ones(3),
        np.array([0.25, 0.2, 0.12]),
    )
    debris: list[Array] = []
    for _ in range(6):
        debris.append(noise_burst(noise, 0.05, 700, 5000, ctx.triangular(0.003, 0.01)))
    onsets = poisson_onsets(noise, 18 + 20 * size, start + 0.25, ctx.duration)
    # Debris of a larger explosion falls for longer.
    fading = 0.5 ** ((onsets - start) / (0.2 + 0.5 * size))
    gains = noise.rng.lognormal(0, 0.7, len(onsets)) * fading
    canvas = 0.1 * grain_cloud(noise, debris, onsets, gains, ctx.num_samples)
    mix_into(canvas, blast, round(start * ctx.sample_rate))
    mix_into(canvas, normalize_peak(thump), round(start * ctx.sample_rate), 0.45)
    return Take(canvas, Annotations(qualities=descriptor(size, ("small",), ("huge", "massive"))))


def gunshot(ctx: RenderContext) -> Take:
    """Render counted gunshots: a crack, the blast behind it, and the echo of the land."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    length = 0.6

    def shot(_: float) -> Array:
        crack = noise_burst(noise, length, 250, 7800, 0.015 + 0.01 * size, 0.0002)
        turbulence = colored_noise(noise, length, 0.8)
        wave = butterworth(turbulence, ctx.sample_rate, 70, 3500 - 2000 * size, 1)
        blast = wave * decay_envelope(noise, length, 0.08 + 0.08 * size, 0.001)
        envelope = attack_release(ctx, length, 0.0, 0.3 * length)
        mix = normalize_peak(crack) + (0.7 + 0.5 * size) * normalize_peak(blast)
        return mix * envelope

    shot_length = min(0.3, 0.4 * ctx.duration)
    qualities = descriptor(size, ("small",), ("heavy",))
    take = repeat_calls(ctx, shot_length, (0.05, 1.2), 6, shot, qualities)
    echo_gain = max(0.0, ctx.triangular(-0.8, 0.3))
    return Take(add_echo(noise, take.samples, 0.8, echo_gain), take.annotations)


CLASSES: tuple[SoundClass, ...] = (
    effect_class(
        "laser",
        laser,
        ("laser gun", "ray gun", "laser", "science fiction blaster"),
        ("zapping", "firing", "shooting", "being fired"),
    ),
    effect_class(
        "explosion",
        explosion,
        ("explosion", "bomb", "blast"),
        ("going off", "booming", "rumbling", "thundering"),
        can_be_indoors=False,
    ),
    effect_class(
        "gunshot",
        gunshot,
        ("gun", "pistol", "rifle"),
        ("shooting", "firing", "being fired", "going off"),
        can_be_indoors=False,
    ),
)
