"""Alarms and other signals.

Siren, alarm, telephone, horns, whistle, heartbeat, test tone, door chime, arcade game, camera.
"""

from __future__ import annotations

import numpy as np

from ..events import (
    breakpoint_curve,
    counted_onsets,
    descriptor,
    limit_length,
    noise_context,
    periodic_onsets,
    repeat_calls,
    white_noise_per_hz,
)
from ..sound_class import Annotations, SoundClass, Take, effect_class
from ..synth import (
    Array,
    RenderContext,
    additive_tone,
    attack_release,
    butterworth,
    damped_modes,
    decay_envelope,
    mix_into,
    normalize_peak,
    phase_from_frequency,
    resonator,
)
from .formants import formant_filter, jitter, pulse_train
from .impacts_noise import (
    countable_annotations,
    grain_cloud,
    noise_burst,
    place_strikes,
    wavetable_tone,
)
from .surroundings import add_air, add_echo


def _odd_harmonics(frequency: float, sample_rate: int, n: int, brightness: float) -> Array:
    """An electronic tone `[n]` from a sine (brightness 0) to a square wave (1)."""
    t = np.arange(n) / sample_rate
    gains = np.zeros(19)
    for k in range(1, 20, 2):
        gains[k - 1] = brightness ** (k > 1) / k
    return additive_tone(2 * np.pi * frequency * t, frequency, sample_rate, gains)


def siren(ctx: RenderContext) -> Take:
    """Render a siren: a pitch swept at an exact rate, in round sweeps or two held tones."""
    low_hz = ctx.log_triangular(380, 800)
    pitch_ratio = ctx.triangular(1.5, 2.4)
    rate_hz = max(ctx.log_triangular(0.18, 4.5), 1.2 / ctx.duration)
    steepness = ctx.log_triangular(0.3, 12.0)
    brightness = ctx.triangular(0.5, 1.0)
    sweep = -np.cos(2 * np.pi * rate_hz * ctx.time_axis(ctx.duration))
    # tanh turns the sine sweep into two held tones as its steepness grows.
    position = 0.5 + 0.5 * np.tanh(steepness * sweep) / np.tanh(steepness)
    tone = pulse_train(low_hz * pitch_ratio**position, ctx.sample_rate, 1.6 - brightness, 6500)
    horn_resonances = ((900, 600, 1.0), (2200, 900, 0.7))
    mix = formant_filter(tone, ctx.sample_rate, horn_resonances) + 0.3 * tone
    annotations = Annotations(qualities=("two-tone",) if steepness > 5 else ())
    if rate_hz * ctx.duration >= 2:
        annotations["rate_hz"] = rate_hz
        if rate_hz < 0.4:
            annotations["manner"] = ("slowly",)
        else:
            annotations["manner"] = ("rapidly",) if rate_hz > 2.5 else ()
    return Take(mix * attack_release(ctx, ctx.duration, 0.03, 0.03), annotations)


def alarm(ctx: RenderContext) -> Take:
    """Render an alarm: one electronic pitch switched on and off at an exact rate."""
    pitch = ctx.log_triangular(420, 3600)
    rate_hz = max(ctx.log_triangular(1.0, 7.0), 2.5 / ctx.duration)
    beep_s = ctx.triangular(0.35, 0.6) / rate_hz
    brightness = ctx.triangular(0.2, 1.0)
    beep = _odd_harmonics(pitch, ctx.sample_rate, ctx.to_samples(beep_s), brightness)
    beep = beep * attack_release(ctx, beep_s, 0.004, 0.006)
    onsets = periodic_onsets(ctx, rate_hz, beep_s)
    canvas = ctx.silence()
    for onset in onsets:
        mix_into(canvas, beep, round(onset * ctx.sample_rate))
    annotations = countable_annotations(onsets, rate_hz) | Annotations(pitch_hz=pitch)
    return Take(canvas, annotations)


