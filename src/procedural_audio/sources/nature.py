"""Weather, water, fire and leaves: textures of modulated noise and many short events.

Letters: T samples, M grains, L samples of a grain.
"""

from __future__ import annotations

import numpy as np

from ..events import (
    breakpoint_curve,
    descriptor,
    first_onset,
    noise_context,
    periodic_annotations,
    periodic_onsets,
    white_noise_per_hz,
)
from ..sound_class import Annotations, SoundClass, Take, effect_class
from ..synth import (
    Array,
    RenderContext,
    attack_release,
    butterworth,
    colored_noise,
    mix_into,
    normalize_peak,
    phase_from_frequency,
    random_curve,
)
from .impacts_noise import grain_cloud, noise_burst

_HIGHEST_RING_HZ = 6800
_INTENSITY_POINTS = 512  # resolution of the curve that varies a Poisson density


def rain(ctx: RenderContext) -> Take:
    """Render rain: noise of far drops under the splashes of near ones; heavy rain is denser."""
    noise = noise_context(ctx)
    heaviness = ctx.triangular(0, 1)
    roof = ctx.triangular(0, 1)
    far = _band_noise(noise, 800, 9000) * (1 + 0.08 * random_curve(ctx, ctx.duration, 0.8))
    lowest_hz = 1000 - 500 * roof
    splashes = _splashes(ctx, noise, 20, (lowest_hz, 3 * lowest_hz), (0.002, 0.006))
    onsets = _poisson_onsets(ctx, 300 * 10**heaviness)
    gains = noise.rng.lognormal(-0.5, 0.6, len(onsets))
    near = grain_cloud(noise, splashes, onsets, gains, ctx.num_samples)
    mix = (0.9 + 0.5 * heaviness) * far / far.std() + near / near.std()
    qualities = descriptor(heaviness, ("light",), ("heavy",))
    manner = ("on a roof",) if roof > 0.75 else ()
    return Take(mix, Annotations(qualities=qualities, manner=manner))


def _splashes(
    ctx: RenderContext,
    noise: RenderContext,
    count: int,
    low_hz: tuple[float, float],
    half_lives: tuple[float, float],
) -> list[Array]:
    """Short bursts of noise above an edge in `low_hz`: drops, snaps of wood, crumbs of leaves."""
    bursts: list[Array] = []
    for _ in range(count):
        edge_hz = ctx.log_triangular(*low_hz)
        half_life = ctx.log_triangular(*half_lives)
        bursts.append(normalize_peak(noise_burst(noise, 0.04, edge_hz, 7800, half_life, 0.0004)))
    return bursts


def wind(ctx: RenderContext) -> Take:
    """Render gusts: noise that brightens as it strengthens, and the whistle of a gap.

    The whistle is narrow-band noise: two slow noises modulate the quadrature components of a
    gliding tone.
    """
    noise = noise_context(ctx)
    strength = ctx.triangular(0, 1)
    whistle = ctx.triangular(0, 1)
    gust = random_curve(ctx, ctx.duration, ctx.triangular(0.5, 1.3))
    force = np.exp((0.35 + 0.4 * strength) * gust)
    rush = _band_noise(noise, 250, 700 + 600 * strength)
    brown = colored_noise(noise, ctx.duration, 1.2)
    rumble = butterworth(brown, ctx.sample_rate, 60, 300, order=1)
    whistle_hz = ctx.log_triangular(380, 1100) * np.exp(0.22 * gust)
    phase = phase_from_frequency(whistle_hz, ctx.sample_rate)
    bandwidth = ctx.triangular(15, 50)
    in_phase_noise = white_noise_per_hz(noise, ctx.duration)
    in_phase = butterworth(in_phase_noise, ctx.sample_rate, high=bandwidth)
    quadrature_noise = white_noise_per_hz(noise, ctx.duration)
    quadrature = butterworth(quadrature_noise, ctx.sample_rate, high=bandwidth)
    tone = (in_phase * np.cos(phase) + quadrature * np.sin(phase)) / in_phase.std()
    tone_gain = 0.9 * max(0.0, whistle - 0.35)
    mix = rumble * force + 1.6 * rush * force**1.7 + tone_gain * tone * force**2
    manner = ("with a whistle",) if whistle > 0.7 else ()
    qualities = descriptor(strength, ("gentle",), ("strong",))
    return Take(mix, Annotations(qualities=qualities, manner=manner))


