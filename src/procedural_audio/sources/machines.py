"""Machines of house and office: clock, drill, vacuum cleaner, fan, sewing and washing machine, printer; and the `vehicles`.

Knows how each machine turns and what a listener can check of it. Refuses to know sentences, rooms, distances or loudness.
"""

from __future__ import annotations

import numpy as np

from ..events import air, aside, between, contour, steady, worded
from ..sound_class import Facts, Kind, Take
from ..synth import Array, Stage, add, coloured, filtered, modes, normalised, swell, wander
from . import vehicles
from .formants import mouth, shaky
from .impacts_noise import burst, edges, effect, placed, reed, rhythm, scattered, shower


def clock(stage: Stage) -> Take:
    """An escapement: tick and tock in turn at an exact rate, from a wrist watch's rattle to a case clock's knock."""
    dice, size = aside(stage), stage.draw(0, 1)
    rate_hz = between(5.5, 1.0, size) * stage.log_draw(0.8, 1.25)
    tune, wood = between(1.7, 0.7, size), 0.2 + 0.8 * size

    def beat(bend: float) -> Array:
        hertz = bend * tune * np.array([520.0, 1130, 2350, 3170, 4290])
        tick = modes(
            stage,
            0.08,
            hertz,
            np.array([0.7 * wood, 0.6 * wood, 0.8, 0.7, 0.5]),
            np.array([0.01, 0.008, 0.006, 0.005, 0.004]),
        )
        add(tick, burst(dice, 0.02, 2000, 7500, 0.0015, 0.0002), 0, 0.4)
        return normalised(tick)

    pair, times = (beat(1.0), 0.92 * beat(stage.draw(0.8, 0.9))), steady(stage, rate_hz, 0.06)
    canvas = stage.silence()
    for k, start in enumerate(times):
        add(canvas, pair[k % 2], round(start * stage.rate))
    facts = rhythm(times, rate_hz)
    facts["qualities"] = worded(size, ("small",), ("large", "wooden"))
    return Take(canvas, facts)


def drill(stage: Stage) -> Take:
    """An electric drill: a brushed motor's raw whine, exact while it runs, winding up first and down at the end."""
    dice, pitch = aside(stage), stage.log_draw(160, 900)
    rough, bite = stage.draw(0.4, 0.8), stage.draw(0.1, 0.5)
    ends = min(0.12, 0.08 * stage.seconds), min(0.3, 0.15 * stage.seconds)
    up, down = ends[0] / stage.seconds, ends[1] / stage.seconds
    speed = contour(stage.size, (0, 0.25), (up, 1), (1 - down, 1), (1, 0.3))
    motor = reed(pitch * speed, stage.rate, rough, top=7000)
    gear = np.sin(2 * np.pi * np.cumsum(pitch * speed * 4.0) / stage.rate)
    chips = filtered(air(dice, stage.seconds), stage.rate, 1500, 7000) * (
        1 + 0.5 * wander(stage, stage.seconds, 25)
    )
    sound = (
        mouth(motor, stage.rate, ((900, 700, 1.0), (2300, 1000, 0.9), (4200, 1500, 0.6)))
        + 0.3 * motor
        + 0.2 * gear
        + 0.35 * bite * chips
    )
    level = contour(stage.size, (0, 0.1), (up, 1), (1 - down, 1), (1, 0.0))
    return Take(
        sound * level, Facts(pitch_hz=pitch, qualities=("powerful",) if pitch < 280 else ())
    )


def vacuum(stage: Stage) -> Take:
    """A vacuum cleaner: rushing air through a tube, and the motor's whine standing out of it."""
    dice, pitch, tube = aside(stage), stage.log_draw(140, 800), stage.log_draw(450, 900)
    rush = filtered(air(dice, stage.seconds), stage.rate, 150, 6500, 1)
    rush = 0.5 * rush + mouth(
        rush, stage.rate, ((tube, 250, 1.2), (2.6 * tube, 500, 0.8), (4.3 * tube, 900, 0.5))
    )
    whine = reed(np.full(stage.size, pitch), stage.rate, 1.3, top=5000)
    sound = (
        normalised(rush) * (1 + 0.1 * wander(stage, stage.seconds, 2))
        + stage.draw(0.3, 0.5) * whine
    )
    return Take(sound * edges(stage), Facts(pitch_hz=pitch))


def fan(stage: Stage) -> Take:
    """A fan: a soft dark breeze, the hum of its blades, and a slow wobble where they are not quite balanced."""
    dice, pitch = aside(stage), stage.log_draw(58, 240)
    wobble, depth = stage.draw(1.5, 5), stage.draw(0.0, 0.3)
    breeze = filtered(
        coloured(dice, stage.seconds, 1.2), stage.rate, 60, stage.log_draw(500, 1400), 1
    )
    hum = reed(np.full(stage.size, pitch), stage.rate, 1.7, top=1200)
    sway = 1 + depth * np.sin(2 * np.pi * wobble * stage.clock(stage.seconds))
    sound = (normalised(breeze) + stage.draw(0.35, 0.55) * hum) * sway
    return Take(
        sound * edges(stage),
        Facts(pitch_hz=pitch, qualities=worded(pitch / 240, ("large",), ("small",))),
    )