def phone(ctx: RenderContext) -> Take:
    """Render counted rings of a telephone: two small bells, or an electronic warble."""
    noise = noise_context(ctx)
    is_old = ctx.rng.random() < 0.5
    length = limit_length(ctx, ctx.log_triangular(0.4, 1.6))
    beat_hz = ctx.triangular(17, 26)
    tuning = ctx.log_triangular(0.75, 1.35)
    if is_old:
        ring = _bell_ring(ctx, noise, length, beat_hz, tuning)
    else:
        ring = _electronic_ring(ctx, length, beat_hz, tuning)
    onsets = counted_onsets(ctx, length, (0.3, 1.8), 5)
    annotations = Annotations(
        count=len(onsets),
        onsets=tuple(onsets),
        qualities=("old", "rotary") if is_old else ("modern", "electronic"),
    )
    return place_strikes(ctx, onsets, lambda: ring, annotations)


def _bell_ring(
    ctx: RenderContext, noise: RenderContext, length: float, beat_hz: float, tuning: float
) -> Array:
    """A clapper that strikes two bells in turn, `beat_hz` times per second."""
    strikes = np.arange(0, length - 0.03, 1 / beat_hz)
    bells: list[Array] = []
    for detuning in (1.0, 1.26):
        frequencies = tuning * detuning * np.array([1000.0, 1480, 2610, 4150])
        gains = np.array([1.0, 0.6, 0.6, 0.3])
        half_lives = np.array([0.12, 0.1, 0.06, 0.04])
        bells.append(damped_modes(ctx, 0.5, frequencies, gains, half_lives))
    for bell in bells:
        mix_into(bell, noise_burst(noise, 0.02, 2000, 7500, 0.002, 0.0003), 0, 0.3)
    ring = np.zeros(ctx.to_samples(length + 0.35))
    for k, onset in enumerate(strikes):
        mix_into(ring, bells[k % 2], round(onset * ctx.sample_rate))
    fade = attack_release(ctx, len(ring) / ctx.sample_rate, 0.001, 0.15)
    ring *= fade[: len(ring)]
    return ring


def _electronic_ring(ctx: RenderContext, length: float, beat_hz: float, tuning: float) -> Array:
    """A warble between two electronic tones."""
    n = ctx.to_samples(length)
    brightness = ctx.triangular(0.15, 0.8)
    is_first = (np.arange(n) * beat_hz * 0.7 / ctx.sample_rate) % 1 < 0.5
    first = _odd_harmonics(tuning * 900.0, ctx.sample_rate, n, brightness)
    second = _odd_harmonics(tuning * 1130.0, ctx.sample_rate, n, brightness)
    # The low-pass softens the switching, which would click.
    gate = butterworth(is_first.astype(float), ctx.sample_rate, None, 300)
    return (first * gate + second * (1 - gate)) * attack_release(ctx, length, 0.005, 0.02)


def horn(ctx: RenderContext) -> Take:
    """Render counted honks of a car horn: one note, whose pitch is annotated, or two."""
    pitch = ctx.log_triangular(190, 760)
    is_double = ctx.rng.random() < 0.3
    length = limit_length(ctx, ctx.log_triangular(0.18, 0.9))
    ratios = (1.0, ctx.triangular(1.19, 1.27)) if is_double else (1.0,)
    n = ctx.to_samples(length)
    tilt = ctx.triangular(0.35, 0.7)
    notes: list[Array] = []
    for ratio in ratios:
        frequency = np.full(n, pitch * ratio)
        notes.append(wavetable_tone(frequency, ctx.sample_rate, tilt, top_hz=6000))
    tone = np.sum(notes, axis=0)
    resonances = ((700, 400, 0.8), (1700, 500, 1.0), (2900, 800, 0.8))
    honk = 0.5 * tone + formant_filter(tone, ctx.sample_rate, resonances)
    honk = honk * attack_release(ctx, length, 0.012, 0.03)
    qualities = descriptor(np.log(pitch / 190) / np.log(4), ("deep",), ())
    take = repeat_calls(ctx, length, (0.08, 0.9), 6, lambda _: honk, qualities)
    if not is_double:
        take.annotations["pitch_hz"] = pitch
    _name_length(take.annotations, length, (0.28, 0.6))
    return take


