"""Sounds made to be noticed: siren, alarm, telephone, horns, whistle, tone, chime, arcade, heartbeat, camera; and the `blasts`.

Knows how each signal sounds and what a listener can check of it. Refuses to know sentences, rooms, distances or loudness.
"""

from __future__ import annotations

import numpy as np

from ..events import air, aside, chorus, contour, fitting, spread, steady, worded
from ..sound_class import Facts, Kind, Take
from ..synth import (
    Array,
    Stage,
    add,
    decay,
    filtered,
    glide,
    harmonics,
    modes,
    normalised,
    resonate,
    swell,
)
from . import explosions
from .formants import buzz, mouth
from .impacts_noise import burst, effect, placed, reed, rhythm


def _squarish(hertz: float, rate: int, n: int, bright: float) -> Array:
    """An electronic tone: from a sine (`bright` 0) to a square wave (1), odd harmonics only, none near half the rate."""
    t = np.arange(n) / rate
    gains = np.array([bright ** (k > 1) / k if k % 2 else 0.0 for k in range(1, 20)])
    return harmonics(2 * np.pi * hertz * t, hertz, rate, gains)


def siren(stage: Stage) -> Take:
    """A siren's pitch swept up and down at an exact rate from below, wailing or yelping, in round sweeps or two held tones."""
    low, span = stage.log_draw(380, 800), stage.draw(1.5, 2.4)
    rate_hz = max(stage.log_draw(0.18, 4.5), 1.2 / stage.seconds)
    steep, bright = stage.log_draw(0.3, 12.0), stage.draw(0.5, 1.0)
    swing = -np.cos(2 * np.pi * rate_hz * stage.clock(stage.seconds))
    hertz = low * span ** (0.5 + 0.5 * np.tanh(steep * swing) / np.tanh(steep))
    tone = buzz(hertz, stage.rate, 1.6 - bright, top=6500)
    sound = mouth(tone, stage.rate, ((900, 600, 1.0), (2200, 900, 0.7))) + 0.3 * tone
    facts = Facts(qualities=("two-tone",) if steep > 5 else ())
    if rate_hz * stage.seconds >= 2:
        facts["rate_hz"] = rate_hz
        facts["manner"] = ("slowly",) if rate_hz < 0.4 else (("rapidly",) if rate_hz > 2.5 else ())
    return Take(sound * swell(stage, stage.seconds, 0.03, 0.03), facts)


def alarm(stage: Stage) -> Take:
    """Beep, beep, beep: one electronic pitch switched on and off at an exact rate."""
    pitch, rate_hz = stage.log_draw(420, 3600), max(stage.log_draw(1.0, 7.0), 2.5 / stage.seconds)
    on, bright = stage.draw(0.35, 0.6) / rate_hz, stage.draw(0.2, 1.0)
    beep = _squarish(pitch, stage.rate, stage.samples(on), bright) * swell(stage, on, 0.004, 0.006)
    times = steady(stage, rate_hz, on)
    canvas = stage.silence()
    for start in times:
        add(canvas, beep, round(start * stage.rate))
    return Take(canvas, rhythm(times, rate_hz) | Facts(pitch_hz=pitch))


