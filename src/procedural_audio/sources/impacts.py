"""Things that hit things: knuckles, feet, doors, hands, keys, a beak, a ball; and, from `ringing`, what rings when it is hit.

Knows how each blow sounds and what a listener can check of it. Refuses to know sentences, rooms, distances or loudness.
"""

from __future__ import annotations

import numpy as np

from ..events import air, aside, contour, first_onset, spread, steady, worded
from ..sound_class import Facts, Kind, Take
from ..synth import Array, Stage, add, decay, filtered, modes, normalised, resonate, swell
from . import struck_metal
from .formants import mouth
from .impacts_noise import beaten, burst, effect, placed, rhythm, scattered, shower


def knock(stage: Stage) -> Take:
    """Knuckles on a door: a wooden panel thumps and dies at once, a metal one rings dully."""
    dice, metal, size = aside(stage), stage.rng.random() < 0.35, stage.draw(0, 1)
    tune, hard = (1.35 - 0.6 * size) * stage.log_draw(0.9, 1.1), stage.draw(0.3, 1.0)
    if metal:
        hertz, half = (
            np.array([118.0, 187, 291, 402, 561, 743, 1012, 1380]),
            stage.log_draw(0.05, 0.16),
        )
        gains, lives = (
            np.array([0.7, 0.9, 1, 0.9, 0.8, 0.6, 0.5, 0.4]),
            half * np.linspace(1, 0.5, 8),
        )
    else:
        hertz, half = np.array([105.0, 168, 245, 390, 610, 940]), stage.log_draw(0.012, 0.026)
        gains, lives = (
            np.array([0.8, 1.0, 0.8, 0.5, 0.4 * hard, 0.3 * hard]),
            half * np.linspace(1, 0.4, 6),
        )

    def blow() -> Array:
        tone = modes(
            stage,
            0.2 + 4 * half,
            hertz * tune * stage.log_draw(0.98, 1.02),
            gains * stage.draw(0.9, 1.1),
            lives,
        )
        add(tone, burst(dice, 0.06, 300, 1200 + 2800 * hard, 0.005), 0, 0.7)
        return tone

    qualities = ("metal",) if metal else ("wooden", *worded(size, (), ("heavy",)))
    return beaten(stage, stage.log_draw(1.8, 5.0), 8, 0.12, blow, qualities)


def footsteps(stage: Stage) -> Take:
    """Steps at an even walk, heel then toe: gravel crackles, a wooden floor thumps, snow squeaks as it packs."""
    dice, ground, weight = aside(stage), stage.integer(0, 2), stage.draw(0, 1)
    rate_hz, roll = stage.log_draw(1.1, 3.2), stage.draw(0.2, 0.3)
    length = min(0.5 / rate_hz, stage.draw(0.16, 0.28))
    tune = stage.log_draw(0.85, 1.2) * (1.25 - 0.5 * weight)

    def gravel() -> Array:
        stones = [
            burst(dice, 0.02, 900 * tune, 6500 * tune, stage.draw(0.0015, 0.004), 0.0003)
            for _ in range(4)
        ]
        times = scattered(dice, 90, 0.0, length)
        push = np.sin(np.pi * np.clip(times / length, 0, 1)) ** 0.5
        return shower(
            dice,
            stones,
            times,
            push * dice.rng.lognormal(0, 0.8, len(times)),
            stage.samples(length + 0.03),
        )

    def wood() -> Array:
        hertz, halves = (
            tune * np.array([85.0, 140, 215, 370, 640]),
            np.array([0.04, 0.03, 0.02, 0.012, 0.008]),
        )
        heel = modes(stage, length, hertz, np.array([0.8, 1, 0.7, 0.4, 0.3]), halves)
        add(heel, burst(dice, 0.03, 900, 3500, 0.004), 0, 0.35)
        add(
            heel,
            modes(stage, 0.2, 1.25 * hertz, np.array([0.3, 0.5, 0.4, 0.3, 0.2]), 0.7 * halves),
            round(roll * length * 2 * stage.rate),
            0.7,
        )
        return heel

    def snow() -> Array:
        t = stage.clock(length)
        slip = (
            0.5 + 0.5 * np.sin(2 * np.pi * stage.draw(90, 170) * tune * t * (1 - 0.3 * t / length))
        ) ** 4
        crush = filtered(air(dice, length) * (0.15 + slip), stage.rate, 350 * tune, 1300 * tune)
        return crush * swell(stage, length, 0.4 * length, 0.5 * length)

    times = steady(stage, rate_hz, length)
    facts = rhythm(times, rate_hz)
    facts["qualities"] = worded(weight, ("light",), ("heavy",))
    facts["manner"] = (
        *facts.get("manner", ()),
        ("on gravel", "on a wooden floor", "in the snow")[ground],
    )
    return placed(stage, times, (gravel, wood, snow)[ground], facts)


