"""Vehicles: engines, a motorcycle, a helicopter, trains, airplanes."""

from __future__ import annotations

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
    damped_modes,
    mix_into,
    normalize_peak,
    random_curve,
    resonator,
)
from .formants import formant_filter, jitter
from .impacts_noise import (
    clip_fade,
    countable_annotations,
    firing_pulses,
    noise_burst,
    wavetable_tone,
)

_MAX_PULSE_RATE_HZ = 19.5  # above it firings fuse to a tone, so no rate is annotated
_CYLINDER_GAINS = 64  # firings until the gains repeat


def _exhaust(
    ctx: RenderContext,
    noise: RenderContext,
    frequency: Array,
    sharpness: float,
    hiss_gain: float,
    tuning: float,
) -> Array:
    """Cylinders that fire at `frequency` `[T]` Hz, through a pipe and a body.

    `hiss_gain` is the noise in each firing; `tuning` scales the resonances.
    """
    n = len(frequency)
    cylinder_gains = ctx.rng.uniform(0.85, 1.0, _CYLINDER_GAINS)
    firing = firing_pulses(frequency, ctx.sample_rate, sharpness, cylinder_gains)
    firing_noise = white_noise_per_hz(noise, n / ctx.sample_rate)
    pressure = firing - firing.mean() + hiss_gain * firing * firing_noise
    resonances: list[tuple[float, float, float]] = []
    for center, gain in ((110.0, 1.0), (240.0, 0.9), (520.0, 0.6), (1250.0, 0.35)):
        resonances.append((center * tuning, 0.35 * center, gain))
    intake_noise = white_noise_per_hz(noise, n / ctx.sample_rate)
    intake = butterworth(intake_noise, ctx.sample_rate, 800, 5000)
    body = formant_filter(pressure, ctx.sample_rate, tuple(resonances))
    direct = 0.15 * butterworth(pressure, ctx.sample_rate, None, 2500)
    return body + direct + 0.05 * hiss_gain * intake


def engine(ctx: RenderContext) -> Take:
    """Render a steady engine: so slow that single strokes are audible, or fast enough to hum."""
    noise = noise_context(ctx)
    firing_hz = ctx.log_triangular(8, 60)
    diesel = ctx.triangular(0, 1)
    tuning = ctx.log_triangular(0.75, 1.35)
    frequency = np.full(ctx.num_samples, firing_hz)
    sharpness = ctx.triangular(7, 16)
    mix = _exhaust(ctx, noise, frequency, sharpness, 0.15 + 0.3 * diesel, tuning)
    if diesel > 0.5:
        # Injectors knock once per firing.
        pulses = firing_pulses(frequency, ctx.sample_rate, 40, np.ones(1))
        knock_noise = white_noise_per_hz(noise, ctx.duration) * pulses
        knocks = resonator(knock_noise, ctx.sample_rate, 2100 * tuning, 900)
        mix = normalize_peak(mix) + diesel * 0.5 * normalize_peak(knocks)
    annotations = Annotations(qualities=("diesel",) if diesel > 0.6 else ())
    if firing_hz < _MAX_PULSE_RATE_HZ and ctx.duration * firing_hz > 4:
        annotations["rate_hz"] = firing_hz
    annotations["manner"] = _speed_words(firing_hz, 14, 42)
    return Take(mix * clip_fade(ctx), annotations)


def _speed_words(rate_hz: float, slow_hz: float, fast_hz: float) -> tuple[str, ...]:
    """The adverb for a rate below `slow_hz` or above `fast_hz`."""
    if rate_hz < slow_hz:
        return ("slowly",)
    return ("fast",) if rate_hz > fast_hz else ()


def revving(ctx: RenderContext) -> Take:
    """Render a parked car: idling, then a counted number of short openings of the throttle."""
    noise = noise_context(ctx)
    idle_hz = ctx.log_triangular(22, 38)
    peak_ratio = ctx.log_triangular(2.6, 5.0)
    length = min(ctx.log_triangular(0.6, 1.6), 0.75 * ctx.duration)
    rise = ctx.triangular(0.3, 0.5)
    tuning = ctx.log_triangular(0.8, 1.3)
    sharpness = ctx.triangular(6, 10)
    n = ctx.to_samples(length)
    rev = breakpoint_curve(n, (0, 0), (rise, 1), (rise + 0.12, 0.9), (1, 0))
    onsets = counted_onsets(ctx, length, (0.12, 0.8), 5)
    throttle = ctx.silence()
    for onset in onsets:
        mix_into(throttle, rev, round(onset * ctx.sample_rate), ctx.triangular(0.8, 1.0))
    frequency = idle_hz * peak_ratio**throttle
    exhaust = _exhaust(ctx, noise, frequency, sharpness, 0.25, tuning)
    mix = exhaust * (0.25 + 0.75 * throttle)
    annotations = Annotations(count=len(onsets), onsets=tuple(onsets))
    return Take(mix * clip_fade(ctx), annotations)