def _name_length(annotations: Annotations, seconds: float, limits: tuple[float, float]) -> None:
    """Add a phrase for blasts below the first limit or above the second."""
    words: tuple[str, ...] = ()
    if seconds < limits[0]:
        words = ("in short blasts",) if annotations.get("count", 1) > 1 else ("in a short blast",)
    elif seconds > limits[1]:
        words = ("in long blasts",) if annotations.get("count", 1) > 1 else ("in a long blast",)
    annotations["manner"] = annotations.get("manner", ()) + words


def foghorn(ctx: RenderContext) -> Take:
    """Render a ship's horn: a very low dull tone with a slow attack, and its echo over water."""
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(60, 250)
    length = limit_length(ctx, ctx.log_triangular(0.9, 3.0))
    n = ctx.to_samples(length)
    tilt = ctx.triangular(1.05, 1.35)
    contour = breakpoint_curve(n, (0, 0.94), (0.1, 1), (0.9, 1), (1, 0.95))
    frequency = jitter(ctx, pitch * contour, 0.004, 12)
    # Two diaphragms, a few cents apart, beat.
    tone = wavetable_tone(frequency, ctx.sample_rate, tilt, top_hz=1200)
    tone = tone + wavetable_tone(1.003 * frequency, ctx.sample_rate, tilt, top_hz=1200)
    resonances = ((250, 150, 1.0), (550, 250, 0.7), (1100, 400, 0.4))
    body = formant_filter(tone, ctx.sample_rate, resonances)
    air = butterworth(white_noise_per_hz(noise, length), ctx.sample_rate, 150, 2500)[:n]
    attack = min(0.15, 0.2 * length)
    envelope = attack_release(ctx, length, attack, 2 * attack)
    blast = (0.4 * tone + body + 0.05 * air) * envelope
    smallness = np.log(pitch / 60) / np.log(250 / 60)
    qualities = descriptor(smallness, ("large", "deep"), ("small",))
    take = repeat_calls(ctx, length, (0.5, 1.6), 3, lambda _: blast, qualities)
    take.annotations["pitch_hz"] = pitch
    _name_length(take.annotations, length, (1.2, 2.2))
    harbor = add_echo(noise, take.samples, 1.8, ctx.triangular(1.2, 2.5))
    return Take(add_air(noise, harbor, ctx.triangular(-48, -40)), take.annotations)


def whistle(ctx: RenderContext) -> Take:
    """Render counted blasts of a whistle: a steady pitch, or a pea that modulates the tone."""
    noise = noise_context(ctx)
    pitch = ctx.log_triangular(1100, 4400)
    pea = ctx.triangular(-1.0, 1.0)
    length = limit_length(ctx, ctx.log_triangular(0.25, 1.1))
    n = ctx.to_samples(length)
    roll_phase = 2 * np.pi * ctx.triangular(28, 55) * np.arange(n) / ctx.sample_rate
    roll = max(pea, 0.0) * np.sin(roll_phase)
    scoop = breakpoint_curve(n, (0, 0.93), (min(0.3, 0.04 / length), 1), (1, 1))
    frequency = pitch * scoop * (1 + 0.04 * roll)
    tone = np.sin(phase_from_frequency(frequency, ctx.sample_rate)) * (1 + 0.6 * roll)
    air = white_noise_per_hz(noise, length)[:n]
    breath = resonator(air, ctx.sample_rate, pitch, 0.25 * pitch)
    breath_gain = ctx.triangular(0.15, 0.5)
    blast = (tone + breath_gain * breath) * attack_release(ctx, length, 0.015, 0.03)
    qualities = ("referee",) if pea > 0.3 else ()
    take = repeat_calls(ctx, length, (0.1, 1.0), 5, lambda _: blast, qualities)
    if pea <= 0:
        take.annotations["pitch_hz"] = pitch
    _name_length(take.annotations, length, (0.4, 0.75))
    return take