def sea(ctx: RenderContext) -> Take:
    """Render waves: each swells, breaks in noise of rising frequency and runs out as a hiss."""
    noise = noise_context(ctx)
    roughness = ctx.triangular(0, 1)
    body = np.full(ctx.num_samples, 0.25)
    foam = np.full(ctx.num_samples, 0.06)
    spray = np.full(ctx.num_samples, 0.02)
    time = -ctx.triangular(0.2, 1.5)
    while time < ctx.duration:
        length = ctx.triangular(2.4, 4.5) * (1.2 - 0.4 * roughness)
        gain = ctx.triangular(0.7, 1.0)
        start = round(time * ctx.sample_rate)
        n = ctx.to_samples(length)
        body_curve = breakpoint_curve(n, (0, 0), (0.3, 0.9), (0.4, 1), (0.7, 0.3), (1, 0))
        mix_into(body, body_curve, start, gain)
        foam_curve = breakpoint_curve(n, (0, 0), (0.25, 0.15), (0.4, 1), (0.6, 0.5), (1, 0))
        mix_into(foam, foam_curve, start, gain)
        spray_curve = breakpoint_curve(n, (0, 0), (0.33, 0.05), (0.45, 0.8), (0.7, 0.5), (1, 0))
        mix_into(spray, spray_curve, start, gain)
        time += length * ctx.triangular(0.6, 0.95)
    low = _band_noise(noise, 90, 500)
    middle = _band_noise(noise, 400, 1800)
    high = _band_noise(noise, 1800, 7500)
    mix = (0.5 + roughness) * low * body + middle * foam + 0.8 * high * spray
    return Take(mix, Annotations(qualities=descriptor(roughness, ("calm",), ("rough",))))


def thunder(ctx: RenderContext) -> Take:
    """Render thunder: near strokes or a far rumble that rolls on, and perhaps some rain."""
    noise = noise_context(ctx)
    sharpness = ctx.triangular(0, 1)
    start = first_onset(ctx)
    tail = ctx.log_triangular(1.0, 2.8)  # half-life of the rumble
    remaining = ctx.duration - start
    t = ctx.time_axis(remaining)
    color = colored_noise(noise, remaining, 1.0)
    rumble = butterworth(color, ctx.sample_rate, 25, ctx.log_triangular(200, 900), 1)
    rolls = np.exp(np.clip(random_curve(ctx, remaining, ctx.triangular(1.5, 4)), -2.0, 1.5))
    rise = np.minimum(t / (0.6 - 0.5 * sharpness), 1.0) ** 0.5
    rumble = rumble / rumble.std() * rolls * rise * 0.5 ** (t / tail)
    canvas = ctx.silence()
    mix_into(canvas, rumble, round(start * ctx.sample_rate))
    for k in range(ctx.integer(2, 6)):
        onset = start + 0.25 * k * ctx.triangular(0.2, 1)
        edge_hz = 500 + 3000 * sharpness * ctx.triangular(0.3, 1)
        stroke = noise_burst(noise, 1.2, 80, edge_hz, 0.08 + 0.12 * ctx.triangular(0, 1), 0.01)
        gain = (0.1 + 0.8 * sharpness) * ctx.triangular(0.3, 1)
        mix_into(canvas, stroke / stroke.std(), round(onset * ctx.sample_rate), gain)
    drizzle = _band_noise(noise, 600, 7000)
    canvas += ctx.triangular(0.0, 0.12) * float(canvas.std()) * drizzle / drizzle.std()
    manner = ("with a long rumble",) if tail > 1.9 and remaining > 3 else ()
    qualities = descriptor(sharpness, ("deep",), ("sharp",))
    return Take(canvas, Annotations(qualities=qualities, manner=manner))


