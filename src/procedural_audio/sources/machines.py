"""Machines of house and office.

Clock, drill, vacuum cleaner, fan, sewing machine, washing machine, printer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..events import (
    breakpoint_curve,
    descriptor,
    log_interpolate,
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
    colored_noise,
    damped_modes,
    mix_into,
    normalize_peak,
    random_curve,
    resonator,
)
from .formants import jitter
from .impacts_noise import (
    clip_fade,
    countable_annotations,
    grain_cloud,
    noise_burst,
    place_strikes,
    poisson_onsets,
    wavetable_tone,
)
from .motor import Motor, resonate, run_motor
from .surroundings import add_echo

_POWER_TOOL = Motor(
    ratio=1.0,
    slope=0.5,
    low_hz=300.0,
    high_hz=7800.0,
    noise_band=(400.0, 5500.0),
    tone_band=(300.0, 6000.0),
    flutter=0.0,
    throb=0.0,
    thump=0.0,
    unsteadiness=0.003,
)

_FAN_MOTOR = Motor(
    ratio=1.0,
    tilt=0.2,
    slope=0.4,
    low_hz=60.0,
    high_hz=7000.0,
    noise_band=(400.0, 6000.0),
    tone_band=(300.0, 4000.0),
    flutter=0.0,
    throb=0.05,
    thump=0.0,
    unsteadiness=0.0002,
)
_SEWING_MOTOR = Motor(ratio=3.0, tone=0.5, slope=0.6, low_hz=100.0, throb=0.3)
_WASHER_MOTOR = Motor(
    slope=0.8,
    low_hz=60.0,
    high_hz=4000.0,
    noise_band=(200.0, 3000.0),
    tone_band=(100.0, 2000.0),
    throb=0.3,
)


def clock(ctx: RenderContext) -> Take:
    """Render an escapement: tick and tock in turn at an exact rate, from watch to large clock."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    rate_hz = log_interpolate(5.5, 1.0, size) * ctx.log_triangular(0.8, 1.25)
    tuning = log_interpolate(1.7, 0.7, size)
    case_gain = 0.2 + 0.8 * size

    def tick(detuning: float) -> Array:
        frequencies = detuning * tuning * np.array([520.0, 1130, 2350, 3170, 4290])
        gains = np.array([0.7 * case_gain, 0.6 * case_gain, 0.8, 0.7, 0.5])
        half_lives = np.array([0.01, 0.008, 0.006, 0.005, 0.004])
        sound = damped_modes(ctx, 0.08, frequencies, gains, half_lives)
        mix_into(sound, noise_burst(noise, 0.02, 2000, 7500, 0.0015, 0.0002), 0, 0.4)
        return normalize_peak(sound)

    # The second beat of an escapement is lower and weaker.
    tick_tock = (tick(1.0), 0.92 * tick(ctx.triangular(0.8, 0.9)))
    onsets = periodic_onsets(ctx, rate_hz, 0.06)
    canvas = ctx.silence()
    for k, onset in enumerate(onsets):
        mix_into(canvas, tick_tock[k % 2], round(onset * ctx.sample_rate))
    annotations = countable_annotations(onsets, rate_hz)
    annotations["qualities"] = descriptor(size, ("small",), ("large", "wooden"))
    return Take(canvas, annotations)


def drill(ctx: RenderContext) -> Take:
    """Render an electric drill: a motor that starts, runs at an exact pitch, and stops."""
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(160, 900)
    start_s = min(0.12, 0.08 * ctx.duration)
    stop_s = min(0.3, 0.15 * ctx.duration)
    start = start_s / ctx.duration
    stop = stop_s / ctx.duration
    speed = breakpoint_curve(ctx.num_samples, (0, 0.25), (start, 1), (1 - stop, 1), (1, 0.3))
    motor = replace(_POWER_TOOL, tone=ctx.triangular(0.5, 1.0), slope=ctx.triangular(0.3, 0.7))
    sound = run_motor(ctx, noise, pitch * speed, motor)
    envelope = breakpoint_curve(ctx.num_samples, (0, 0.1), (start, 1), (1 - stop, 1), (1, 0.0))
    qualities = ("powerful",) if pitch < 280 else ()
    return Take(sound * envelope, Annotations(pitch_hz=pitch, qualities=qualities))


def vacuum(ctx: RenderContext) -> Take:
    """Render a vacuum cleaner: air that rushes through a tube, and the whine of the blower."""
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(330, 700)
    color = colored_noise(noise, ctx.duration, 0.0)
    rush = butterworth(color, ctx.sample_rate, 100, 7900, 1)
    rush = resonate(ctx, rush, 10, (400, 5500), 0.1, 1.0)
    frequency = jitter(ctx, np.full(ctx.num_samples, pitch), 0.0008, 20)
    # The blades of the blower make little more than a sine.
    whine = wavetable_tone(frequency, ctx.sample_rate, 2.0)
    gust = 1 + 0.06 * random_curve(ctx, ctx.duration, 8)
    mix = rush / rush.std() * gust + ctx.triangular(1.0, 1.4) * whine / whine.std()
    return Take(mix * clip_fade(ctx), Annotations(pitch_hz=pitch))