def sewing(stage: Stage) -> Take:
    """A sewing machine: needle and shuttle clatter once a stitch at an exact rate, over a small motor."""
    dice, rate_hz = aside(stage), stage.log_draw(4.5, 17)
    tune = stage.log_draw(0.8, 1.25)
    needle = modes(
        stage,
        0.06,
        tune * np.array([340.0, 910, 2100, 3300]),
        np.array([0.6, 0.8, 0.7, 0.4]),
        np.array([0.008, 0.007, 0.005, 0.004]),
    )
    add(needle, burst(dice, 0.04, 1000, 6000, 0.005), 0, 0.7)
    late = stage.draw(0.35, 0.5) / rate_hz
    times = np.array(steady(stage, rate_hz, 0.05))
    canvas = shower(
        dice,
        [normalised(needle)],
        np.concatenate([times, times + late]),
        np.repeat([1.0, 0.35], len(times)),
        stage.size,
    )
    motor = reed(np.full(stage.size, stage.log_draw(110, 240)), stage.rate, 1.2, top=3000)
    return Take(
        canvas + 0.04 * motor * edges(stage), Facts(rate_hz=rate_hz) if len(times) > 3 else Facts()
    )


def washer(stage: Stage) -> Take:
    """A washing machine: wet laundry that slumps around the drum once a turn, over water and motor."""
    dice, rate_hz = aside(stage), max(stage.log_draw(0.7, 1.8), 2.2 / stage.seconds)
    times = steady(stage, rate_hz, 0.3 / rate_hz)
    slosh = [
        filtered(air(dice, 0.5 / rate_hz), stage.rate, 200, 1300 * stage.log_draw(0.8, 1.2), 4)
        for _ in range(4)
    ]
    slosh = [
        wet * swell(stage, 0.5 / rate_hz, 0.2 / rate_hz, 0.25 / rate_hz)[: len(wet)]
        for wet in slosh
    ]
    thud = modes(
        stage,
        0.4,
        np.array([58.0, 92, 150]) * stage.log_draw(0.85, 1.2),
        np.ones(3),
        np.array([0.05, 0.04, 0.03]),
    )
    canvas = stage.silence()
    for k, start in enumerate(times):
        add(canvas, normalised(slosh[k % 4]), round(start * stage.rate), 0.8)
        add(canvas, thud, round((start + 0.2 / rate_hz) * stage.rate), 0.35)
    drops = [
        modes(stage, 0.06, np.array([stage.log_draw(500, 1400)]), np.ones(1), np.array([0.01]))
        for _ in range(6)
    ]
    falls = scattered(dice, 12, 0, stage.seconds)
    motor = reed(shaky(stage, np.full(stage.size, 100.0), 0.004, 3), stage.rate, 1.1, top=1500)
    sound = (
        canvas
        + shower(dice, drops, falls, dice.rng.uniform(0.02, 0.1, len(falls)), stage.size)
        + 0.05 * motor * edges(stage)
    )
    return Take(sound, Facts(rate_hz=rate_hz) if len(times) > 2 else Facts())


def printer(stage: Stage) -> Take:
    """A dot-matrix printer: the head screeches across the paper line by line, and the feed clicks between the lines."""
    dice, pins, line_hz = aside(stage), stage.log_draw(420, 1250), stage.log_draw(1.1, 3.5)
    line = min(0.75 / line_hz, 0.7 * stage.seconds)
    raw = reed(np.full(stage.samples(line), pins), stage.rate, 0.2) + 0.5 * air(dice, line)
    head = mouth(raw, stage.rate, ((1700, 600, 1.0), (3400, 900, 0.9), (5200, 1200, 0.5))) * swell(
        stage, line, 0.01, 0.01
    )
    feed = burst(dice, 0.08, 300, 2500, 0.015) + modes(
        stage, 0.08, np.array([210.0, 470]), np.ones(2), np.array([0.02, 0.01])
    )
    times = steady(stage, line_hz, line)
    take = placed(stage, times, lambda: head, rhythm(times, line_hz))
    for start in times:
        add(take.samples, normalised(feed), round((start + line + 0.03) * stage.rate), 0.3)
    return take


KINDS: tuple[Kind, ...] = (
    effect(
        clock,
        ("clock", "mechanical clock", "old clock", "timepiece"),
        ("ticking", "tick-tocking", "ticking away"),
        sustained=True,
        far=False,
    ),
    effect(
        drill,
        ("electric drill", "drill", "power drill"),
        ("drilling", "whining", "boring a hole", "being used"),
        sustained=True,
    ),
    effect(
        vacuum,
        ("vacuum cleaner", "hoover", "vacuum"),
        ("running", "vacuuming", "sucking up dust", "cleaning the floor"),
        sustained=True,
        far=False,
    ),
    effect(
        fan,
        ("fan", "electric fan", "ventilator", "ceiling fan"),
        ("humming", "blowing air", "whirring softly", "spinning"),
        sustained=True,
        far=False,
    ),
    effect(
        sewing,
        ("sewing machine", "tailor's sewing machine", "electric sewing machine"),
        ("stitching", "sewing", "running", "sewing a seam"),
        sustained=True,
        far=False,
    ),
    effect(
        washer,
        ("washing machine", "laundry machine", "washer"),
        ("washing", "turning its drum", "sloshing", "doing the laundry"),
        sustained=True,
        far=False,
    ),
    effect(
        printer,
        ("dot matrix printer", "printer", "office printer"),
        ("printing", "printing lines", "printing a page"),
        sustained=True,
        far=False,
    ),
    *vehicles.KINDS,
)
