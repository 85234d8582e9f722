"""Things that go off: ray guns, explosions, gun shots.

Knows how each discharge sounds and what a listener can check of it. Refuses to know sentences, rooms, distances or loudness.
"""

from __future__ import annotations

import numpy as np

from ..events import aside, chorus, contour, first_onset, fitting, worded
from ..sound_class import Facts, Kind, Take
from ..synth import Array, Stage, add, coloured, decay, filtered, modes, normalised, swell, wander
from .formants import buzz
from .impacts_noise import burst, effect, scattered, shower


def laser(stage: Stage) -> Take:
    """Ray-gun zaps: a bright tone that plunges several octaves in a moment."""
    high, drop = stage.log_draw(2200, 6500), stage.log_draw(8, 30)
    length, bend, bright = (
        fitting(stage, stage.log_draw(0.12, 0.5)),
        stage.draw(1.0, 3.0),
        stage.draw(0.9, 2.0),
    )
    n = stage.samples(length)
    fall = (1 - (1 - np.linspace(0, 1, n)) ** bend) if bend > 1 else np.linspace(0, 1, n)
    zap = buzz(np.maximum(high * drop**-fall, 60.0), stage.rate, bright) * contour(
        n, (0, 1), (0.5, 0.8), (1, 0)
    )
    return chorus(
        stage,
        length,
        (0.06, 0.8),
        8,
        lambda _: zap,
        worded(np.log(high / 2200) / 1.08, ("deep",), ()),
    )


def _blast(stage: Stage, dice: Stage, size: float, seconds: float) -> Array:
    """A pressure front and the turbulence behind it: the larger, the darker and the longer."""
    rumble = filtered(
        coloured(dice, stage.seconds, 1.3)[: stage.samples(seconds)],
        stage.rate,
        25,
        900 - 500 * size,
        1,
    ) * decay(dice, seconds, 0.1 + 0.35 * size, 0.01)
    return normalised(rumble) + (1.8 - 0.8 * size) * normalised(
        burst(dice, seconds, 150, 6500, 0.03 + 0.05 * size)
    )


def explosion(stage: Stage) -> Take:
    """An explosion: a crack, a long dark rumble that rolls, and debris pattering down."""
    dice, size = aside(stage), stage.draw(0, 1)
    start = first_onset(stage)
    span = stage.seconds - start
    boom = _blast(stage, dice, 0.35 + 0.65 * size, span)
    boom *= 1 + 0.35 * np.clip(wander(stage, span, 6)[: len(boom)], -1.5, 1.5)
    thump = modes(
        stage,
        span,
        np.array([38.0, 57, 81]) * (1.6 - 0.7 * size),
        np.ones(3),
        np.array([0.25, 0.2, 0.12]),
    )
    bits = [burst(dice, 0.05, 700, 5000, stage.draw(0.003, 0.01)) for _ in range(6)]
    falls = scattered(dice, 18 + 20 * size, start + 0.25, stage.seconds)
    sizes = dice.rng.lognormal(0, 0.7, len(falls)) * 0.5 ** ((falls - start) / (0.2 + 0.5 * size))
    canvas = 0.1 * shower(dice, bits, falls, sizes, stage.size)
    add(canvas, boom, round(start * stage.rate))
    add(canvas, normalised(thump), round(start * stage.rate), 0.45)
    return Take(canvas, Facts(qualities=worded(size, ("small",), ("huge", "massive"))))


def gunshot(stage: Stage) -> Take:
    """Gun shots, counted: a crack of a few milliseconds and a short slap of air behind it."""
    dice, size = aside(stage), stage.draw(0, 1)
    length = 0.25 + 0.25 * size

    def shot(_: float) -> Array:
        crack = normalised(burst(dice, length, 250, 7800, 0.006 + 0.006 * size, 0.0002))
        slap = normalised(
            filtered(coloured(dice, length, 0.8), stage.rate, 70, 2500 - 1500 * size)
            * decay(dice, length, 0.04 + 0.05 * size)
        )
        return (crack + (0.5 + 0.5 * size) * slap) * swell(stage, length, 0.0, 0.4 * length)

    return chorus(
        stage,
        min(length, 0.4 * stage.seconds),
        (0.05, 1.2),
        6,
        shot,
        worded(size, ("small",), ("heavy",)),
    )


KINDS: tuple[Kind, ...] = (
    effect(
        laser,
        ("laser gun", "ray gun", "laser", "science fiction blaster"),
        ("zapping", "firing", "shooting", "being fired"),
    ),
    effect(
        explosion,
        ("explosion", "bomb", "blast"),
        ("going off", "booming", "rumbling", "thundering"),
        indoors=False,
    ),
    effect(
        gunshot,
        ("gun", "pistol", "rifle"),
        ("shooting", "firing", "being fired", "going off"),
        indoors=False,
    ),
)
