"""Vehicles: engines, a motorcycle, a helicopter, trains, airplanes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..events import (
    breakpoint_curve,
    counted_onsets,
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
    butterworth,
    colored_noise,
    mix_into,
    normalize_peak,
    random_curve,
    resonator,
)
from .formants import jitter
from .impacts_noise import (
    clip_fade,
    countable_annotations,
    firing_pulses,
    noise_burst,
)
from .motor import Motor, resonate, run_motor
from .surroundings import add_echo

_MOTORCYCLE = Motor(tone=2.0, thump=2.5, unsteadiness=0.02, irregularity=0.5)
_AIRCRAFT = Motor(
    slope=0.8,
    low_hz=60.0,
    high_hz=4000.0,
    noise_band=(200.0, 3000.0),
    tone_band=(100.0, 2000.0),
)
_MAX_PULSE_RATE_HZ = 19.5  # above it firings fuse to a tone, so no rate is annotated


def engine(ctx: RenderContext) -> Take:
    """Render a steady engine: so slow that single strokes are audible, or fast enough to hum."""
    noise = noise_context(ctx)
    firing_hz = ctx.log_triangular(8, 60)
    diesel = ctx.triangular(0, 1)
    motor = Motor(
        ratio=float(ctx.integer(3, 6)),
        tone=ctx.triangular(0.2, 1.0),
        slope=0.7 - 0.5 * diesel,
        low_hz=100.0,
        throb=0.35 + 0.35 * diesel,
        thump=ctx.triangular(0.3, 1.0),
    )
    sound = run_motor(ctx, noise, np.full(ctx.num_samples, firing_hz), motor)
    annotations = Annotations(qualities=("diesel",) if diesel > 0.6 else ())
    if firing_hz < _MAX_PULSE_RATE_HZ and ctx.duration * firing_hz > 4:
        annotations["rate_hz"] = firing_hz
    annotations["manner"] = _speed_words(firing_hz, 14, 42)
    return Take(sound * clip_fade(ctx), annotations)


def _speed_words(rate_hz: float, slow_hz: float, fast_hz: float) -> tuple[str, ...]:
    """The adverb for a rate below `slow_hz` or above `fast_hz`."""
    if rate_hz < slow_hz:
        return ("slowly",)
    return ("fast",) if rate_hz > fast_hz else ()


def revving(ctx: RenderContext) -> Take:
    """Render a parked car: idling, then a counted number of short openings of the throttle."""
    noise = noise_context(ctx)
    idle_hz = ctx.log_triangular(11, 19)
    peak_ratio = ctx.log_triangular(2.6, 5.0)
    length = min(ctx.log_triangular(0.6, 1.6), 0.75 * ctx.duration)
    rise = ctx.triangular(0.3, 0.5)
    motor = Motor(tone=ctx.triangular(0.2, 0.7), slope=ctx.triangular(0.2, 0.5))
    n = ctx.to_samples(length)
    rev = breakpoint_curve(n, (0, 0), (rise, 1), (rise + 0.12, 0.9), (1, 0))
    onsets = counted_onsets(ctx, length, (0.12, 0.8), 5)
    throttle = ctx.silence()
    for onset in onsets:
        mix_into(throttle, rev, round(onset * ctx.sample_rate), ctx.triangular(0.8, 1.0))
    sound = run_motor(ctx, noise, idle_hz * peak_ratio**throttle, motor)
    sound = sound * (0.25 + 0.75 * throttle)
    annotations = Annotations(count=len(onsets), onsets=tuple(onsets))
    return Take(sound * clip_fade(ctx), annotations)


def motorcycle(ctx: RenderContext) -> Take:
    """Render a motorcycle that accelerates: the pitch rises in each gear and drops at a change."""
    noise = noise_context(ctx)
    weight = ctx.triangular(0, 1)
    base_hz = log_interpolate(34, 14, weight)  # firings per second
    pitch_ratio = ctx.triangular(1.8, 2.6)  # from the start of a gear to its end
    num_gears = 1
    if ctx.duration >= 1.5:
        num_gears = ctx.integer(1, min(4, 1 + int(ctx.duration / 1.6)))
    position = np.linspace(0, 1, ctx.num_samples) * num_gears
    in_gear = position % 1.0
    gear = np.floor(position)
    # The throttle opens over 88 % of a gear and closes for the change.
    throttle = np.minimum(in_gear / 0.88, 1.0) * np.clip((1 - in_gear) / 0.06, 0, 1)
    smooth_throttle = butterworth(throttle, ctx.sample_rate, None, 12)
    frequency = base_hz * (1 + 0.12 * gear) * pitch_ratio**smooth_throttle
    sound = run_motor(ctx, noise, frequency, _MOTORCYCLE)
    load = 0.45 + 0.55 * butterworth(throttle, ctx.sample_rate, None, 15)
    envelope = load * breakpoint_curve(ctx.num_samples, (0, 0.7), (1, 1))
    manner = ("speeding up",) if num_gears == 1 else ("changing gears",)
    qualities = descriptor(weight, ("small", "light"), ("heavy",))
    annotations = Annotations(qualities=qualities, manner=manner)
    return Take(sound * envelope * clip_fade(ctx), annotations)


def helicopter(ctx: RenderContext) -> Take:
    """Render blades that pass at an even rate: bursts of noise over the rush of the rotor."""
    noise = noise_context(ctx)
    rate_hz = ctx.log_triangular(9.5, 19.5)
    slap = ctx.triangular(0.0, 1.0)
    frequency = jitter(ctx, np.full(ctx.num_samples, rate_hz), 0.004, 6)
    gains = noise_context(ctx).rng.uniform(0.75, 1.0, 512)
    blades = firing_pulses(frequency, ctx.sample_rate, ctx.triangular(4, 9), gains)
    burst = colored_noise(noise, ctx.duration, 0.8) * (0.15 + blades)
    thump = blades - blades.mean()
    wash = resonate(ctx, burst + 0.5 * thump / thump.std(), 6, (60, 1500), 0.15, 1.5)
    wash = butterworth(wash, ctx.sample_rate, 30, 4000, 1)
    white = white_noise_per_hz(noise, ctx.duration)
    crack = butterworth(white, ctx.sample_rate, 1200, 6500) * (0.3 + blades)
    rush = butterworth(colored_noise(noise, ctx.duration, 0.7), ctx.sample_rate, 150, 7000, 1)
    mix = wash / wash.std() + (0.15 + 0.3 * slap) * crack / crack.std() + 0.2 * rush / rush.std()
    start_level = ctx.triangular(0.6, 1)
    end_level = ctx.triangular(0.6, 1)
    envelope = breakpoint_curve(ctx.num_samples, (0, start_level), (0.5, 1), (1, end_level))
    annotations = Annotations()
    if ctx.duration * rate_hz > 4:
        annotations["rate_hz"] = rate_hz
    lightness = (rate_hz - 9.5) / 10
    annotations["qualities"] = descriptor(lightness, ("large", "heavy"), ("small", "light"))
    return Take(mix * envelope * clip_fade(ctx), annotations)


def railway_train(ctx: RenderContext) -> Take:
    """Render a railway train: four wheels over each rail joint, over a rolling rumble."""
    noise = noise_context(ctx)
    rate_hz = max(ctx.log_triangular(0.55, 2.6), 2.2 / ctx.duration)
    axle_spacing = ctx.triangular(0.13, 0.17)  # relative to the period
    bogie_spacing = ctx.triangular(0.4, 0.5)
    clacks = [_clack(ctx, noise) for _ in range(8)]
    wheels = (
        (0.0, 1.0),
        (axle_spacing, 0.85),
        (bogie_spacing, 0.75),
        (bogie_spacing + axle_spacing, 0.65),
    )
    rails = ctx.silence()
    for onset in periodic_onsets(ctx, rate_hz, 0.0):
        for position, gain in wheels:
            start = round((onset + position / rate_hz) * ctx.sample_rate)
            clack = clacks[int(noise.rng.integers(8))]
            mix_into(rails, clack, start, gain * float(noise.rng.uniform(0.7, 1.0)))
    rails = add_echo(noise, rails, 0.8, 1.0)
    dark_noise = colored_noise(noise, ctx.duration, 1.2)
    rumble = butterworth(dark_noise, ctx.sample_rate, 40, 1500, 1)
    rumble *= 1 + 0.2 * random_curve(ctx, ctx.duration, 3)
    bright_noise = colored_noise(noise, ctx.duration, 0.3)
    rush = butterworth(bright_noise, ctx.sample_rate, 800, 6000, 1)
    rumble_gain = ctx.triangular(1.0, 2.0)
    rush_gain = ctx.triangular(0.1, 0.4)
    mix = rails / rails.std() + rumble_gain * rumble / rumble.std() + rush_gain * rush / rush.std()
    manner = _speed_words(rate_hz, 0.9, 1.7)
    return Take(mix * clip_fade(ctx), Annotations(rate_hz=rate_hz, manner=manner))


def _clack(ctx: RenderContext, noise: RenderContext) -> Array:
    """A wheel on a rail joint: a dull burst with one strong resonance."""
    center_hz = ctx.log_triangular(300, 1500)
    burst = noise_burst(noise, 0.15, 80, 5000, ctx.triangular(0.006, 0.016), 0.002)
    bandwidth_hz = ctx.triangular(0.2, 0.6) * center_hz
    return normalize_peak(resonator(burst, ctx.sample_rate, center_hz, bandwidth_hz) + 0.3 * burst)


def steam(ctx: RenderContext) -> Take:
    """Render a steam locomotive: chuffs at an even rate over the hiss of a leaking valve."""
    noise = noise_context(ctx)
    rate_hz = max(ctx.log_triangular(1.3, 8.0), 2.5 / ctx.duration)
    center_hz = ctx.log_triangular(450, 1100)
    length = min(0.9 / rate_hz, 0.5)
    onsets = periodic_onsets(ctx, rate_hz, length)
    white = white_noise_per_hz(noise, ctx.duration)
    cloud = butterworth(white, ctx.sample_rate, 0.4 * center_hz, 6 * center_hz, 1)
    n = ctx.to_samples(length)
    puff = breakpoint_curve(n, (0, 0), (0.12, 1), (0.45, 0.5), (1, 0))
    valve = ctx.silence()
    for k, onset in enumerate(onsets):
        gain = (1.0 if k % 4 == 0 else 0.8) * float(noise.rng.uniform(0.85, 1))
        mix_into(valve, puff, round(onset * ctx.sample_rate), gain)
    chuffs = add_echo(noise, cloud * valve, 0.6, 0.5)
    leak = butterworth(white_noise_per_hz(noise, ctx.duration), ctx.sample_rate, 2000, 7500, 1)
    dark_noise = colored_noise(noise, ctx.duration, 1.2)
    rumble = butterworth(dark_noise, ctx.sample_rate, 40, 900, 1)
    floor = ctx.triangular(0.15, 0.45) * leak / leak.std() + 0.3 * rumble / rumble.std()
    mix = chuffs / chuffs.std() + floor * clip_fade(ctx)
    return Take(mix, countable_annotations(onsets, rate_hz))


def airplane(ctx: RenderContext) -> Take:
    """Render a passing jet: a roar that grows and fades, and a whine with Doppler shift."""
    noise = noise_context(ctx)
    passing = ctx.triangular(0.4, 0.65)
    # Position along the flight path, in units of the shortest distance.
    path = (np.linspace(0, 1, ctx.num_samples) - passing) * ctx.triangular(3.5, 8.0)
    nearness = 1 / np.sqrt(1 + path**2)
    doppler = 1 - 0.16 * path * nearness
    roar = butterworth(colored_noise(noise, ctx.duration, 0.9), ctx.sample_rate, 60, 420)
    bright = butterworth(colored_noise(noise, ctx.duration, 0.6), ctx.sample_rate, 400, 3800)
    whine_hz = ctx.log_triangular(1300, 2600) * doppler
    whine = np.sin(2 * np.pi * np.cumsum(whine_hz) / ctx.sample_rate)
    mix = normalize_peak(roar) * nearness + 0.55 * normalize_peak(bright) * nearness**2
    mix = mix + ctx.triangular(0.02, 0.07) * whine * nearness**1.5
    return Take(mix * clip_fade(ctx), Annotations(manner=("passing by",)))


def propeller(ctx: RenderContext) -> Take:
    """Render a propeller plane: the rush of the air, which the blades chop at a steady pitch."""
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(58, 230)
    blades = ctx.integer(2, 3)
    motor = replace(_AIRCRAFT, ratio=float(blades), tone=ctx.triangular(0.4, 0.8))
    turns = np.full(ctx.num_samples, pitch / blades)
    sound = run_motor(ctx, noise, turns, motor)
    start_level = ctx.triangular(0.35, 1)
    end_level = ctx.triangular(0.35, 1)
    envelope = breakpoint_curve(ctx.num_samples, (0, start_level), (0.5, 1), (1, end_level))
    smallness = np.log(pitch / 58) / np.log(4)
    qualities = descriptor(smallness, ("large",), ("small",))
    annotations = Annotations(pitch_hz=pitch, qualities=qualities)
    return Take(sound * envelope * clip_fade(ctx), annotations)


CLASSES: tuple[SoundClass, ...] = (
    effect_class(
        "engine",
        engine,
        ("engine", "car engine", "truck engine", "motor"),
        ("running", "idling", "ticking over", "running steadily"),
        is_sustained=True,
    ),
    effect_class(
        "revving",
        revving,
        ("car", "sports car", "parked car"),
        ("revving", "being revved", "revving its engine"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "motorcycle",
        motorcycle,
        ("motorcycle", "motorbike", "dirt bike"),
        ("riding", "accelerating", "roaring along", "racing"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "helicopter",
        helicopter,
        ("helicopter", "chopper", "rescue helicopter"),
        ("flying", "hovering", "beating the air", "flying overhead"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "train",
        railway_train,
        ("train", "railway train", "freight train"),
        ("rolling over the rails", "clattering along the track", "running on rails"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "steam",
        steam,
        ("steam train", "steam locomotive", "steam engine"),
        ("chuffing", "puffing", "puffing along", "huffing steam"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "airplane",
        airplane,
        ("jet plane", "airplane", "airliner", "jet"),
        ("flying overhead", "roaring across the sky", "flying over"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "propeller",
        propeller,
        ("propeller plane", "light aircraft", "old propeller aircraft"),
        ("droning", "flying", "droning across the sky"),
        is_sustained=True,
        can_be_indoors=False,
    ),
)