def fan(ctx: RenderContext) -> Take:
    """Render a fan: the rush of air, the hum of its motor, and a slow tremolo of imbalance."""
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(58, 240)
    tremolo_hz = ctx.triangular(1.5, 5)
    depth = ctx.triangular(0.0, 0.15)
    motor = replace(_FAN_MOTOR, tone=ctx.triangular(2.0, 4.0))
    sound = run_motor(ctx, noise, np.full(ctx.num_samples, pitch), motor)
    tremolo = 1 + depth * np.sin(2 * np.pi * tremolo_hz * ctx.time_axis(ctx.duration))
    qualities = descriptor(np.log(pitch / 58) / np.log(240 / 58), ("large",), ("small",))
    annotations = Annotations(pitch_hz=pitch, qualities=qualities)
    return Take(sound * tremolo * clip_fade(ctx), annotations)


def sewing(ctx: RenderContext) -> Take:
    """Render a sewing machine: the needle once per stitch, in the rattle of shuttle and cams."""
    noise = noise_context(ctx)
    rate_hz = ctx.log_triangular(4.5, 17)
    depth = ctx.triangular(0.4, 0.7)  # of the rattle's variation within a stitch
    parts = [_metal_part(ctx, noise) for _ in range(16)]
    rattle_onsets = poisson_onsets(noise, ctx.log_triangular(60, 180), 0, ctx.duration)
    position = rattle_onsets * rate_hz % 1.0
    gains = noise.rng.lognormal(0, 0.6, len(rattle_onsets))
    gains *= 1 - depth + depth * np.cos(np.pi * position) ** 2
    canvas = grain_cloud(noise, parts, rattle_onsets, gains, ctx.num_samples)
    onsets = periodic_onsets(ctx, rate_hz, 0.05)
    for onset in onsets:
        mix_into(canvas, parts[0], round(onset * ctx.sample_rate), 4.0)
    canvas = add_echo(noise, canvas, 0.3, 0.8)
    motor_turns = np.full(ctx.num_samples, 3 * rate_hz)
    motor = run_motor(ctx, noise, motor_turns, _SEWING_MOTOR)
    mix = canvas / canvas.std() + ctx.triangular(0.05, 0.3) * motor / motor.std()
    annotations = Annotations(rate_hz=rate_hz) if len(onsets) > 3 else Annotations()
    return Take(mix * clip_fade(ctx), annotations)


def _metal_part(ctx: RenderContext, noise: RenderContext) -> Array:
    """A dull blow of one small part of a machine."""
    center_hz = ctx.log_triangular(500, 1800)
    burst = noise_burst(noise, 0.1, 250, 6000, ctx.triangular(0.006, 0.014), 0.002)
    bandwidth_hz = ctx.triangular(0.3, 0.8) * center_hz
    return normalize_peak(resonator(burst, ctx.sample_rate, center_hz, bandwidth_hz) + 0.2 * burst)


def washer(ctx: RenderContext) -> Take:
    """Render a washing machine: water that slops once per turn of the drum, over its motor."""
    noise = noise_context(ctx)
    # At least two turns, so that the rate is audible in a short clip.
    rate_hz = max(ctx.log_triangular(0.7, 1.8), 2.2 / ctx.duration)
    onsets = periodic_onsets(ctx, rate_hz, 0.3 / rate_hz)
    turn = 2 * np.pi * rate_hz * (ctx.time_axis(ctx.duration) - onsets[0])
    fill = 0.1 + 0.9 * (0.5 - 0.5 * np.cos(turn)) ** 2
    splash = np.exp(0.4 * random_curve(ctx, ctx.duration, 12))
    white = white_noise_per_hz(noise, ctx.duration)
    top_hz = ctx.log_triangular(2500, 5000)
    water = butterworth(white, ctx.sample_rate, 300, top_hz, 1) * fill * splash
    drops: list[Array] = []
    for _ in range(12):
        drop_hz = np.array([ctx.log_triangular(300, 1600)])
        drops.append(damped_modes(ctx, 0.06, drop_hz, np.ones(1), 9.0 / drop_hz))
    drop_onsets = poisson_onsets(noise, 40, 0, ctx.duration)
    drop_gains = np.interp(drop_onsets, np.linspace(0, ctx.duration, len(fill)), fill)
    slosh = grain_cloud(noise, drops, drop_onsets, drop_gains, ctx.num_samples)
    speed_hz = np.full(ctx.num_samples, ctx.log_triangular(20, 30))
    motor = run_motor(ctx, noise, speed_hz, _WASHER_MOTOR)
    mix = (
        water / water.std()
        + 0.6 * slosh / slosh.std()
        + (ctx.triangular(0.1, 0.4) * motor / motor.std())
    )
    annotations = Annotations(rate_hz=rate_hz) if len(onsets) > 2 else Annotations()
    return Take(mix * clip_fade(ctx), annotations)


