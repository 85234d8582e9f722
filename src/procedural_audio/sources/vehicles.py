"""Machines that travel: engines, a motorcycle, a helicopter, trains, aeroplanes.

Knows how each turns, fires and rolls and what a listener can check of it. Refuses to know sentences, rooms, distances or
loudness.
"""

from __future__ import annotations

import numpy as np

from ..events import air, aside, between, contour, spread, steady, worded
from ..sound_class import Facts, Kind, Take
from ..synth import Array, Stage, add, coloured, filtered, modes, normalised, resonate, wander
from .formants import mouth, shaky
from .impacts_noise import burst, edges, effect, pulses, reed, rhythm

_COUNTABLE_HZ = 19.5  # above it, firings melt into a tone


def _exhaust(
    stage: Stage, dice: Stage, hertz: Array, sharp: float, dirt: float, tune: float
) -> Array:
    """Cylinders firing at `hertz` `[T]` through a pipe and a body scaled by `tune`; `dirt` is the hiss in each firing."""
    n = len(hertz)
    fire = pulses(hertz, stage.rate, sharp, stage.rng.uniform(0.85, 1.0, 64))
    raw = fire - fire.mean() + dirt * fire * air(dice, n / stage.rate)
    body = tuple(
        (f * tune, 0.35 * f, g)
        for f, g in ((110.0, 1.0), (240.0, 0.9), (520.0, 0.6), (1250.0, 0.35))
    )
    intake = filtered(air(dice, n / stage.rate), stage.rate, 800, 5000)
    return (
        mouth(raw, stage.rate, body)
        + 0.15 * filtered(raw, stage.rate, None, 2500)
        + 0.05 * dirt * intake
    )


def engine(stage: Stage) -> Take:
    """A motor running evenly: so slowly that its strokes are felt one by one, or quickly enough to hum."""
    dice, hertz = aside(stage), stage.log_draw(8, 60)
    diesel, tune = stage.draw(0, 1), stage.log_draw(0.75, 1.35)
    turning = np.full(stage.size, hertz)
    sound = _exhaust(stage, dice, turning, stage.draw(7, 16), 0.15 + 0.3 * diesel, tune)
    if diesel > 0.5:  # injectors knock once a firing
        sound = normalised(sound) + diesel * 0.5 * normalised(
            resonate(
                air(dice, stage.seconds) * pulses(turning, stage.rate, 40, np.ones(1)),
                stage.rate,
                2100 * tune,
                900,
            )
        )
    facts = Facts(qualities=("diesel",) if diesel > 0.6 else ())
    if hertz < _COUNTABLE_HZ and stage.seconds * hertz > 4:
        facts["rate_hz"] = hertz
    facts["manner"] = ("slowly",) if hertz < 14 else (("fast",) if hertz > 42 else ())
    return Take(sound * edges(stage), facts)


def revving(stage: Stage) -> Take:
    """A parked car whose throttle is blipped: idle, then a counted number of rises and falls."""
    dice, idle, peak = aside(stage), stage.log_draw(22, 38), stage.log_draw(2.6, 5.0)
    length = min(stage.log_draw(0.6, 1.6), 0.75 * stage.seconds)
    rise, tune, sharp = stage.draw(0.3, 0.5), stage.log_draw(0.8, 1.3), stage.draw(6, 10)
    blip = contour(stage.samples(length), (0, 0), (rise, 1), (rise + 0.12, 0.9), (1, 0))
    times, throttle = spread(stage, length, (0.12, 0.8), 5), stage.silence()
    for start in times:
        add(throttle, blip, round(start * stage.rate), stage.draw(0.8, 1.0))
    sound = _exhaust(stage, dice, idle * peak**throttle, sharp, 0.25, tune) * (
        0.25 + 0.75 * throttle
    )
    return Take(sound * edges(stage), Facts(count=len(times), onsets=tuple(times)))