def motorcycle(ctx: RenderContext) -> Take:
    """Render a motorcycle that accelerates: the pitch rises in each gear and drops at a change."""
    noise = noise_context(ctx)
    weight = ctx.triangular(0, 1)
    base_hz = log_interpolate(125, 48, weight)
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
    rasp_frequency = jitter(ctx, frequency, 0.012, 70)
    tilt = ctx.triangular(0.3, 0.6)
    rasp = wavetable_tone(rasp_frequency, ctx.sample_rate, tilt, top_hz=6000)
    exhaust = _exhaust(ctx, noise, frequency / 2, 9, 0.3, 1.4 - 0.5 * weight)
    resonances = ((420, 250, 1.0), (1100, 400, 0.8), (2600, 900, 0.5))
    body = formant_filter(rasp, ctx.sample_rate, resonances)
    mix = normalize_peak(body) + normalize_peak(exhaust)
    load = 0.45 + 0.55 * butterworth(throttle, ctx.sample_rate, None, 15)
    envelope = load * breakpoint_curve(ctx.num_samples, (0, 0.7), (1, 1))
    manner = ("speeding up",) if num_gears == 1 else ("changing gears",)
    qualities = descriptor(weight, ("small", "light"), ("heavy",))
    annotations = Annotations(qualities=qualities, manner=manner)
    return Take(mix * envelope * clip_fade(ctx), annotations)


def helicopter(ctx: RenderContext) -> Take:
    """Render blades that pass at an even rate, over rotor noise and the whine of the turbine."""
    noise = noise_context(ctx)
    rate_hz = ctx.log_triangular(6.5, 19.0)
    slap = ctx.triangular(0.2, 1.0)
    frequency = np.full(ctx.num_samples, rate_hz)
    blades = firing_pulses(frequency, ctx.sample_rate, ctx.triangular(7, 12), np.ones(1))
    wash_noise = white_noise_per_hz(noise, ctx.duration)
    wash = butterworth(wash_noise, ctx.sample_rate, 60, 900 + 900 * slap)
    pulses = blades - blades.mean()
    thump = resonator(pulses, ctx.sample_rate, ctx.log_triangular(55, 95), 40)
    crack_noise = white_noise_per_hz(noise, ctx.duration)
    crack = butterworth(crack_noise, ctx.sample_rate, 500, 3000) * blades**3
    turbine_pitch = np.full(ctx.num_samples, ctx.log_triangular(1400, 3200))
    turbine = wavetable_tone(turbine_pitch, ctx.sample_rate, 1.5)
    mix = 1.3 * normalize_peak(wash * (0.12 + blades)) + 0.8 * normalize_peak(thump)
    mix = mix + 0.6 * slap * normalize_peak(crack) + 0.02 * turbine
    start_level = ctx.triangular(0.6, 1)
    end_level = ctx.triangular(0.6, 1)
    envelope = breakpoint_curve(ctx.num_samples, (0, start_level), (0.5, 1), (1, end_level))
    annotations = Annotations()
    if ctx.duration * rate_hz > 4:
        annotations["rate_hz"] = rate_hz
    lightness = (rate_hz - 6.5) / 12.5
    annotations["qualities"] = descriptor(lightness, ("large", "heavy"), ("small", "light"))
    return Take(mix * envelope * clip_fade(ctx), annotations)


