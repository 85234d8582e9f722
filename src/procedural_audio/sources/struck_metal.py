"""Metal and glass that rings when it is struck, dropped or broken.

Each body is a set of damped modes: bell, glass, gong, hammer on steel, coins, shards.
"""

from __future__ import annotations

import numpy as np

from ..events import (
    descriptor,
    first_onset,
    limit_length,
    noise_context,
    repeat_calls,
    white_noise_per_hz,
)
from ..sound_class import Annotations, SoundClass, Take, effect_class
from ..synth import (
    Array,
    RenderContext,
    butterworth,
    damped_modes,
    mix_into,
    normalize_peak,
)
from .formants import formant_filter
from .impacts_noise import grain_cloud, noise_burst, repeat_strikes
from .surroundings import add_echo


def bell(ctx: RenderContext) -> Take:
    """Render a church bell: partials that stay exactly in tune while they decay.

    The prime is the annotated pitch. Partial ratios of a tuned bell (hum, prime, tierce, quint,
    nominal and above): Fletcher and Rossing, The Physics of Musical Instruments, chapter 21.
    """
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(220, 1200)
    tierce = ctx.triangular(1.18, 1.26)
    brightness = ctx.triangular(0.5, 1.2)
    ratios = np.array([0.5, 1.0, tierce, 1.5, 2.0, 2.51, 2.66, 3.01, 4.16, 5.43, 6.8])
    base_gains = np.array([0.25, 1.0, 0.5, 0.25, 0.6, 0.2, 0.25, 0.3, 0.25, 0.18, 0.12])
    gains = base_gains * np.where(ratios > 1, brightness, 1.0)
    half_life = ctx.log_triangular(0.35, 1.2) * (400 / pitch) ** 0.35
    half_lives = half_life * np.maximum(ratios, 1.0) ** -0.9
    tone = damped_modes(ctx, ctx.duration, pitch * ratios, gains, half_lives)
    clapper = noise_burst(noise, 0.08, 1200, 7000, 0.008)
    mix_into(tone, clapper, 0, 0.5 * brightness)
    smallness = np.log(pitch / 220) / np.log(1200 / 220)
    qualities = descriptor(smallness, ("large", "heavy"), ("small",))
    length = min(0.5, 0.4 * ctx.duration)
    take = repeat_calls(ctx, length, (0.15, 1.6), 8, lambda _: tone, qualities)
    take.annotations["pitch_hz"] = pitch
    return take


def glass(ctx: RenderContext) -> Take:
    """Render a glass tapped by another: modes of the rim in the ratios of n squared.

    The lowest mode is the strongest and the annotated pitch.
    """
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(700, 4200)
    half_life = ctx.log_triangular(0.06, 0.5)
    brightness = ctx.triangular(0.2, 0.5)
    ratios = np.array([1.0, 2.32, 4.25, 6.63])
    tone = damped_modes(
        ctx,
        min(ctx.duration, 12 * half_life),
        pitch * ratios,
        np.array([1.0, brightness, brightness / 2, brightness / 3]),
        half_life * ratios**-0.7,
    )
    other_glass = damped_modes(
        ctx,
        0.1,
        pitch * ctx.triangular(1.2, 1.7) * np.array([1.0, 2.3]),
        np.array([0.4, 0.3]),
        np.array([0.012, 0.006]),
    )
    mix_into(tone, other_glass, 0)
    mix_into(tone, noise_burst(noise, 0.03, 2500, 7800, 0.003, 0.0003), 0, 0.4)
    qualities = descriptor(np.log(pitch / 700) / np.log(6), ("large",), ("small",))
    if half_life > 0.25:
        qualities += ("crystal",)
    length = min(0.3, 0.4 * ctx.duration)
    take = repeat_calls(ctx, length, (0.1, 1.2), 7, lambda _: tone, qualities)
    take.annotations["pitch_hz"] = pitch
    return take


