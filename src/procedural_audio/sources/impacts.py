"""Impacts: knocks, footsteps, a door, hands, keys, a woodpecker's beak, a ball.

Struck bodies are damped modes plus a noise burst for the contact. Metal that rings is in
`struck_metal`.
"""

from __future__ import annotations

import numpy as np

from ..events import (
    breakpoint_curve,
    counted_onsets,
    descriptor,
    first_onset,
    noise_context,
    periodic_onsets,
    white_noise_per_hz,
)
from ..sound_class import Annotations, SoundClass, Take, effect_class
from ..synth import (
    Array,
    RenderContext,
    attack_release,
    butterworth,
    damped_modes,
    mix_into,
    normalize_peak,
    resonator,
)
from .formants import formant_filter
from .impacts_noise import (
    countable_annotations,
    grain_cloud,
    noise_burst,
    place_strikes,
    poisson_onsets,
    repeat_strikes,
)
from .surroundings import add_air, add_echo


def knock(ctx: RenderContext) -> Take:
    """Render knuckles on a door: a wooden panel decays at once, a metal one rings dully."""
    noise = noise_context(ctx)
    is_metal = ctx.rng.random() < 0.35
    size = ctx.triangular(0, 1)
    tuning = (1.35 - 0.6 * size) * ctx.log_triangular(0.9, 1.1)
    hardness = ctx.triangular(0.3, 1.0)
    if is_metal:
        frequencies = np.array([118.0, 187, 291, 402, 561, 743, 1012, 1380])
        half_life = ctx.log_triangular(0.05, 0.16)
        gains = np.array([0.7, 0.9, 1, 0.9, 0.8, 0.6, 0.5, 0.4])
        half_lives = half_life * np.linspace(1, 0.5, 8)
    else:
        frequencies = np.array([105.0, 168, 245, 390, 610, 940])
        half_life = ctx.log_triangular(0.012, 0.026)
        gains = np.array([0.8, 1.0, 0.8, 0.5, 0.4 * hardness, 0.3 * hardness])
        half_lives = half_life * np.linspace(1, 0.4, 6)

    def strike() -> Array:
        detuned = frequencies * tuning * ctx.log_triangular(0.98, 1.02)
        varied_gains = gains * ctx.triangular(0.9, 1.1)
        panel = damped_modes(ctx, 0.2 + 4 * half_life, detuned, varied_gains, half_lives)
        contact = noise_burst(noise, 0.06, 300, 1200 + 2800 * hardness, 0.005)
        mix_into(panel, contact, 0, 0.7)
        return panel

    qualities = ("metal",) if is_metal else ("wooden", *descriptor(size, (), ("heavy",)))
    return repeat_strikes(ctx, ctx.log_triangular(1.8, 5.0), 8, 0.12, strike, qualities)


def footsteps(ctx: RenderContext) -> Take:
    """Render steps at an even pace: gravel crackles, a wooden floor thumps, snow squeaks."""
    noise = noise_context(ctx)
    ground = ctx.integer(0, 2)
    weight = ctx.triangular(0, 1)
    rate_hz = ctx.log_triangular(1.1, 3.2)
    toe_delay = ctx.triangular(0.2, 0.3)
    length = min(0.5 / rate_hz, ctx.triangular(0.16, 0.28))
    tuning = ctx.log_triangular(0.85, 1.2) * (1.25 - 0.5 * weight)

    def gravel() -> Array:
        """Many stones that click while the foot presses down."""
        stones: list[Array] = []
        for _ in range(4):
            half_life = ctx.triangular(0.0015, 0.004)
            stones.append(noise_burst(noise, 0.02, 900 * tuning, 6500 * tuning, half_life, 0.0003))
        onsets = poisson_onsets(noise, 90, 0.0, length)
        pressure = np.sin(np.pi * np.clip(onsets / length, 0, 1)) ** 0.5
        gains = pressure * noise.rng.lognormal(0, 0.8, len(onsets))
        return grain_cloud(noise, stones, onsets, gains, ctx.to_samples(length + 0.03))

    def wood() -> Array:
        """The heel, then the toe: low modes of the floor."""
        frequencies = tuning * np.array([85.0, 140, 215, 370, 640])
        half_lives = np.array([0.04, 0.03, 0.02, 0.012, 0.008])
        heel_gains = np.array([0.8, 1, 0.7, 0.4, 0.3])
        step = damped_modes(ctx, length, frequencies, heel_gains, half_lives)
        mix_into(step, noise_burst(noise, 0.03, 900, 3500, 0.004), 0, 0.35)
        toe_gains = np.array([0.3, 0.5, 0.4, 0.3, 0.2])
        toe = damped_modes(ctx, 0.2, 1.25 * frequencies, toe_gains, 0.7 * half_lives)
        mix_into(step, toe, round(toe_delay * length * 2 * ctx.sample_rate), 0.7)
        return step

    def snow() -> Array:
        """Stick-slip modulation of noise: snow squeaks as it packs."""
        t = ctx.time_axis(length)
        phase = 2 * np.pi * ctx.triangular(90, 170) * tuning * t * (1 - 0.3 * t / length)
        slip = (0.5 + 0.5 * np.sin(phase)) ** 4
        grit = white_noise_per_hz(noise, length) * (0.15 + slip)
        crush = butterworth(grit, ctx.sample_rate, 350 * tuning, 1300 * tuning)
        return crush * attack_release(ctx, length, 0.4 * length, 0.5 * length)

    onsets = periodic_onsets(ctx, rate_hz, length)
    annotations = countable_annotations(onsets, rate_hz)
    annotations["qualities"] = descriptor(weight, ("light",), ("heavy",))
    surface = ("on gravel", "on a wooden floor", "in the snow")[ground]
    annotations["manner"] = (*annotations.get("manner", ()), surface)
    return place_strikes(ctx, onsets, (gravel, wood, snow)[ground], annotations)