def printer(ctx: RenderContext) -> Take:
    """Render a dot-matrix printer: pins rattle letter by letter, then the paper moves on."""
    noise = noise_context(ctx)
    line_rate_hz = ctx.log_triangular(1.0, 3.0)
    line_s = min(0.75 / line_rate_hz, 0.7 * ctx.duration)
    pin_hz = ctx.log_triangular(420, 1250)
    letters_per_second = ctx.triangular(15, 25)
    carriage_hz = ctx.log_triangular(200, 500)

    def print_line() -> Array:
        pins = _pins(ctx, noise, line_s, pin_hz, letters_per_second)
        speed = np.linspace(0.9, 1.1, len(pins))
        carriage = wavetable_tone(carriage_hz * speed, ctx.sample_rate, 0.2)
        carriage = resonate(ctx, carriage, 5, (400, 4000), 0.1, 2.0)
        sound = pins / pins.std() + 0.3 * carriage / carriage.std()
        return np.asarray(sound * attack_release(ctx, line_s, 0.02, 0.02))

    onsets = periodic_onsets(ctx, line_rate_hz, line_s)
    annotations = countable_annotations(onsets, line_rate_hz)
    take = place_strikes(ctx, onsets, print_line, annotations)
    level = float(take.samples.std())
    stop_s = 0.16 / line_rate_hz
    for onset in onsets:
        stop = normalize_peak(noise_burst(noise, 0.12, 200, 4000, 0.02, 0.002))
        mix_into(take.samples, stop, round((onset + line_s + 0.01) * ctx.sample_rate), 6 * level)
        paper = butterworth(noise.white_noise(stop_s), ctx.sample_rate, 1000, 6000, 1)
        paper = paper * np.hanning(len(paper)) / paper.std()
        mix_into(take.samples, paper, round((onset + line_s + 0.03) * ctx.sample_rate), level)
    return Take(add_echo(noise, take.samples, 0.3, 0.4), annotations)


def _pins(
    ctx: RenderContext,
    noise: RenderContext,
    seconds: float,
    pin_hz: float,
    letters_per_second: float,
) -> Array:
    """The strokes of the pins on the paper: noise that they modulate, with gaps between words."""
    strokes = (0.5 + 0.5 * np.cos(2 * np.pi * pin_hz * ctx.time_axis(seconds))) ** 3
    letter = (ctx.time_axis(seconds) * letters_per_second).astype(int)
    has_ink = noise.rng.random(letter[-1] + 1) > 0.1
    gains = has_ink * noise.rng.uniform(0.7, 1.0, len(has_ink))
    paper = butterworth(noise.white_noise(seconds), ctx.sample_rate, 800, 7000, 1)
    paper = paper[: len(letter)] * strokes * gains[letter]
    return resonate(ctx, paper, 5, (900, 5000), 0.12, 2.0)


CLASSES: tuple[SoundClass, ...] = (
    effect_class(
        "clock",
        clock,
        ("clock", "mechanical clock", "old clock", "timepiece"),
        ("ticking", "tick-tocking", "ticking away"),
        is_sustained=True,
        can_be_far=False,
    ),
    effect_class(
        "drill",
        drill,
        ("electric drill", "drill", "power drill"),
        ("drilling", "whining", "boring a hole", "being used"),
        is_sustained=True,
    ),
    effect_class(
        "vacuum",
        vacuum,
        ("vacuum cleaner", "hoover", "vacuum"),
        ("running", "vacuuming", "sucking up dust", "cleaning the floor"),
        is_sustained=True,
        can_be_far=False,
    ),
    effect_class(
        "fan",
        fan,
        ("fan", "electric fan", "ventilator", "ceiling fan"),
        ("humming", "blowing air", "whirring softly", "spinning"),
        is_sustained=True,
        can_be_far=False,
    ),
    effect_class(
        "sewing",
        sewing,
        ("sewing machine", "tailor's sewing machine", "electric sewing machine"),
        ("stitching", "sewing", "running", "sewing a seam"),
        is_sustained=True,
        can_be_far=False,
    ),
    effect_class(
        "washer",
        washer,
        ("washing machine", "laundry machine", "washer"),
        ("washing", "turning its drum", "sloshing", "doing the laundry"),
        is_sustained=True,
        can_be_far=False,
    ),
    effect_class(
        "printer",
        printer,
        ("dot matrix printer", "printer", "office printer"),
        ("printing", "printing lines", "printing a page"),
        is_sustained=True,
        can_be_far=False,
    ),
)