def motorcycle(stage: Stage) -> Take:
    """A motorcycle pulling through its gears: a rasp that climbs, drops at each change, and climbs again."""
    dice, weight = aside(stage), stage.draw(0, 1)
    base, reach = between(125, 48, weight), stage.draw(1.8, 2.6)
    gears = 1 if stage.seconds < 1.5 else stage.integer(1, min(4, 1 + int(stage.seconds / 1.6)))
    share = np.linspace(0, 1, stage.size) * gears
    inside, gear = share % 1.0, np.floor(share)
    throttle = np.minimum(inside / 0.88, 1.0) * np.clip((1 - inside) / 0.06, 0, 1)
    hertz = base * (1 + 0.12 * gear) * reach ** filtered(throttle, stage.rate, None, 12)
    rasp = reed(shaky(stage, hertz, 0.012, 70), stage.rate, stage.draw(0.3, 0.6), top=6000)
    half = _exhaust(stage, dice, hertz / 2, 9, 0.3, 1.4 - 0.5 * weight)
    sound = normalised(
        mouth(rasp, stage.rate, ((420, 250, 1.0), (1100, 400, 0.8), (2600, 900, 0.5)))
    ) + normalised(half)
    level = (0.45 + 0.55 * filtered(throttle, stage.rate, None, 15)) * contour(
        stage.size, (0, 0.7), (1, 1)
    )
    manner = ("speeding up",) if gears == 1 else ("changing gears",)
    return Take(
        sound * level * edges(stage),
        Facts(qualities=worded(weight, ("small", "light"), ("heavy",)), manner=manner),
    )


def helicopter(stage: Stage) -> Take:
    """Blades that slap the air at an even rate, over rotor wash and the whine of the turbine."""
    dice, rate_hz, slap = aside(stage), stage.log_draw(6.5, 19.0), stage.draw(0.2, 1.0)
    chop = pulses(np.full(stage.size, rate_hz), stage.rate, stage.draw(7, 12), np.ones(1))
    wash = filtered(air(dice, stage.seconds), stage.rate, 60, 900 + 900 * slap)
    thump = resonate(chop - chop.mean(), stage.rate, stage.log_draw(55, 95), 40)
    crack = filtered(air(dice, stage.seconds), stage.rate, 500, 3000) * chop**3
    whine = reed(np.full(stage.size, stage.log_draw(1400, 3200)), stage.rate, 1.5)
    sound = (
        1.3 * normalised(wash * (0.12 + chop))
        + 0.8 * normalised(thump)
        + 0.6 * slap * normalised(crack)
        + 0.02 * whine
    )
    near = contour(stage.size, (0, stage.draw(0.6, 1)), (0.5, 1), (1, stage.draw(0.6, 1)))
    facts = Facts(rate_hz=rate_hz) if stage.seconds * rate_hz > 4 else Facts()
    facts["qualities"] = worded((rate_hz - 6.5) / 12.5, ("large", "heavy"), ("small", "light"))
    return Take(sound * near * edges(stage), facts)


def train(stage: Stage) -> Take:
    """Wheels over rail joints: clickety-clack, clickety-clack at an even rate, over a rolling rumble."""
    dice, rate_hz = aside(stage), max(stage.log_draw(0.55, 2.6), 2.2 / stage.seconds)
    gap, wide = stage.draw(0.13, 0.17), stage.draw(0.4, 0.5)
    tune = stage.log_draw(0.8, 1.25)
    clack = modes(
        stage,
        0.2,
        tune * np.array([95.0, 180, 330, 720, 1450]),
        np.array([1.0, 0.9, 0.7, 0.5, 0.3]),
        np.array([0.03, 0.025, 0.015, 0.012, 0.01]),
    )
    add(clack, burst(dice, 0.08, 500, 3500, 0.01), 0, 0.5)
    clacks = stage.silence()
    for start in steady(stage, rate_hz, 0.0):
        for share, gain in ((0.0, 1.0), (gap, 0.85), (wide, 0.75), (wide + gap, 0.65)):
            add(
                clacks,
                clack,
                round((start + share / rate_hz) * stage.rate),
                gain * stage.draw(0.9, 1),
            )
    roll = normalised(filtered(coloured(dice, stage.seconds, 1.6), stage.rate, 40, 700))
    roll *= 1 + 0.2 * wander(stage, stage.seconds, 3)
    whir = normalised(filtered(air(dice, stage.seconds), stage.rate, 1200, 4200))
    sound = normalised(clacks) + stage.draw(0.2, 0.45) * roll + stage.draw(0.02, 0.08) * whir
    manner = ("slowly",) if rate_hz < 0.9 else (("fast",) if rate_hz > 1.7 else ())
    return Take(sound * edges(stage), Facts(rate_hz=rate_hz, manner=manner))