def phone(stage: Stage) -> Take:
    """A telephone: counted rings of a clapper between two small bells, or of an electronic warble between two pitches."""
    dice, old = aside(stage), stage.rng.random() < 0.5
    length = fitting(stage, stage.log_draw(0.4, 1.6))
    beats, tune = stage.draw(17, 26), stage.log_draw(0.75, 1.35)
    if old:
        hits = np.arange(0, length - 0.03, 1 / beats)
        bells = [
            modes(
                stage,
                0.5,
                tune * bend * np.array([1000.0, 1480, 2610, 4150]),
                np.array([1.0, 0.6, 0.6, 0.3]),
                np.array([0.12, 0.1, 0.06, 0.04]),
            )
            for bend in (1.0, 1.26)
        ]
        for metal in bells:
            add(metal, burst(dice, 0.02, 2000, 7500, 0.002, 0.0003), 0, 0.3)
        ring = np.zeros(stage.samples(length + 0.35))
        for k, hit in enumerate(hits):
            add(ring, bells[k % 2], round(hit * stage.rate))
        ring *= swell(stage, len(ring) / stage.rate, 0.001, 0.15)[: len(ring)]
    else:
        n, bright = stage.samples(length), stage.draw(0.15, 0.8)
        first = (np.arange(n) * beats * 0.7 / stage.rate) % 1 < 0.5
        tones = [_squarish(tune * hertz, stage.rate, n, bright) for hertz in (900.0, 1130.0)]
        gate = filtered(first.astype(float), stage.rate, None, 300)
        ring = (tones[0] * gate + tones[1] * (1 - gate)) * swell(stage, length, 0.005, 0.02)
    times = spread(stage, length, (0.3, 1.8), 5)
    facts = Facts(
        count=len(times),
        onsets=tuple(times),
        qualities=("old", "rotary") if old else ("modern", "electronic"),
    )
    return placed(stage, times, lambda: ring, facts)


def horn(stage: Stage) -> Take:
    """A car horn: a hard steel buzz, one note (then the pitch is a fact) or two together, in counted honks."""
    pitch, double = stage.log_draw(190, 760), stage.rng.random() < 0.3
    length = fitting(stage, stage.log_draw(0.18, 0.9))
    steps = (1.0, stage.draw(1.19, 1.27)) if double else (1.0,)
    n, tilt = stage.samples(length), stage.draw(0.35, 0.7)
    raw = np.sum(
        [reed(np.full(n, pitch * step), stage.rate, tilt, top=6000) for step in steps], axis=0
    )
    honk = (
        0.5 * raw + mouth(raw, stage.rate, ((700, 400, 0.8), (1700, 500, 1.0), (2900, 800, 0.8)))
    ) * swell(stage, length, 0.012, 0.03)
    size = worded(np.log(pitch / 190) / np.log(4), ("deep",), ())
    take = chorus(stage, length, (0.08, 0.9), 6, lambda _: honk, size)
    if not double:
        take.facts["pitch_hz"] = pitch
    return take


def foghorn(stage: Stage) -> Take:
    """A ship's horn: a very low brassy blast that speaks slowly and stops with a breath."""
    dice, pitch = aside(stage), stage.log_draw(60, 250)
    length = fitting(stage, stage.log_draw(0.9, 3.0))
    n = stage.samples(length)
    raw = reed(np.full(n, pitch), stage.rate, stage.draw(0.7, 1.1), top=2500)
    blast = (
        raw
        + mouth(raw, stage.rate, ((2.5 * pitch, 1.5 * pitch, 1.0), (600, 250, 0.5)))
        + 0.03 * filtered(air(dice, length), stage.rate, 200, 2000)[:n]
    )
    attack = min(0.15, 0.2 * length)
    take = chorus(
        stage,
        length,
        (0.5, 1.6),
        3,
        lambda _: blast * swell(stage, length, attack, 2 * attack),
        worded(np.log(pitch / 60) / np.log(250 / 60), ("large", "deep"), ("small",)),
    )
    take.facts["pitch_hz"] = pitch
    return take


def whistle(stage: Stage) -> Take:
    """A whistle blown in counted blasts: plain with a clear steady pitch, or with a pea that shakes the tone."""
    dice, pitch, pea = aside(stage), stage.log_draw(1100, 4400), stage.draw(-1.0, 1.0)
    length = fitting(stage, stage.log_draw(0.25, 1.1))
    n = stage.samples(length)
    roll = max(pea, 0.0) * np.sin(2 * np.pi * stage.draw(28, 55) * np.arange(n) / stage.rate)
    attack = contour(n, (0, 0.93), (min(0.3, 0.04 / length), 1), (1, 1))
    tone = np.sin(glide(pitch * attack * (1 + 0.04 * roll), stage.rate)) * (1 + 0.6 * roll)
    breath = resonate(air(dice, length)[:n], stage.rate, pitch, 0.25 * pitch)
    blast = (tone + stage.draw(0.15, 0.5) * breath) * swell(stage, length, 0.015, 0.03)
    take = chorus(stage, length, (0.1, 1.0), 5, lambda _: blast, ("referee",) if pea > 0.3 else ())
    if pea <= 0:
        take.facts["pitch_hz"] = pitch
    return take