def door(stage: Stage) -> Take:
    """A hinge that creaks in gliding stick-slip pulses, then the slam: a thump, a crash of the frame, the latch."""
    dice, age, weight = aside(stage), stage.draw(0, 1), stage.draw(0, 1)
    start, creaks = first_onset(stage), min(stage.log_draw(0.5, 2.2), 0.5 * stage.seconds)
    n = stage.samples(creaks)
    low, high = stage.log_draw(35, 90), stage.log_draw(110, 380)
    glide = contour(
        n,
        (0, low),
        (stage.draw(0.2, 0.4), high),
        (stage.draw(0.5, 0.75), 0.6 * low + 0.4 * high),
        (1, high),
    )
    cycles = (
        np.cumsum(glide * (1 + 0.1 * age * filtered(dice.white(creaks), stage.rate, None, 30) * 8))
        / stage.rate
    )
    slips = np.diff(np.floor(cycles), prepend=0.0) * (0.4 + 0.6 * dice.rng.random(n))
    hinge = mouth(
        slips,
        stage.rate,
        tuple(
            (f * stage.log_draw(0.8, 1.25), 0.06 * f, 1.0) for f in (520.0, 1150.0, 1900.0, 2900.0)
        ),
    )
    hinge *= contour(n, (0, 0), (0.1, 1), (0.6, 0.7), (0.9, 0.8), (1, 0))
    tune = 1.5 - 0.8 * weight
    slam = modes(
        stage,
        0.6,
        tune * np.array([62.0, 98, 151, 233, 377]),
        np.array([1.0, 1, 0.8, 0.6, 0.4]),
        np.array([0.07, 0.06, 0.04, 0.03, 0.02]),
    )
    add(slam, normalised(burst(dice, 0.4, 80, 2600, 0.025)), 0, 1.6)
    add(slam, burst(dice, 0.05, 1500, 6000, 0.004), stage.samples(stage.draw(0.015, 0.05)), 0.5)
    canvas = stage.silence()
    add(canvas, normalised(hinge), round(start * stage.rate), 0.3 + 0.4 * age)
    shut = start + creaks + stage.draw(0, min(0.4, 0.1 * stage.seconds))
    add(canvas, normalised(slam), round(shut * stage.rate), 1.1)
    return Take(
        canvas,
        Facts(
            qualities=worded(weight, ("light",), ("heavy",))
            + (("old", "rusty") if age > 0.6 else ())
        ),
    )


def _palms(stage: Stage, dice: Stage) -> Array:
    """One hand clap: a slap of air between the palms, its pitch set by how they are cupped."""
    cup, width = stage.log_draw(700, 2000), stage.draw(0.5, 1.1)
    slap = burst(dice, 0.12, 500, 7000, stage.draw(0.003, 0.007), 0.0005)
    return normalised(resonate(slap, stage.rate, cup, width * cup) + 0.25 * slap)


def clap(stage: Stage) -> Take:
    """One pair of hands, clapping evenly."""
    dice = aside(stage)
    palms = _palms(stage, dice)
    return beaten(
        stage, stage.log_draw(0.9, 4.8), 10, 0.1, lambda: palms + 0.15 * _palms(stage, dice)
    )


def applause(stage: Stage) -> Take:
    """A crowd: Poisson claps of many different hands, from a dozen people to a full house."""
    dice, crowd = aside(stage), stage.draw(0, 1)
    hands = [_palms(stage, dice) for _ in range(8)]
    times = scattered(dice, 25 * 16**crowd, -0.2, stage.seconds)
    canvas = shower(dice, hands, times, dice.rng.lognormal(0, 0.5, len(times)), stage.size)
    ends = stage.draw(0.15, 1.0), stage.draw(0.15, 1.0)
    canvas *= contour(stage.size, (0, ends[0]), (0.4, 1), (0.6, 1), (1, ends[1]))
    trend = (
        ("getting louder",)
        if ends[0] < 0.3 < 0.7 < ends[1]
        else (("dying down",) if ends[1] < 0.3 < 0.7 < ends[0] else ())
    )
    return Take(canvas, Facts(qualities=worded(crowd, ("small",), ("large", "huge")), manner=trend))