def heartbeat(ctx: RenderContext) -> Take:
    """Render two muffled thuds per beat, the second higher and shorter, at an exact tempo."""
    noise = noise_context(ctx)
    bpm = max(ctx.log_triangular(44, 165), 60 * 2.2 / ctx.duration)
    tuning = ctx.log_triangular(0.8, 1.3)
    period = 60 / bpm
    gap = 0.3 * period**0.5 * ctx.triangular(0.9, 1.1)

    def thud(frequency: float, half_life: float) -> Array:
        modes = damped_modes(
            ctx,
            0.3,
            tuning * frequency * np.array([1.0, 1.6, 2.4]),
            np.array([1.0, 0.6, 0.3]),
            half_life * np.array([1, 0.8, 0.6]),
        )
        blood_flow = noise_burst(noise, 0.3, 40, 250, half_life, 0.01)
        muffled = butterworth(modes + 0.3 * blood_flow, ctx.sample_rate, None, 380)
        return normalize_peak(muffled)

    thuds = [(0.0, thud(52, 0.035), 1.0), (gap, thud(70, 0.025), 0.75)]
    onsets = periodic_onsets(ctx, bpm / 60, gap + 0.08)
    canvas = ctx.silence()
    for onset in onsets:
        for delay, sound, gain in thuds:
            mix_into(canvas, sound, round((onset + delay) * ctx.sample_rate), gain)
    if len(onsets) <= 2:
        return Take(canvas, Annotations())
    manner: tuple[str, ...] = ()
    if bpm < 58:
        manner = ("slowly",)
    elif bpm > 120:
        manner = ("fast", "racing")
    return Take(canvas, Annotations(bpm=bpm, manner=manner))


def steady_tone(ctx: RenderContext) -> Take:
    """Render one electronic pitch for the whole clip, from a pure sine to a bright tone."""
    pitch = ctx.log_triangular(110, 3520)
    brightness = max(0.0, ctx.triangular(-0.7, 1.0))
    overtones = [brightness * k**-1.2 for k in range(2, 16)]
    gains = np.array([1.0, *overtones])
    phase = 2 * np.pi * pitch * ctx.time_axis(ctx.duration)
    tone = additive_tone(phase, pitch, ctx.sample_rate, gains)
    fade = min(0.05, 0.05 * ctx.duration)
    qualities = ("pure",) if brightness == 0 else ()
    envelope = attack_release(ctx, ctx.duration, fade, fade)
    return Take(tone * envelope, Annotations(pitch_hz=pitch, qualities=qualities))


def doorbell(ctx: RenderContext) -> Take:
    """Render a door chime: two struck bars, or a single one whose pitch is annotated."""
    pitch = ctx.log_triangular(320, 1350)
    half_life = ctx.log_triangular(0.15, 0.45)
    is_single = ctx.rng.random() < 0.35
    second_ratio = ctx.triangular(0.74, 0.86)
    delay = min(ctx.triangular(0.35, 0.65), 0.3 * ctx.duration)
    ratios = np.array([1.0, 2.0, 2.76, 5.4])
    gains = np.array([1.0, 0.25, 0.3, 0.12])
    length = min(ctx.duration, 0.1 + 6 * half_life)

    def bar(frequency: float) -> Array:
        half_lives = half_life * ratios**-0.8
        return damped_modes(ctx, length, frequency * ratios, gains, half_lives)

    chime = np.zeros(ctx.to_samples(length + delay))
    mix_into(chime, bar(pitch), 0)
    if not is_single:
        mix_into(chime, bar(pitch * second_ratio), ctx.to_samples(delay), 1.0)
    chime_length = min(0.45 * ctx.duration, 0.35 if is_single else delay + 0.35)
    max_count = 5 if is_single else 3
    take = repeat_calls(ctx, chime_length, (0.3, 1.5), max_count, lambda _: chime)
    if is_single:
        take.annotations["pitch_hz"] = pitch
    return take


def arcade(ctx: RenderContext) -> Take:
    """Render a coin sound of a video game: two square-wave notes, the second higher."""
    first_hz = ctx.log_triangular(600, 1500)
    ratio = ctx.triangular(1.26, 1.5)
    brightness = ctx.triangular(0.5, 1.0)
    first_s = ctx.triangular(0.05, 0.09)
    length = limit_length(ctx, ctx.log_triangular(0.3, 0.8))
    jingle = np.zeros(ctx.to_samples(length))
    num_first = ctx.to_samples(first_s)
    mix_into(jingle, _odd_harmonics(first_hz, ctx.sample_rate, num_first, brightness), 0)
    second_s = length - first_s
    num_second = ctx.to_samples(second_s)
    second = _odd_harmonics(first_hz * ratio, ctx.sample_rate, num_second, brightness)
    second = second * decay_envelope(ctx, second_s, 0.3 * second_s)
    second = second * attack_release(ctx, second_s, 0.001, 0.03)
    mix_into(jingle, second, num_first)
    return repeat_calls(ctx, length, (0.1, 0.9), 5, lambda _: jingle)