def fire(ctx: RenderContext) -> Take:
    """Render crackles in bursts, a few far louder than the rest, over a soft flutter of flame."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    bursts = np.exp(1.1 * random_curve(ctx, ctx.duration, 5))
    onsets = _poisson_onsets(ctx, 18 * 4**size, bursts)
    snaps = _splashes(ctx, noise, 24, (400, 2000), (0.001, 0.005))
    gains = noise.rng.lognormal(-1.0, 1.3, len(onsets))
    crackle = grain_cloud(noise, snaps, onsets, gains, ctx.num_samples)
    loudest = float(np.quantile(np.abs(crackle), 0.999)) + 1e-9
    flame = _band_noise(noise, 60, 400) * np.exp(0.4 * random_curve(ctx, ctx.duration, 9))
    hiss_noise = _band_noise(noise, 500, 7500) * np.exp(0.3 * random_curve(ctx, ctx.duration, 7))
    mix = 0.5 * crackle / loudest + (0.02 + 0.08 * size) * flame / flame.std()
    mix = mix + 0.006 * hiss_noise / hiss_noise.std()
    return Take(mix, Annotations(qualities=descriptor(size, ("small",), ("large",))))


def drip(ctx: RenderContext) -> Take:
    """Render drops that fall into water at a steady rate: a tick, then a bubble of rising pitch.

    Larger drops ring lower.
    """
    rate_hz = ctx.log_triangular(0.8, 5.4)
    bubble_hz = ctx.log_triangular(450, 2200)
    rise = ctx.triangular(0.04, 0.18)
    half_life = ctx.log_triangular(0.012, 0.035) * (900 / bubble_hz) ** 0.3
    length = min(8 * half_life, 0.9 / rate_hz)
    onsets = np.array(periodic_onsets(ctx, rate_hz, length))
    count = len(onsets)
    frequencies = bubble_hz * _log_uniform(ctx, 0.95, 1.05, count)
    bubble_grains = _ringing_grains(ctx, frequencies, np.full(count, half_life), length, rise)
    tick_hz = np.full(count, min(3.1 * bubble_hz, 6500))
    ticks = _ringing_grains(ctx, tick_hz, np.full(count, 0.0015), 0.015)
    mix = _mix_grains(ctx, onsets + 0.006, bubble_grains) + 0.35 * _mix_grains(ctx, onsets, ticks)
    return Take(mix, periodic_annotations(onsets.tolist(), rate_hz))


def stream(ctx: RenderContext) -> Take:
    """Render running water: hundreds of small bubbles per second over a soft rush."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    eddies = np.exp(0.35 * random_curve(ctx, ctx.duration, 6))
    onsets = _poisson_onsets(ctx, 110 + 120 * size, eddies)
    tuning = 1.5 * 0.55**size
    frequencies = _log_uniform(ctx, 380 * tuning, 2600 * tuning, len(onsets))
    loudness = np.exp(0.6 * ctx.rng.standard_normal(len(onsets)))
    gains = loudness * (500 / frequencies) ** 0.3
    grains = _ringing_grains(ctx, frequencies, 9.0 / frequencies, 0.045, 0.1)
    babble = _mix_grains(ctx, onsets, gains[:, None] * grains)
    rush = _band_noise(noise, 400 * tuning, 2600) * eddies
    qualities = descriptor(size, ("small",), ("large",))
    return Take(babble + (0.12 + 0.5 * size) * rush, Annotations(qualities=qualities))