def heartbeat(stage: Stage) -> Take:
    """Lub-dub: two muffled thuds a beat, the second higher and shorter, at an exact tempo."""
    dice, bpm = aside(stage), max(stage.log_draw(44, 165), 60 * 2.2 / stage.seconds)
    tune, period = stage.log_draw(0.8, 1.3), 60 / bpm
    gap = 0.3 * period**0.5 * stage.draw(0.9, 1.1)

    def thud(hertz: float, half_life: float) -> Array:
        tone = modes(
            stage,
            0.3,
            tune * hertz * np.array([1.0, 1.6, 2.4]),
            np.array([1.0, 0.6, 0.3]),
            half_life * np.array([1, 0.8, 0.6]),
        )
        return normalised(
            filtered(tone + 0.3 * burst(dice, 0.3, 40, 250, half_life, 0.01), stage.rate, None, 380)
        )

    beats = [(0.0, thud(52, 0.035), 1.0), (gap, thud(70, 0.025), 0.75)]
    times, canvas = steady(stage, bpm / 60, gap + 0.08), stage.silence()
    for start in times:
        for late, sound, gain in beats:
            add(canvas, sound, round((start + late) * stage.rate), gain)
    manner = ("slowly",) if bpm < 58 else (("fast", "racing") if bpm > 120 else ())
    return Take(canvas, Facts(bpm=bpm, manner=manner) if len(times) > 2 else Facts())


def tone(stage: Stage) -> Take:
    """One electronic pitch held for the whole clip, from a pure sine to a bright reed, over five octaves."""
    pitch, bright = stage.log_draw(110, 3520), max(0.0, stage.draw(-0.7, 1.0))
    gains = np.array([1.0, *(bright * k**-1.2 for k in range(2, 16))])
    sound = harmonics(2 * np.pi * pitch * stage.clock(stage.seconds), pitch, stage.rate, gains)
    start = min(0.05, 0.05 * stage.seconds)
    return Take(
        sound * swell(stage, stage.seconds, start, start),
        Facts(pitch_hz=pitch, qualities=("pure",) if bright == 0 else ()),
    )


def doorbell(stage: Stage) -> Take:
    """A door chime: ding-dong on two struck bars, or a single ding whose pitch is a fact; counted pushes of the button."""
    pitch, ring, single = (
        stage.log_draw(320, 1350),
        stage.log_draw(0.15, 0.45),
        stage.rng.random() < 0.35,
    )
    drop, lag = stage.draw(0.74, 0.86), min(stage.draw(0.35, 0.65), 0.3 * stage.seconds)
    ratios = np.array([1.0, 2.0, 2.76, 5.4])
    length = min(stage.seconds, 0.1 + 6 * ring)

    def bar(hertz: float) -> Array:
        return modes(
            stage, length, hertz * ratios, np.array([1.0, 0.25, 0.3, 0.12]), ring * ratios**-0.8
        )

    chime = np.zeros(stage.samples(length + lag))
    add(chime, bar(pitch), 0)
    if not single:
        add(chime, bar(pitch * drop), stage.samples(lag), 1.0)
    span = min(0.45 * stage.seconds, 0.35 if single else lag + 0.35)
    take = chorus(stage, span, (0.3, 1.5), 3 if not single else 5, lambda _: chime)
    if single:
        take.facts["pitch_hz"] = pitch
    return take