def camera(ctx: RenderContext) -> Take:
    """Render a camera: two slaps of the mirror, and the rattle of the shutter between them."""
    noise = noise_context(ctx)
    size = ctx.triangular(0, 1)
    gap = ctx.triangular(0.11, 0.24)
    edge_hz = 1500 - 600 * size

    def click() -> Array:
        low_hz = edge_hz * ctx.log_triangular(0.7, 1.4)
        half_life = ctx.triangular(0.002, 0.0042)
        return normalize_peak(noise_burst(noise, 0.04, low_hz, 7000, half_life, 0.0003))

    shutter = np.zeros(ctx.to_samples(gap + 0.1))
    for position, gain in ((0.0, 1.0), (0.012, 0.5), (gap, 0.8), (gap + 0.015, 0.4)):
        mix_into(shutter, click(), round(position * ctx.sample_rate), gain)
    clicks = [click() for _ in range(12)]
    onsets = np.sort(noise.rng.uniform(0, gap, 60))
    gains = 0.6 * noise.rng.lognormal(-1, 0.6, 60)
    shutter += grain_cloud(noise, clicks, onsets, gains, len(shutter))
    take = repeat_calls(ctx, gap + 0.05, (0.08, 1.2), 6, lambda _: shutter)
    return Take(add_echo(noise, take.samples, 0.25, 0.3), take.annotations)


CLASSES: tuple[SoundClass, ...] = (
    effect_class(
        "siren",
        siren,
        ("siren", "police siren", "ambulance siren", "emergency siren"),
        ("wailing", "sounding", "blaring", "howling"),
        is_sustained=True,
        can_be_indoors=False,
    ),
    effect_class(
        "alarm",
        alarm,
        ("alarm", "alarm clock", "electronic alarm", "warning alarm"),
        ("beeping", "going off", "sounding"),
        is_sustained=True,
    ),
    effect_class(
        "phone",
        phone,
        ("telephone", "phone", "desk phone"),
        ("ringing", "going off", "ringing out"),
    ),
    effect_class(
        "horn",
        horn,
        ("car horn", "automobile horn", "horn of a car"),
        ("honking", "beeping", "tooting", "sounding"),
        can_be_indoors=False,
    ),
    effect_class(
        "foghorn",
        foghorn,
        ("foghorn", "ship horn", "ship's horn", "ferry horn"),
        ("sounding", "blaring", "blowing", "booming"),
        can_be_indoors=False,
    ),
    effect_class(
        "whistle",
        whistle,
        ("whistle", "sports whistle", "tin whistle"),
        ("blowing", "being blown", "shrilling"),
    ),
    effect_class(
        "heartbeat",
        heartbeat,
        ("heart", "human heart", "heartbeat"),
        ("beating", "pounding", "thumping", "pulsing"),
        is_sustained=True,
    ),
    effect_class(
        "tone",
        steady_tone,
        ("tone", "electronic tone", "test tone", "synthetic tone"),
        ("sounding", "playing", "humming", "being held"),
        is_sustained=True,
    ),
    effect_class(
        "doorbell",
        doorbell,
        ("doorbell", "door chime", "house doorbell"),
        ("ringing", "chiming", "being pressed", "sounding"),
    ),
    effect_class(
        "arcade",
        arcade,
        ("video game", "arcade game", "retro video game"),
        ("playing a coin sound", "blipping", "giving a coin jingle"),
    ),
    effect_class(
        "camera",
        camera,
        ("camera", "camera shutter", "photo camera"),
        ("clicking", "taking a picture", "snapping", "shooting a photo"),
    ),
)