def steam(stage: Stage) -> Take:
    """A steam locomotive: chuffs of escaping steam at an even rate, the first of every four a little stronger."""
    dice, rate_hz = aside(stage), max(stage.log_draw(1.3, 8.0), 2.5 / stage.seconds)
    colour, length = stage.log_draw(450, 1100), min(0.8 / rate_hz, 0.4)
    times = steady(stage, rate_hz, length)
    steam_cloud = air(dice, stage.seconds)
    steam_cloud = filtered(steam_cloud, stage.rate, 0.4 * colour, 4 * colour, 1) + resonate(
        steam_cloud, stage.rate, colour, 0.5 * colour
    )
    puff = contour(stage.samples(length), (0, 0), (0.12, 1), (0.45, 0.5), (1, 0))
    valve = stage.silence()
    for k, start in enumerate(times):
        add(valve, puff, round(start * stage.rate), 1.0 if k % 4 == 0 else 0.85)
    canvas = steam_cloud * valve
    leak = filtered(air(dice, stage.seconds), stage.rate, 1800, 6500)
    return Take(
        normalised(canvas) + stage.draw(0.005, 0.03) * leak * edges(stage), rhythm(times, rate_hz)
    )


def airplane(stage: Stage) -> Take:
    """A jet passing: a roar that opens and closes, its whine and its ground echo sliding down as it goes by."""
    dice, passing = aside(stage), stage.draw(0.4, 0.65)
    swing = (np.linspace(0, 1, stage.size) - passing) * stage.draw(3.5, 8.0)
    near = 1 / np.sqrt(1 + swing**2)
    doppler = 1 - 0.16 * swing * near
    roar = filtered(coloured(dice, stage.seconds, 0.9), stage.rate, 60, 420)
    bright = filtered(coloured(dice, stage.seconds, 0.6), stage.rate, 400, 3800)
    whine = np.sin(2 * np.pi * np.cumsum(stage.log_draw(1300, 2600) * doppler) / stage.rate)
    sound = (
        normalised(roar) * near
        + 0.55 * normalised(bright) * near**2
        + stage.draw(0.02, 0.07) * whine * near**1.5
    )
    return Take(sound * edges(stage), Facts(manner=("passing by",)))


def propeller(stage: Stage) -> Take:
    """A propeller plane: a deep reedy drone, blades and exhaust in one, its pitch held."""
    dice, pitch = aside(stage), stage.log_draw(58, 230)
    drone = reed(np.full(stage.size, pitch), stage.rate, stage.draw(0.6, 1.0), top=4500)
    drone = 0.4 * drone + mouth(
        drone, stage.rate, ((2.2 * pitch, 1.5 * pitch, 1.0), (700, 300, 0.6), (1700, 600, 0.3))
    )
    beat = 1 + stage.draw(0.1, 0.35) * np.sin(
        2 * np.pi * stage.draw(0.6, 3.0) * stage.clock(stage.seconds)
    )
    wind = normalised(filtered(coloured(dice, stage.seconds, 1.0), stage.rate, 100, 2500))
    ends = stage.draw(0.35, 1), stage.draw(0.35, 1)
    sound = (normalised(drone) * beat + 0.12 * wind) * contour(
        stage.size, (0, ends[0]), (0.5, 1), (1, ends[1])
    )
    return Take(
        sound * edges(stage),
        Facts(
            pitch_hz=pitch, qualities=worded(np.log(pitch / 58) / np.log(4), ("large",), ("small",))
        ),
    )


KINDS: tuple[Kind, ...] = (
    effect(
        engine,
        ("engine", "car engine", "truck engine", "motor"),
        ("running", "idling", "ticking over", "running steadily"),
        sustained=True,
    ),
    effect(
        revving,
        ("car", "sports car", "parked car"),
        ("revving", "being revved", "revving its engine"),
        sustained=True,
        indoors=False,
    ),
    effect(
        motorcycle,
        ("motorcycle", "motorbike", "dirt bike"),
        ("riding", "accelerating", "roaring along", "racing"),
        sustained=True,
        indoors=False,
    ),
    effect(
        helicopter,
        ("helicopter", "chopper", "rescue helicopter"),
        ("flying", "hovering", "beating the air", "flying overhead"),
        sustained=True,
        indoors=False,
    ),
    effect(
        train,
        ("train", "railway train", "freight train"),
        ("rolling over the rails", "clattering along the track", "running on rails"),
        sustained=True,
        indoors=False,
    ),
    effect(
        steam,
        ("steam train", "steam locomotive", "steam engine"),
        ("chuffing", "puffing", "puffing along", "huffing steam"),
        sustained=True,
        indoors=False,
    ),
    effect(
        airplane,
        ("jet plane", "airplane", "airliner", "jet"),
        ("flying overhead", "roaring across the sky", "flying over"),
        sustained=True,
        indoors=False,
    ),
    effect(
        propeller,
        ("propeller plane", "light aircraft", "old propeller aircraft"),
        ("droning", "flying", "droning across the sky"),
        sustained=True,
        indoors=False,
    ),
)