def shatter(ctx: RenderContext) -> Take:
    """Render breaking glass: one crash, then shards that fall ever more rarely."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    start = first_onset(ctx)
    fall_time = limit_length(ctx, ctx.log_triangular(0.25, 0.5) * (1 + 1.5 * size))
    crash_length = min(0.6, ctx.duration)
    crash = noise_burst(noise, crash_length, 900 - 500 * size, 7800, 0.025 + 0.05 * size)
    thud = damped_modes(
        ctx,
        0.2,
        np.array([140.0, 260, 420]) * (1.5 - 0.7 * size),
        np.array([1.0, 0.7, 0.5]) * (0.3 + size),
        np.full(3, 0.02),
    )
    shards: list[Array] = []
    for _ in range(16):
        shard_hz = ctx.log_triangular(1900, 5200) * (1.25 - 0.35 * size)
        frequencies = shard_hz * np.array([1, 1.47, 2.1])
        half_lives = ctx.log_triangular(0.008, 0.045) * np.array([1, 0.8, 0.6])
        shards.append(damped_modes(ctx, 0.25, frequencies, np.array([1.0, 0.7, 0.5]), half_lives))
    num_shards = round(60 + 160 * size)
    onsets = start + np.abs(noise.rng.exponential(fall_time / 2.2, num_shards))
    # Later shards are smaller.
    fading = 0.5 ** ((onsets - start) / fall_time)
    gains = noise.rng.lognormal(-1.6, 0.7, len(onsets)) * fading
    canvas = normalize_peak(grain_cloud(noise, shards, onsets, gains, ctx.num_samples), 0.55)
    mix_into(canvas, normalize_peak(crash, 1.0), round(start * ctx.sample_rate))
    mix_into(canvas, thud, round(start * ctx.sample_rate), 0.5)
    return Take(canvas, Annotations(qualities=descriptor(size, ("small",), ("large",))))


def hammer(ctx: RenderContext) -> Take:
    """Render steel on steel: many inharmonic high modes, and the dull thud under them."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    lowest_hz = 1500 * (0.4**size) * ctx.log_triangular(0.85, 1.15)
    half_life = ctx.log_triangular(0.03, 0.22)
    # Random ratios without a common fundamental, so no pitch is annotated.
    ratios = np.cumprod(np.concatenate([[1.0], ctx.rng.uniform(1.12, 1.5, 9)]))
    gains = ctx.rng.uniform(0.4, 1.0, 10)
    half_lives = half_life * ratios**-0.3

    def strike() -> Array:
        length = min(ctx.duration, 0.1 + 8 * half_life)
        varied_gains = gains * ctx.rng.uniform(0.7, 1.3, 10)
        ring = damped_modes(ctx, length, lowest_hz * ratios, varied_gains, half_lives)
        thud = damped_modes(
            ctx,
            0.1,
            np.array([130.0, 220]) * (1.4 - 0.6 * size),
            np.array([2.0, 1.5]),
            np.array([0.015, 0.01]),
        )
        mix_into(ring, thud, 0)
        mix_into(ring, noise_burst(noise, 0.04, 1000, 7800, 0.004, 0.0003), 0, 1.5)
        return ring

    rate_hz = ctx.log_triangular(0.9, 4.5)
    qualities = descriptor(size, ("small",), ("heavy",))
    return repeat_strikes(ctx, rate_hz, 10, 0.15, strike, qualities)


def coin(ctx: RenderContext) -> Take:
    """Render coins on a hard floor: each bounces faster and faster, with a short hard clink."""
    noise = noise_context(ctx)
    canvas = ctx.silence()
    num_coins = ctx.integer(1, 4)
    start = first_onset(ctx)
    size = ctx.triangular(0, 1)
    for _ in range(num_coins):
        lowest_hz = 1500 * 0.6**size * ctx.log_triangular(0.85, 1.2)
        half_life = ctx.log_triangular(0.004, 0.009)
        ring = damped_modes(
            ctx,
            0.15,
            lowest_hz * np.array([1.0, 2.3, 4.1, 5.3]),
            np.array([0.6, 0.6, 0.6, 0.4]),
            half_life * np.array([1.2, 1.0, 0.9, 0.8]),
        )
        clink = normalize_peak(ring, 0.5)
        mix_into(clink, normalize_peak(noise_burst(noise, 0.05, 1200, 7000, 0.004, 0.0003), 1.0), 0)
        first_gap = ctx.triangular(0.14, 0.36) * min(1.0, ctx.duration / 2)
        restitution = ctx.triangular(0.62, 0.84)
        # Each bounce keeps a fixed part of the speed; below 45 ms the coin rattles flat.
        gaps = first_gap * restitution ** np.arange(40)
        bounces = np.concatenate([[0.0], np.cumsum(np.maximum(gaps, 0.045))])
        num_bounces = 5 + int(ctx.triangular(0, 9))
        onsets = start + bounces[:num_bounces]
        gains = 0.88 ** np.arange(len(onsets)) * noise.rng.uniform(0.6, 1.1, len(onsets))
        canvas += grain_cloud(noise, [clink], onsets, gains, ctx.num_samples)
        start += ctx.triangular(0.05, 0.25) * ctx.duration
        if start > 0.7 * ctx.duration:
            break
    room = add_echo(noise, canvas, 0.4, 0.4)
    return Take(room, Annotations(qualities=descriptor(size, ("small",), ("large", "heavy"))))