def door(ctx: RenderContext) -> Take:
    """Render a creaking hinge in gliding stick-slip pulses, then the slam of the door."""
    noise = noise_context(ctx)
    age = ctx.triangular(0, 1)
    weight = ctx.triangular(0, 1)
    start = first_onset(ctx)
    creak_s = min(ctx.log_triangular(0.4, 1.8), 0.5 * ctx.duration)
    creak = _hinge_creak(ctx, noise, age, creak_s)
    slam = np.zeros(ctx.to_samples(0.6))
    latch_s = ctx.triangular(0.06, 0.12)
    tuning = 1.4 - 0.7 * weight
    for delay_s, gain in ((0.0, 1.0), (latch_s, 0.6)):
        at = ctx.to_samples(delay_s)
        panel = noise_burst(noise, 0.25, 90 * tuning, 1100 * tuning, 0.02 + 0.015 * weight, 0.002)
        mix_into(slam, normalize_peak(panel), at, gain)
        frame = noise_burst(noise, 0.1, 500 * tuning, 4500, 0.01, 0.0006)
        mix_into(slam, normalize_peak(frame), at, 0.5 * gain)
    canvas = ctx.silence()
    mix_into(canvas, normalize_peak(creak), round(start * ctx.sample_rate), 0.1 + 0.25 * age)
    slam_onset = start + creak_s + ctx.triangular(0, min(0.4, 0.1 * ctx.duration))
    mix_into(canvas, normalize_peak(slam), round(slam_onset * ctx.sample_rate), 1.1)
    canvas = add_air(noise, add_echo(noise, canvas, 0.4, 0.5), ctx.triangular(-66, -58))
    qualities = descriptor(weight, ("light",), ("heavy",))
    if age > 0.6:
        qualities += ("old", "rusty")
    return Take(canvas, Annotations(qualities=qualities))


def _hinge_creak(ctx: RenderContext, noise: RenderContext, age: float, seconds: float) -> Array:
    """Stick-slip pulses of a hinge through the resonances of the door."""
    # An old hinge is rougher: random speed changes within the creak.
    n = ctx.to_samples(seconds)
    low = ctx.log_triangular(35, 90)
    high = ctx.log_triangular(110, 380)
    slip_hz = breakpoint_curve(
        n,
        (0, low),
        (ctx.triangular(0.2, 0.4), high),
        (ctx.triangular(0.5, 0.75), 0.6 * low + 0.4 * high),
        (1, high),
    )
    roughness = butterworth(noise.white_noise(seconds), ctx.sample_rate, None, 30)
    cycles = np.cumsum(slip_hz * (1 + 0.1 * age * roughness * 8)) / ctx.sample_rate
    slips = np.diff(np.floor(cycles), prepend=0.0) * (0.4 + 0.6 * noise.rng.random(n))
    resonances: list[tuple[float, float, float]] = []
    for center in (520.0, 1150.0, 1900.0, 2900.0):
        resonances.append((center * ctx.log_triangular(0.8, 1.25), 0.06 * center, 1.0))
    creak = formant_filter(slips, ctx.sample_rate, tuple(resonances))
    creak *= breakpoint_curve(n, (0, 0), (0.1, 1), (0.6, 0.7), (0.9, 0.8), (1, 0))
    return creak