def keyboard(stage: Stage) -> Take:
    """Typing: uneven runs of keys, each a click down and a lighter click up; the space bar is lower."""
    dice, clicky, per_second = aside(stage), stage.draw(0, 1), stage.log_draw(3.0, 11.0)
    gaps = np.maximum(
        dice.rng.gamma(3.0, 1 / (3 * per_second), round(3 * per_second * stage.seconds) + 4), 0.035
    )
    pauses = np.where(
        dice.rng.random(len(gaps)) < 0.06,
        dice.rng.uniform(0.2, 0.5, len(gaps)) * min(1, stage.seconds / 3),
        0,
    )
    times = first_onset(stage) + np.concatenate([[0.0], np.cumsum(gaps + pauses)])
    tune = stage.log_draw(0.8, 1.3)

    def key() -> Array:
        bend = tune * stage.log_draw(0.85, 1.15)
        click = burst(dice, 0.04, 1200 * bend, 6500, 0.0025 + 0.002 * clicky, 0.0004) * (
            0.5 + clicky
        )
        add(
            click,
            modes(
                stage,
                0.04,
                bend * np.array([310.0, 780, 1900, 3300]),
                np.array([0.5, 0.5, 0.4 * clicky, 0.4 * clicky]),
                np.array([0.008, 0.006, 0.004, 0.004]),
            ),
            0,
        )
        return click

    keys = [key() for _ in range(7)]
    hits = dice.rng.uniform(0.6, 1.0, len(times))
    canvas = shower(dice, keys, times, hits, stage.size)
    canvas += shower(
        dice, keys, times + dice.rng.uniform(0.06, 0.11, len(times)), 0.35 * hits, stage.size
    )
    manner = ("rapidly",) if per_second > 8 else (("slowly",) if per_second < 4 else ())
    return Take(
        canvas,
        Facts(
            qualities=("mechanical",) if clicky > 0.7 else (("soft",) if clicky < 0.25 else ()),
            manner=manner,
        ),
    )


def woodpecker(stage: Stage) -> Take:
    """Drum rolls on a trunk: each a dozen or more exactly even pecks, swelling and fading; the peck rate is the fact."""
    dice, rate_hz = aside(stage), stage.log_draw(10, 19.5)
    tune, hollow = stage.log_draw(450, 1500), stage.log_draw(0.006, 0.02)
    pecks = min(stage.integer(8, 22), int(0.75 * stage.seconds * rate_hz))
    roll = pecks / rate_hz
    peck = modes(
        stage,
        0.2,
        tune * np.array([1, 1.6, 2.7]),
        np.array([1.0, 0.6, 0.3]),
        hollow * np.array([1, 0.7, 0.5]),
    )
    add(peck, burst(dice, 0.02, 1500, 6000, 0.002, 0.0003), 0, 0.4)
    times = spread(stage, roll, (0.35, 1.5), 5)
    canvas = stage.silence()
    for start in times:
        for k in range(pecks):
            add(
                canvas,
                peck,
                round((start + k / rate_hz) * stage.rate),
                0.55 + 0.45 * np.sin(np.pi * (k + 0.5) / pecks),
            )
    return Take(canvas, Facts(rate_hz=rate_hz))


def ball(stage: Stage) -> Take:
    """A dribbled ball: a rubbery thump with the short ping of the air inside, at an even rate."""
    dice, size, rate_hz = aside(stage), stage.draw(0, 1), stage.log_draw(0.9, 4.0)
    low, ping = 150 * 0.6**size, stage.log_draw(0.025, 0.07)
    t = stage.clock(0.3)
    drop = np.sin(2 * np.pi * (low * t + 0.6 * low * 0.012 * (1 - np.exp(-t / 0.012)))) * decay(
        stage, 0.3, 0.03, 0.001
    )
    hollow = modes(
        stage,
        0.3,
        low * np.array([5.1, 7.7, 9.4]),
        np.array([0.35, 0.2, 0.1]),
        ping * np.array([1, 0.7, 0.6]),
    )
    bounce = drop + hollow
    add(bounce, burst(dice, 0.05, 400, 3000, 0.006), 0, 0.5)
    times = steady(stage, rate_hz, 0.2)
    facts = rhythm(times, rate_hz)
    facts["qualities"] = worded(size, ("small",), ("large", "heavy"))
    return placed(stage, times, lambda: bounce, facts)


KINDS: tuple[Kind, ...] = (
    effect(
        knock,
        ("door", "house door", "front door"),
        ("being knocked on", "being rapped on", "being knocked at with the knuckles"),
    ),
    effect(
        footsteps,
        ("~footsteps", "~steps", "person", "walker"),
        ("walking", "passing by", "walking along", "striding along"),
        sustained=True,
    ),
    effect(
        door,
        ("door", "house door", "door on a hinge"),
        ("creaking and slamming shut", "creaking and then slamming", "squeaking and banging shut"),
    ),
    effect(
        clap,
        ("person", "pair of hands", "~hands", "man"),
        ("clapping", "giving claps", "clapping along"),
    ),
    effect(
        applause,
        ("crowd", "audience", "theatre audience", "~people"),
        ("applauding", "clapping", "giving applause", "clapping together"),
        sustained=True,
    ),
    effect(
        keyboard,
        ("computer keyboard", "keyboard", "person at a keyboard", "typist"),
        ("typing", "clicking and clacking", "tapping keys"),
        sustained=True,
        far=False,
    ),
    effect(
        woodpecker,
        ("woodpecker", "forest woodpecker", "spotted woodpecker"),
        ("drumming on a tree", "pecking wood", "hammering on a trunk"),
    ),
    effect(
        ball,
        ("basketball", "ball", "rubber ball"),
        ("bouncing", "being dribbled", "bouncing on the floor", "bouncing on a court"),
        sustained=True,
    ),
    *struck_metal.KINDS,
)