def bubbles(ctx: RenderContext) -> Take:
    """Render bubbles of rising pitch in loose clusters, and the water that they stir."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    clusters = np.exp(0.7 * random_curve(ctx, ctx.duration, 4))
    onsets = _poisson_onsets(ctx, ctx.log_triangular(70, 180), clusters)
    center_hz = 1600 * (450 / 1600) ** size
    frequencies = center_hz * _log_uniform(ctx, 0.5, 2.0, len(onsets))
    loudness = np.exp(0.6 * ctx.rng.standard_normal(len(onsets)))
    gains = loudness * (500 / frequencies) ** 0.3
    grains = gains[:, None] * _ringing_grains(ctx, frequencies, 9.0 / frequencies, 0.06, 0.12)
    rising = _mix_grains(ctx, onsets, grains)
    stirred = _band_noise(noise, 500, 3500) * clusters
    mix = rising / rising.std() + ctx.triangular(0.25, 0.6) * stirred / stirred.std()
    return Take(mix, Annotations(qualities=descriptor(size, ("small",), ("large",))))


def leaves(ctx: RenderContext) -> Take:
    """Render rustling: strokes of soft high noise with some crumbs, with the wind or a step."""
    noise = noise_context(ctx)
    dryness = ctx.triangular(0, 1)
    strokes = np.exp(0.5 * random_curve(ctx, ctx.duration, ctx.triangular(1.5, 4)))
    strokes /= strokes.max()
    onsets = _poisson_onsets(ctx, 30 + 60 * dryness, strokes)
    crumbs = _splashes(ctx, noise, 24, (400, 2000), (0.001, 0.005))
    gains = noise.rng.lognormal(-1.0, 1.0, len(onsets))
    crisp = grain_cloud(noise, crumbs, onsets, gains, ctx.num_samples)
    loudest = float(np.quantile(np.abs(crisp), 0.999)) + 1e-9
    color = colored_noise(noise, ctx.duration, 0.5)
    soft = butterworth(color, ctx.sample_rate, 500, 7500, order=1) * strokes
    soft = soft * np.exp(0.5 * random_curve(ctx, ctx.duration, 7))
    wind = _band_noise(noise, 60, 400) * np.exp(0.4 * random_curve(ctx, ctx.duration, 9))
    mix = (0.2 + 0.3 * dryness) * crisp / loudest + 0.05 * soft / soft.std()
    mix = mix + 0.03 * wind / wind.std()
    fade = attack_release(ctx, ctx.duration, 0.05, 0.05)
    return Take(mix * fade, Annotations(qualities=descriptor(dryness, ("soft",), ("crisp",))))


def hail(ctx: RenderContext) -> Take:
    """Render hailstones: a click and a short ring each, at one pitch on metal."""
    noise = noise_context(ctx)
    metal = ctx.triangular(0, 1)
    plate_hz = ctx.log_triangular(500, 2200)
    onsets = _poisson_onsets(ctx, ctx.log_triangular(80, 400))
    gains = np.exp(0.6 * ctx.rng.standard_normal(len(onsets)))[:, None]
    splashes = _splashes(ctx, noise, 16, (800, 2500), (0.001, 0.004))
    click_gains = noise.rng.lognormal(-0.5, 0.6, len(onsets))
    clicks = grain_cloud(noise, splashes, onsets, click_gains, ctx.num_samples)
    shower = _band_noise(noise, 800, 9000)
    canvas = clicks + 1.4 * clicks.std() * shower / shower.std()
    half_life = 0.004 + 0.01 * metal**2
    spread = 1.08 + 0.6 * (1 - metal)  # of the pitches
    for ratio, mode_gain in ((1.0, 1.0), (1.73, 0.7), (2.65, 0.45)):
        pitches = plate_hz * ratio * _log_uniform(ctx, 1 / spread, spread, len(onsets))
        frequencies = np.minimum(pitches, _HIGHEST_RING_HZ)
        half_lives = np.full(len(onsets), half_life / ratio)
        rings = _ringing_grains(ctx, frequencies, half_lives, 8 * half_life / ratio)
        canvas += 0.6 * metal**3 * _mix_grains(ctx, onsets, mode_gain * gains * rings)
    manner = descriptor(metal, ("on the ground",), ("on metal",))
    return Take(canvas, Annotations(manner=manner))


def _band_noise(noise: RenderContext, low_hz: float, high_hz: float) -> Array:
    """White noise over the whole clip `[T]` between two edges of 6 dB per octave."""
    white = white_noise_per_hz(noise, noise.duration)
    return butterworth(white, noise.sample_rate, low_hz, high_hz, order=1)


def _poisson_onsets(ctx: RenderContext, density: float, intensity: Array | None = None) -> Array:
    """Onsets `[M]` of a Poisson process over the clip, unsorted, in seconds.

    `density` is the mean number per second. `intensity`, a positive curve over the clip, varies
    the density.
    """
    count = max(3, int(ctx.rng.poisson(density * ctx.duration)))
    positions = ctx.rng.uniform(0, 1, count)
    if intensity is not None:
        grid = np.linspace(0, 1, _INTENSITY_POINTS)
        cumulative = np.cumsum(np.interp(grid, np.linspace(0, 1, len(intensity)), intensity))
        positions = np.interp(positions, cumulative / cumulative[-1], grid)
    # One event is early, so that no clip starts with a long silence.
    positions[0] = ctx.triangular(0.02, 0.12) / ctx.duration
    return np.asarray(positions * ctx.duration)


def _mix_grains(ctx: RenderContext, onsets: Array, grains: Array) -> Array:
    """Mix grain m, a row of `[M, L]`, into the clip `[T]` at `onsets[m]` seconds."""
    starts = np.round(onsets * ctx.sample_rate).astype(np.int64)
    indices = starts[:, None] + np.arange(grains.shape[1])
    length = ctx.num_samples + grains.shape[1]
    mix = np.bincount(indices.ravel(), grains.ravel(), minlength=length)
    return np.asarray(mix[: ctx.num_samples], dtype=np.float64)


def _log_uniform(ctx: RenderContext, low: float, high: float, count: int) -> Array:
    """Draw `count` numbers `[M]` whose logarithms are uniform."""
    return np.asarray(np.exp(ctx.rng.uniform(np.log(low), np.log(high), count)))


def _ringing_grains(
    ctx: RenderContext, frequencies: Array, half_lives: Array, seconds: float, rise: float = 0.0
) -> Array:
    """Grains `[M, L]`: decaying sines whose pitch rises by `rise` per half-life.

    A bubble in water is such a grain. It rings at about 3.3 / radius(m) Hz (Minnaert 1933). Its
    pitch rises as it nears the surface.
    """
    t = ctx.time_axis(seconds)
    age = t / half_lives[:, None]
    phase = 2 * np.pi * frequencies[:, None] * t * (1 + 0.5 * rise * age)
    fade = np.minimum(t / 0.001, 1.0) * np.minimum((t[-1] - t) / 0.002, 1.0)
    return np.asarray(np.sin(phase) * np.exp(-np.log(2) * age) * fade)


def _clicks(
    ctx: RenderContext, count: int, low_hz: float, high_hz: float, half_life: float, spread: float
) -> Array:
    """Short rings `[M, L]` between two pitches. Log-normal gains let a few stand out."""
    gains = np.exp(spread * (ctx.rng.standard_normal(count) - 1))
    half_lives = _log_uniform(ctx, 0.5 * half_life, 2 * half_life, count)
    frequencies = _log_uniform(ctx, low_hz, high_hz, count)
    return gains[:, None] * _ringing_grains(ctx, frequencies, half_lives, 10 * half_life)


CLASSES: tuple[SoundClass, ...] = (
    effect_class(
        "rain",
        rain,
        ("~rain", "~rainfall", "~raindrops"),
        ("falling", "pattering", "coming down"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "wind",
        wind,
        ("~wind", "wind", "breeze"),
        ("blowing", "gusting", "sweeping by"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "sea",
        sea,
        ("~sea waves", "~ocean waves", "~surf"),
        ("washing ashore", "rolling ashore", "breaking on a beach"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "thunder",
        thunder,
        ("~thunder", "thunderstorm", "thunderclap"),
        ("rumbling", "rolling", "booming"),
        can_be_indoors=False,
    ),
    effect_class(
        "fire",
        fire,
        ("fire", "campfire", "wood fire", "~flames"),
        ("crackling", "burning", "burning and popping"),
        is_sustained=True,
    ),
    effect_class(
        "drip",
        drip,
        ("~water", "~water drops", "faucet"),
        ("dripping", "dripping into water", "dripping down"),
        is_sustained=True,
    ),
    effect_class(
        "stream",
        stream,
        ("stream", "brook", "creek"),
        ("flowing", "babbling", "gurgling along"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "bubbles",
        bubbles,
        ("~bubbles", "~air bubbles"),
        ("bubbling up", "rising in water", "gurgling", "popping up"),
        is_sustained=True,
    ),
    effect_class(
        "leaves",
        leaves,
        ("~leaves", "~fallen leaves", "~foliage"),
        ("rustling", "stirring", "swishing"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "hail",
        hail,
        ("~hail", "~hailstones", "~ice pellets"),
        ("falling", "rattling down", "pelting down"),
        is_sustained=True,
        can_be_indoors=False,
    ),
)