def hand_clap(ctx: RenderContext) -> Take:
    """Render one pair of hands that claps evenly in a room: a slap, and the air between them."""
    noise = noise_context(ctx)
    tuning = ctx.log_triangular(0.8, 1.25)
    half_life = ctx.triangular(0.02, 0.035)

    def strike() -> Array:
        variation = ctx.triangular(0.8, 1.2)
        slap = noise_burst(noise, 0.15, 600 * tuning, 4000 * tuning, half_life * variation, 0.002)
        puff = noise_burst(noise, 0.15, 300, 7800, 0.008, 0.001)
        cavity = resonator(puff, ctx.sample_rate, 1500 * tuning, 600 * tuning)
        return normalize_peak(slap) + normalize_peak(cavity)

    take = repeat_strikes(ctx, ctx.log_triangular(0.9, 4.8), 10, 0.1, strike)
    return Take(add_echo(noise, take.samples, 0.4, 0.3), take.annotations)


def applause(ctx: RenderContext) -> Take:
    """Render a crowd in a hall: thousands of claps, of sixty different pairs of hands."""
    noise = noise_context(ctx)
    crowd = ctx.triangular(0, 1)
    claps = [_crowd_clap(ctx, noise) for _ in range(60)]
    onsets = poisson_onsets(noise, 500 * 4**crowd, -0.2, ctx.duration)
    gains = noise.rng.lognormal(0, 0.5, len(onsets))
    canvas = grain_cloud(noise, claps, onsets, gains, ctx.num_samples)
    canvas = add_echo(noise, canvas, 0.6, 0.3)
    start_level = ctx.triangular(0.15, 1.0)
    end_level = ctx.triangular(0.15, 1.0)
    canvas *= breakpoint_curve(
        ctx.num_samples, (0, start_level), (0.4, 1), (0.6, 1), (1, end_level)
    )
    trend: tuple[str, ...] = ()
    if start_level < 0.3 < 0.7 < end_level:
        trend = ("getting louder",)
    elif end_level < 0.3 < 0.7 < start_level:
        trend = ("dying down",)
    qualities = descriptor(crowd, ("small",), ("large", "huge"))
    return Take(canvas, Annotations(qualities=qualities, manner=trend))


def _crowd_clap(ctx: RenderContext, noise: RenderContext) -> Array:
    """A clap of one pair of hands in a crowd, of unit energy."""
    cavity_hz = ctx.log_triangular(900, 2500)
    slap = noise_burst(noise, 0.05, 300, 7800, ctx.triangular(0.003, 0.006), 0.001)
    clap = resonator(slap, ctx.sample_rate, cavity_hz, 0.4 * cavity_hz)
    return np.asarray(clap / np.sqrt(np.sum(clap**2)))


def keyboard(ctx: RenderContext) -> Take:
    """Render typing: uneven runs of keys, each a click down and a weaker click up."""
    noise = noise_context(ctx)
    clickiness = ctx.triangular(0, 1)
    keys_per_second = ctx.log_triangular(3.0, 11.0)
    num_gaps = round(3 * keys_per_second * ctx.duration) + 4
    gaps = np.maximum(noise.rng.gamma(3.0, 1 / (3 * keys_per_second), num_gaps), 0.035)
    has_pause = noise.rng.random(len(gaps)) < 0.06
    pause_lengths = noise.rng.uniform(0.2, 0.5, len(gaps)) * min(1, ctx.duration / 3)
    pauses = np.where(has_pause, pause_lengths, 0)
    onsets = first_onset(ctx) + np.concatenate([[0.0], np.cumsum(gaps + pauses)])
    tuning = ctx.log_triangular(0.85, 1.2)

    def contact() -> Array:
        low_hz = tuning * ctx.log_triangular(840, 1700)
        half_life = (0.002 + 0.002 * clickiness) * ctx.triangular(0.8, 1.3)
        return normalize_peak(noise_burst(noise, 0.04, low_hz, 7000, half_life, 0.0003))

    clicks: list[Array] = []
    for _ in range(12):
        # The cap meets the switch, and the switch the plate.
        click = contact()
        plate = ctx.to_samples(ctx.triangular(0.008, 0.02))
        mix_into(click, contact()[: len(click) - plate], plate, 0.5)
        clicks.append(click)
    gains = noise.rng.uniform(0.4, 1.0, len(onsets))
    canvas = grain_cloud(noise, clicks, onsets, gains, ctx.num_samples)
    releases = onsets + noise.rng.uniform(0.06, 0.11, len(onsets))
    canvas += grain_cloud(noise, clicks, releases, 0.4 * gains, ctx.num_samples)
    canvas = add_echo(noise, canvas, 0.25, 0.3)
    qualities = _keyboard_qualities(clickiness)
    manner: tuple[str, ...] = ()
    if keys_per_second > 8:
        manner = ("rapidly",)
    elif keys_per_second < 4:
        manner = ("slowly",)
    desk = add_air(noise, canvas, ctx.triangular(-58, -51))
    return Take(desk, Annotations(qualities=qualities, manner=manner))