def railway_train(ctx: RenderContext) -> Take:
    """Render a railway train: four wheels over each rail joint, over a rolling rumble."""
    noise = noise_context(ctx)
    rate_hz = max(ctx.log_triangular(0.55, 2.6), 2.2 / ctx.duration)
    axle_spacing = ctx.triangular(0.13, 0.17)  # relative to the period
    bogie_spacing = ctx.triangular(0.4, 0.5)
    tuning = ctx.log_triangular(0.8, 1.25)
    clack = damped_modes(
        ctx,
        0.2,
        tuning * np.array([95.0, 180, 330, 720, 1450]),
        np.array([1.0, 0.9, 0.7, 0.5, 0.3]),
        np.array([0.03, 0.025, 0.015, 0.012, 0.01]),
    )
    mix_into(clack, noise_burst(noise, 0.08, 500, 3500, 0.01), 0, 0.5)
    wheels = (
        (0.0, 1.0),
        (axle_spacing, 0.85),
        (bogie_spacing, 0.75),
        (bogie_spacing + axle_spacing, 0.65),
    )
    clacks = ctx.silence()
    for onset in periodic_onsets(ctx, rate_hz, 0.0):
        for position, gain in wheels:
            start = round((onset + position / rate_hz) * ctx.sample_rate)
            mix_into(clacks, clack, start, gain * ctx.triangular(0.9, 1))
    dark_noise = colored_noise(noise, ctx.duration, 1.6)
    rumble = normalize_peak(butterworth(dark_noise, ctx.sample_rate, 40, 700))
    rumble *= 1 + 0.2 * random_curve(ctx, ctx.duration, 3)
    hiss_noise = white_noise_per_hz(noise, ctx.duration)
    hiss_band = normalize_peak(butterworth(hiss_noise, ctx.sample_rate, 1200, 4200))
    rumble_gain = ctx.triangular(0.2, 0.45)
    hiss_gain = ctx.triangular(0.02, 0.08)
    mix = normalize_peak(clacks) + rumble_gain * rumble + hiss_gain * hiss_band
    manner = _speed_words(rate_hz, 0.9, 1.7)
    return Take(mix * clip_fade(ctx), Annotations(rate_hz=rate_hz, manner=manner))


def steam(ctx: RenderContext) -> Take:
    """Render a steam locomotive: chuffs at an even rate, the first of every four stronger."""
    noise = noise_context(ctx)
    rate_hz = max(ctx.log_triangular(1.3, 8.0), 2.5 / ctx.duration)
    center_hz = ctx.log_triangular(450, 1100)
    length = min(0.8 / rate_hz, 0.4)
    onsets = periodic_onsets(ctx, rate_hz, length)
    white = white_noise_per_hz(noise, ctx.duration)
    band = butterworth(white, ctx.sample_rate, 0.4 * center_hz, 4 * center_hz, 1)
    cloud = band + resonator(white, ctx.sample_rate, center_hz, 0.5 * center_hz)
    n = ctx.to_samples(length)
    puff = breakpoint_curve(n, (0, 0), (0.12, 1), (0.45, 0.5), (1, 0))
    valve = ctx.silence()
    for k, onset in enumerate(onsets):
        mix_into(valve, puff, round(onset * ctx.sample_rate), 1.0 if k % 4 == 0 else 0.85)
    chuffs = cloud * valve
    leak_noise = white_noise_per_hz(noise, ctx.duration)
    leak = butterworth(leak_noise, ctx.sample_rate, 1800, 6500)
    mix = normalize_peak(chuffs) + ctx.triangular(0.005, 0.03) * leak * clip_fade(ctx)
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
    """Render a propeller plane: a deep drone of blades and exhaust at a steady pitch."""
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(58, 230)
    frequency = np.full(ctx.num_samples, pitch)
    tilt = ctx.triangular(0.6, 1.0)
    drone = wavetable_tone(frequency, ctx.sample_rate, tilt, top_hz=4500)
    resonances = ((2.2 * pitch, 1.5 * pitch, 1.0), (700, 300, 0.6), (1700, 600, 0.3))
    drone = 0.4 * drone + formant_filter(drone, ctx.sample_rate, resonances)
    depth = ctx.triangular(0.1, 0.35)
    tremolo_hz = ctx.triangular(0.6, 3.0)
    tremolo = 1 + depth * np.sin(2 * np.pi * tremolo_hz * ctx.time_axis(ctx.duration))
    pink = colored_noise(noise, ctx.duration, 1.0)
    wind = normalize_peak(butterworth(pink, ctx.sample_rate, 100, 2500))
    start_level = ctx.triangular(0.35, 1)
    end_level = ctx.triangular(0.35, 1)
    envelope = breakpoint_curve(ctx.num_samples, (0, start_level), (0.5, 1), (1, end_level))
    mix = (normalize_peak(drone) * tremolo + 0.12 * wind) * envelope
    smallness = np.log(pitch / 58) / np.log(4)
    qualities = descriptor(smallness, ("large",), ("small",))
    return Take(mix * clip_fade(ctx), Annotations(pitch_hz=pitch, qualities=qualities))


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