def gong(ctx: RenderContext) -> Take:
    """Render a struck gong: a low hum at once, then a shimmer that grows and decays.

    The shimmer models the energy that nonlinear vibration moves to high modes.
    """
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    lowest_hz = 230 * 0.28**size * ctx.log_triangular(0.9, 1.1)
    half_life = ctx.log_triangular(0.5, 1.4) * (0.7 + 0.6 * size)
    ratios = 1 + np.cumsum(ctx.rng.uniform(0.18, 0.6, 15))
    hum = damped_modes(
        ctx,
        ctx.duration,
        lowest_hz * np.concatenate([[1.0], ratios]),
        np.concatenate([[1.0], ratios**-0.5 * 0.7]),
        half_life * np.concatenate([[1.0], ratios**-0.45]),
    )
    rise_half_life = ctx.triangular(0.08, 0.35)
    t = ctx.time_axis(ctx.duration)
    band = white_noise_per_hz(noise, ctx.duration)
    shimmer = butterworth(band, ctx.sample_rate, 8 * lowest_hz, 5500)
    mode_ratios = 9 * np.cumprod(ctx.rng.uniform(1.1, 1.35, 7))
    modes = tuple((lowest_hz * ratio, 6.0, 3.0) for ratio in mode_ratios)
    resonant = formant_filter(shimmer, ctx.sample_rate, modes)
    rise = 1 - 0.5 ** (t / rise_half_life)
    wash = (0.15 * shimmer + resonant) * rise * 0.5 ** (t / (0.5 * half_life))
    tone = normalize_peak(hum) + ctx.triangular(0.25, 0.6) * normalize_peak(wash)
    mallet = damped_modes(ctx, 0.2, np.array([90.0, 160, 250]), np.ones(3), np.full(3, 0.02))
    mix_into(tone, mallet, 0, 0.25)
    qualities = descriptor(size, ("small",), ("large", "deep"))
    length = min(0.8, 0.5 * ctx.duration)
    return repeat_calls(ctx, length, (0.6, 2.5), 3, lambda _: tone, qualities)


CLASSES: tuple[SoundClass, ...] = (
    effect_class(
        "bell",
        bell,
        ("church bell", "bell", "tower bell", "chapel bell"),
        ("ringing", "tolling", "chiming", "being rung"),
    ),
    effect_class(
        "glass",
        glass,
        ("glass", "wine glass", "drinking glass", "~glass"),
        ("clinking", "being tapped", "chinking", "ringing after a tap"),
        can_be_far=False,
    ),
    effect_class(
        "shatter",
        shatter,
        ("window", "pane of glass", "~glass", "glass bottle"),
        ("shattering", "breaking", "smashing to pieces", "breaking into shards"),
    ),
    effect_class(
        "hammer",
        hammer,
        ("hammer", "blacksmith's hammer", "steel hammer"),
        ("hitting metal", "striking an anvil", "clanging on steel", "pounding on iron"),
    ),
    effect_class(
        "coin",
        coin,
        ("~coins", "~pieces of change", "~metal coins"),
        ("dropping on the floor", "falling and bouncing", "clinking on a table"),
        can_be_far=False,
    ),
    effect_class(
        "gong",
        gong,
        ("gong", "temple gong", "bronze gong", "metal gong"),
        ("being struck", "sounding", "crashing and shimmering", "resonating"),
    ),
)
