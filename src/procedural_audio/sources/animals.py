"""Mammals of house, farm and forest (dog, cat, cow, sheep, horse, wolf), and the list of all animals.

Knows how each sounds and what a listener can check of it. Refuses to know sentences, rooms, distances or loudness.
"""

from __future__ import annotations

import numpy as np

from ..events import air, aside, between, chorus, contour, fitting, regular, steady, worded
from ..sound_class import Kind, Take
from ..synth import Array, Stage, add, decay, filtered, modes
from . import birds_insects
from .formants import buzz, mouth, opening, scaled, shaky


def dog(stage: Stage) -> Take:
    """Barks: a harsh chevron of pitch while the jaw snaps open and shut; a larger dog is lower, longer and darker."""
    hiss, size = aside(stage), stage.draw(0, 1)
    pitch = between(950, 210, size) * stage.log_draw(0.88, 1.14)
    length = fitting(stage, between(0.11, 0.26, size) * stage.log_draw(0.85, 1.2))
    rough, breath = stage.draw(0.02, 0.07), stage.draw(0.35, 0.8)
    head = between(1.5, 0.72, size)
    closed = scaled(((420, 160, 1.0), (950, 250, 0.4)), head)
    opened = scaled(((760, 220, 1.0), (1450, 320, 0.8), (2700, 600, 0.35)), head)

    def bark(vary: float) -> Array:
        n = stage.samples(length)
        hertz = pitch * vary * contour(n, (0, 0.6), (0.25, 1), (0.6, 0.86), (1, 0.5))
        source = buzz(shaky(stage, hertz, rough, 120), stage.rate, 0.7) + breath * air(hiss, length)
        share = contour(n, (0, 0), (0.25, 1), (0.6, 0.9), (1, 0))
        level = contour(n, (0, 0), (0.07, 1), (0.4, 0.75), (1, 0))
        return opening(source, stage.rate, closed, opened, share) * level

    return chorus(
        stage, length, (0.08, 0.7), 7, bark, worded(size, ("small", "yappy"), ("large", "deep"))
    )


def cat(stage: Stage) -> Take:
    """Meows: lips open from a hum through a bright vowel and close again, the pitch arching with them."""
    hiss, size = aside(stage), stage.draw(0, 1)
    pitch = between(900, 330, size) * stage.log_draw(0.92, 1.08)
    length = fitting(stage, stage.log_draw(0.45, 1.1))
    peak, head, breath = stage.draw(0.22, 0.55), between(1.25, 0.9, size), stage.draw(0.03, 0.12)
    rise, fall = stage.draw(0.68, 0.98), stage.draw(0.55, 0.95)
    closed = scaled(((450, 150, 1.0), (1100, 250, 0.15)), head)
    opened = scaled(((1000, 200, 1.0), (2200, 300, 0.9), (3500, 500, 0.5)), head)

    def meow(vary: float) -> Array:
        n = stage.samples(length)
        hertz = pitch * vary * contour(n, (0, rise), (peak, 1.12), (0.75, 1), (1, fall))
        source = buzz(shaky(stage, hertz, 0.006, 12), stage.rate, 0.6) + breath * air(hiss, length)
        share = contour(n, (0, 0), (0.12, 0.05), (peak, 1), (0.7, 0.55), (1, 0))
        level = contour(n, (0, 0), (0.1, 0.5), (peak, 1), (0.75, 0.6), (1, 0))
        return opening(source, stage.rate, closed, opened, share) * level

    return chorus(stage, length, (0.25, 1.2), 4, meow, worded(size, ("small", "young"), ("large",)))


def cow(stage: Stage) -> Take:
    """Moos: a long low buzz that starts through the nose and opens to a round vowel."""
    hiss, size = aside(stage), stage.draw(0, 1)
    pitch = between(210, 85, size) * stage.log_draw(0.93, 1.07)
    length = fitting(stage, stage.log_draw(1.0, 2.2))
    peak, breath, rough = stage.draw(0.45, 0.7), stage.draw(0.03, 0.15), stage.draw(0.004, 0.02)
    head = between(1.3, 0.85, size)
    closed = scaled(((230, 90, 1.0), (900, 300, 0.06)), head)
    opened = scaled(((430, 110, 1.0), (850, 160, 0.6), (2300, 400, 0.12)), head)

    def moo(vary: float) -> Array:
        n = stage.samples(length)
        hertz = pitch * vary * contour(n, (0, 0.8), (peak, 1.1), (0.85, 1), (1, 0.7))
        source = buzz(shaky(stage, hertz, rough, 60), stage.rate, 0.8, top=4000) + breath * air(
            hiss, length
        )
        share = contour(n, (0, 0), (0.2, 0.05), (0.5, 1), (0.85, 0.8), (1, 0.2))
        level = contour(n, (0, 0), (0.12, 0.6), (peak, 1), (0.85, 0.7), (1, 0))
        return opening(source, stage.rate, closed, opened, share) * level

    return chorus(
        stage, length, (0.3, 1.2), 3, moo, worded(size, ("young", "small"), ("large", "deep"))
    )