def arcade(stage: Stage) -> Take:
    """The jingle of a coin in a video game: two square notes, the second higher and ringing on."""
    base, leap, duty = stage.log_draw(600, 1500), stage.draw(1.26, 1.5), stage.draw(0.5, 1.0)
    quick, length = stage.draw(0.05, 0.09), fitting(stage, stage.log_draw(0.3, 0.8))
    blip = np.zeros(stage.samples(length))
    add(blip, _squarish(base, stage.rate, stage.samples(quick), duty), 0)
    rest = length - quick
    add(
        blip,
        _squarish(base * leap, stage.rate, stage.samples(rest), duty)
        * decay(stage, rest, 0.3 * rest)
        * swell(stage, rest, 0.001, 0.03),
        stage.samples(quick),
    )
    return chorus(stage, length, (0.1, 0.9), 5, lambda _: blip)


def camera(stage: Stage) -> Take:
    """A camera's shutter: mirror up, curtain, mirror down; two clicks and a whirr so short that they are one."""
    dice, size = aside(stage), stage.draw(0, 1)
    apart, tune = stage.draw(0.06, 0.14), 1.3 - 0.5 * size

    def clack(bright: float) -> Array:
        click = burst(dice, 0.05, 1200 * tune, 7000, 0.004, 0.0003) * bright
        add(
            click,
            modes(
                stage,
                0.05,
                tune * np.array([420.0, 1050, 2400]),
                np.array([0.6, 0.5, 0.3]),
                np.array([0.008, 0.006, 0.004]),
            ),
            0,
        )
        return click

    whirr = filtered(air(dice, apart), stage.rate, 1500, 5000) * swell(stage, apart, 0.02, 0.02)
    shutter = np.zeros(stage.samples(apart + 0.06))
    add(shutter, clack(1.0), 0)
    add(shutter, whirr, 0, 0.12)
    add(shutter, clack(0.7), stage.samples(apart), 0.8)
    return chorus(stage, apart + 0.05, (0.08, 1.2), 6, lambda _: shutter)


KINDS: tuple[Kind, ...] = (
    effect(
        siren,
        ("siren", "police siren", "ambulance siren", "emergency siren"),
        ("wailing", "sounding", "blaring", "howling"),
        sustained=True,
        indoors=False,
    ),
    effect(
        alarm,
        ("alarm", "alarm clock", "electronic alarm", "warning alarm"),
        ("beeping", "going off", "sounding"),
        sustained=True,
    ),
    effect(phone, ("telephone", "phone", "desk phone"), ("ringing", "going off", "ringing out")),
    effect(
        horn,
        ("car horn", "automobile horn", "horn of a car"),
        ("honking", "beeping", "tooting", "sounding"),
        indoors=False,
    ),
    effect(
        foghorn,
        ("foghorn", "ship horn", "ship's horn", "ferry horn"),
        ("sounding", "blaring", "blowing", "booming"),
        indoors=False,
    ),
    effect(
        whistle,
        ("whistle", "sports whistle", "tin whistle"),
        ("blowing", "being blown", "shrilling"),
    ),
    effect(
        heartbeat,
        ("heart", "human heart", "heartbeat"),
        ("beating", "pounding", "thumping", "pulsing"),
        sustained=True,
    ),
    effect(
        tone,
        ("tone", "electronic tone", "test tone", "synthetic tone"),
        ("sounding", "playing", "humming", "being held"),
        sustained=True,
    ),
    effect(
        doorbell,
        ("doorbell", "door chime", "house doorbell"),
        ("ringing", "chiming", "being pressed", "sounding"),
    ),
    effect(
        arcade,
        ("video game", "arcade game", "retro video game"),
        ("playing a coin sound", "blipping", "giving a coin jingle"),
    ),
    effect(
        camera,
        ("camera", "camera shutter", "photo camera"),
        ("clicking", "taking a picture", "snapping", "shooting a photo"),
    ),
    *explosions.KINDS,
)