def _keyboard_qualities(clickiness: float) -> tuple[str, ...]:
    """Name the keyboard: mechanical, soft, or nothing."""
    if clickiness > 0.7:
        return ("mechanical",)
    return ("soft",) if clickiness < 0.25 else ()


def woodpecker(ctx: RenderContext) -> Take:
    """Render drum rolls on a trunk: exactly even pecks that swell and fade.

    The rate of the pecks is annotated.
    """
    noise = noise_context(ctx)
    rate_hz = ctx.log_triangular(10, 19.5)
    trunk_hz = ctx.log_triangular(450, 1500)
    half_life = ctx.log_triangular(0.006, 0.02)
    num_pecks = min(ctx.integer(8, 22), int(0.75 * ctx.duration * rate_hz))
    roll_length = num_pecks / rate_hz
    peck = damped_modes(
        ctx,
        0.2,
        trunk_hz * np.array([1, 1.6, 2.7]),
        np.array([1.0, 0.6, 0.3]),
        half_life * np.array([1, 0.7, 0.5]),
    )
    mix_into(peck, noise_burst(noise, 0.02, 1500, 6000, 0.002, 0.0003), 0, 0.4)
    rolls = counted_onsets(ctx, roll_length, (0.35, 1.5), 5)
    canvas = ctx.silence()
    for roll in rolls:
        for k in range(num_pecks):
            onset = round((roll + k / rate_hz) * ctx.sample_rate)
            mix_into(canvas, peck, onset, 0.55 + 0.45 * np.sin(np.pi * (k + 0.5) / num_pecks))
    forest = add_echo(noise, canvas, 0.6, ctx.triangular(0.4, 1.0))
    return Take(forest, Annotations(rate_hz=rate_hz))


def ball(ctx: RenderContext) -> Take:
    """Render a dribbled ball: a short dull blow on the floor of a gymnasium."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    rate_hz = ctx.log_triangular(0.9, 4.0)
    tuning = 1.3 * 0.6**size

    def bounce() -> Array:
        variation = ctx.log_triangular(0.9, 1.1) * tuning
        blow = noise_burst(noise, 0.15, 150 * variation, 900 * variation, 0.02, 0.002)
        sound = normalize_peak(blow)
        skin = noise_burst(noise, 0.08, 500 * tuning, 4000, 0.008, 0.0006)
        mix_into(sound, normalize_peak(skin), 0, 0.3)
        return sound

    onsets = periodic_onsets(ctx, rate_hz, 0.2)
    annotations = countable_annotations(onsets, rate_hz)
    annotations["qualities"] = descriptor(size, ("small",), ("large", "heavy"))
    take = place_strikes(ctx, onsets, bounce, annotations)
    hall = add_echo(noise, take.samples, 0.4, 0.5)
    return Take(add_air(noise, hall, ctx.triangular(-54, -48)), annotations)


CLASSES: tuple[SoundClass, ...] = (
    effect_class(
        "knock",
        knock,
        ("door", "house door", "front door"),
        ("being knocked on", "being rapped on", "being knocked at with the knuckles"),
    ),
    effect_class(
        "footsteps",
        footsteps,
        ("~footsteps", "~steps", "person", "walker"),
        ("walking", "passing by", "walking along", "striding along"),
        is_sustained=True,
    ),
    effect_class(
        "door",
        door,
        ("door", "house door", "door on a hinge"),
        ("creaking and slamming shut", "creaking and then slamming", "squeaking and banging shut"),
    ),
    effect_class(
        "clap",
        hand_clap,
        ("person", "pair of hands", "~hands", "man"),
        ("clapping", "giving claps", "clapping along"),
    ),
    effect_class(
        "applause",
        applause,
        ("crowd", "audience", "theatre audience", "~people"),
        ("applauding", "clapping", "giving applause", "clapping together"),
        is_sustained=True,
    ),
    effect_class(
        "keyboard",
        keyboard,
        ("computer keyboard", "keyboard", "person at a keyboard", "typist"),
        ("typing", "clicking and clacking", "tapping keys"),
        is_sustained=True,
        can_be_far=False,
    ),
    effect_class(
        "woodpecker",
        woodpecker,
        ("woodpecker", "forest woodpecker", "spotted woodpecker"),
        ("drumming on a tree", "pecking wood", "hammering on a trunk"),
    ),
    effect_class(
        "ball",
        ball,
        ("basketball", "ball", "rubber ball"),
        ("bouncing", "being dribbled", "bouncing on the floor", "bouncing on a court"),
        is_sustained=True,
    ),
)