def sheep(stage: Stage) -> Take:
    """Bleats: a flat nasal vowel shaken some ten times a second in level and pitch."""
    hiss, size = aside(stage), stage.draw(0, 1)
    pitch = between(480, 170, size) * stage.log_draw(0.93, 1.07)
    length = fitting(stage, stage.log_draw(0.55, 1.2))
    shake, depth, breath = stage.draw(7, 13), stage.draw(0.4, 0.75), stage.draw(0.05, 0.2)
    vowel = scaled(((720, 150, 1.0), (1700, 220, 0.8), (2700, 350, 0.5)), between(1.3, 0.84, size))

    def bleat(vary: float) -> Array:
        n = stage.samples(length)
        tremble = np.sin(2 * np.pi * shake * stage.clock(length)) * contour(
            n, (0, 0), (0.2, 1), (1, 1)
        )
        hertz = (
            pitch
            * vary
            * contour(n, (0, 0.85), (0.15, 1.05), (0.7, 1), (1, 0.85))
            * (1 + 0.06 * depth * tremble)
        )
        source = buzz(shaky(stage, hertz, 0.012, 90), stage.rate, 0.6) + breath * air(hiss, length)
        level = (1 - depth * (0.5 - 0.5 * tremble)) * contour(
            n, (0, 0), (0.08, 0.9), (0.3, 1), (0.8, 0.7), (1, 0)
        )
        return mouth(source, stage.rate, vowel) * level

    return chorus(stage, length, (0.3, 1.2), 4, bleat, worded(size, ("young", "small"), ("large",)))


def horse(stage: Stage) -> Take:
    """A gallop: three hoofbeats and a rest in every stride; hard ground clops, soft ground thuds."""
    hiss, hard = aside(stage), stage.draw(0, 1)
    stride = stage.log_draw(1.3, 2.8)
    body, lean = stage.log_draw(0.75, 1.3), stage.draw(0.17, 0.23)
    times = steady(stage, stride, 0.7 / stride)
    canvas = stage.silence()
    for start in times:
        for beat, gain in enumerate((0.7, 0.8, 1.0)):
            tune = body * stage.log_draw(0.94, 1.06)
            clop = _struck(stage, tune, (520, 900, 1450, 2300), 0.016, hard)
            thud = _struck(stage, tune, (75, 130, 210), 0.03, 1.2 - hard)
            dirt = filtered(air(hiss, 0.15), stage.rate, 200, 900 + 2500 * hard) * decay(
                stage, 0.15, 0.008, 0.001
            )
            when = start + beat * lean / stride
            add(
                canvas,
                clop + thud + 0.6 * dirt,
                round(when * stage.rate),
                gain * stage.draw(0.85, 1),
            )
    facts = regular(times, stride)
    facts.pop("count", None)  # is one a hoofbeat or a stride? too doubtful to claim
    facts["manner"] = worded(hard, ("on soft ground",), ("on hard ground",)) + (
        ("fast",) if stride > 2.3 else ()
    )
    return Take(canvas, facts)


def _struck(
    stage: Stage, tune: float, hertz: tuple[float, ...], half_life: float, gain: float
) -> Array:
    """A hoof on ground: damped modes, the higher the weaker and shorter, 0.15 s."""
    ratio = hertz[0] / np.array(hertz)
    return modes(stage, 0.15, tune * np.array(hertz), gain * ratio**0.7, half_life * ratio**0.8)


def wolf(stage: Stage) -> Take:
    """Howls: a long tone that slides up, holds and sinks, with few overtones; the held pitch is the fact."""
    hiss, pitch = aside(stage), stage.log_draw(230, 820)
    length = fitting(stage, stage.log_draw(1.4, 3.6))
    low, tilt, breath = stage.draw(0.45, 0.75), stage.draw(1.6, 2.4), stage.draw(0.01, 0.05)
    up, down = stage.draw(0.08, 0.3), stage.draw(0.7, 0.88)
    vowel = (
        (1.1 * pitch, 350.0, 1.0),
        (max(850.0, 1.6 * pitch), 300.0, 0.5),
        (2400.0, 600.0, 0.15),
    )

    def howl(vary: float) -> Array:
        n = stage.samples(length)
        # The hold is as good as flat, a few cents of drift and of change from howl to howl: its pitch is the fact.
        glided = contour(n, (0, low), (up, 1), (down, 1), (1, 0.5 + 0.5 * low)) * vary**0.1
        source = buzz(
            shaky(stage, pitch * glided, 0.002, 3), stage.rate, tilt, top=5000
        ) + breath * air(hiss, length)
        return mouth(source, stage.rate, vowel) * contour(
            n, (0, 0), (0.1, 0.6), (0.3, 1), (0.75, 0.9), (1, 0)
        )

    take = chorus(stage, length, (0.3, 1.0), 2, howl)
    take.facts["pitch_hz"] = pitch
    return take


KINDS: tuple[Kind, ...] = (
    Kind(
        "dog",
        "effects",
        ("dog", "hound", "pet dog", "yard dog"),
        ("barking", "woofing", "barking at someone"),
        dog,
    ),
    Kind("cat", "effects", ("cat", "house cat", "pet cat"), ("meowing", "mewing", "miaowing"), cat),
    Kind(
        "cow",
        "effects",
        ("cow", "dairy cow", "farm cow"),
        ("mooing", "lowing", "bellowing"),
        cow,
        indoors=False,
    ),
    Kind(
        "sheep",
        "effects",
        ("sheep", "goat", "farm sheep"),
        ("bleating", "baaing", "calling its flock"),
        sheep,
        indoors=False,
    ),
    Kind(
        "horse",
        "effects",
        ("horse", "pony", "~horse hooves", "~hooves"),
        ("galloping", "galloping by", "running", "galloping along"),
        horse,
        sustained=True,
        indoors=False,
    ),
    Kind(
        "wolf",
        "effects",
        ("wolf", "wild wolf", "grey wolf"),
        ("howling", "wailing", "howling at the moon"),
        wolf,
        indoors=False,
    ),
    *birds_insects.KINDS,
)
