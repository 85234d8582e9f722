"""Things that run: engines, a motorcycle, rotors, trains, clocks, drills, fans, aeroplanes, sewing and washing machines.

Knows how each machine turns and what a listener can check of it. Refuses to know sentences, rooms, distances or loudness.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .kinds import Facts, Kind, Take
from .series import air, aside, between, chorus, contour, steady, worded
from .strikes import burst, placed, pulses, reed, rhythm, scattered, shower
from .synth import Array, Stage, add, coloured, filtered, modes, normalised, resonate, swell, wander
from .vocal import mouth, shaky

_COUNTABLE_HZ = 19.5  # above it, beats melt into a tone
_TONAL_HZ = 55.0  # below it, few ears would call the tone a pitch


def _edges(stage: Stage) -> Array:
    """A sustained machine is caught running: it fades in and out within a few hundredths of a second."""
    return swell(stage, stage.seconds, 0.05, 0.05)


def _exhaust(stage: Stage, dice: Stage, hertz: Array, sharp: float, dirt: float, tune: float) -> Array:
    """Cylinders firing at `hertz` `[T]` through a pipe and a body scaled by `tune`; `dirt` is the share of hiss in each firing."""
    n = len(hertz)
    fire = pulses(hertz, stage.rate, sharp, stage.rng.uniform(0.85, 1.0, 64))
    raw = fire - fire.mean() + dirt * fire * air(dice, n / stage.rate)[:n]
    pipe = mouth(raw, stage.rate, tuple((f * tune, 0.35 * f, g) for f, g in ((110.0, 1.0), (240.0, 0.9), (520.0, 0.6), (1250.0, 0.35))))
    return pipe + 0.15 * filtered(raw, stage.rate, None, 2500) + 0.05 * dirt * filtered(air(dice, n / stage.rate)[:n], stage.rate, 800, 5000)


def engine(stage: Stage) -> Take:
    """A motor running evenly: a slow diesel is counted in strokes, a quick one heard as a tone."""
    dice, hertz = aside(stage), stage.log_uniform(8, 115)
    diesel, tune = stage.uniform(0, 1), stage.log_uniform(0.75, 1.35)
    turning = np.full(stage.size, hertz)
    sound = _exhaust(stage, dice, turning, stage.uniform(7, 16), 0.15 + 0.3 * diesel, tune)
    if diesel > 0.5:  # injectors knock once a firing
        sound = normalised(sound) + diesel * 0.5 * normalised(
            resonate(air(dice, stage.seconds) * pulses(turning, stage.rate, 40, np.ones(1)), stage.rate, 2100 * tune, 900)
        )
    facts = Facts(qualities=("diesel",) if diesel > 0.6 else ())
    if hertz < _COUNTABLE_HZ and stage.seconds * hertz > 4:
        facts["rate_hz"] = hertz
    elif hertz > _TONAL_HZ:
        facts["pitch_hz"] = hertz
    facts["manner"] = ("slowly",) if hertz < 14 else (("fast",) if hertz > 70 else ())
    return Take(sound * _edges(stage), facts)


def revving(stage: Stage) -> Take:
    """A parked car whose throttle is blipped: idle, then a counted number of rises and falls."""
    dice, idle, peak = aside(stage), stage.log_uniform(22, 38), stage.log_uniform(2.6, 5.0)
    length = min(stage.log_uniform(0.6, 1.6), 0.75 * stage.seconds)
    rise, tune, sharp = stage.uniform(0.3, 0.5), stage.log_uniform(0.8, 1.3), stage.uniform(6, 10)
    blip = contour(stage.samples(length), (0, 0), (rise, 1), (rise + 0.12, 0.9), (1, 0))
    take = chorus(stage, length, (0.1, 0.8), 5, lambda _: blip)
    throttle = np.clip(take.samples, 0, 1)
    sound = _exhaust(stage, dice, idle * peak**throttle, sharp, 0.25, tune) * (0.25 + 0.75 * throttle)
    facts = take.facts
    facts["manner"] = ()
    return Take(sound * _edges(stage), facts)


def motorcycle(stage: Stage) -> Take:
    """A motorcycle pulling through its gears: a rasp that climbs, drops at each change, and climbs again."""
    dice, weight = aside(stage), stage.uniform(0, 1)
    base, reach = between(125, 48, weight), stage.uniform(1.8, 2.6)
    gears = 1 if stage.seconds < 1.5 else stage.integer(1, min(4, 1 + int(stage.seconds / 1.6)))
    share = np.linspace(0, 1, stage.size) * gears
    inside, gear = share % 1.0, np.floor(share)
    throttle = np.minimum(inside / 0.88, 1.0) * np.clip((1 - inside) / 0.06, 0, 1)
    hertz = base * (1 + 0.12 * gear) * reach ** filtered(throttle, stage.rate, None, 12)
    rasp = reed(shaky(stage, hertz, 0.012, 70), stage.rate, stage.uniform(0.3, 0.6), top=6000)
    half = _exhaust(stage, dice, hertz / 2, 9, 0.3, 1.4 - 0.5 * weight)
    sound = normalised(mouth(rasp, stage.rate, ((420, 250, 1.0), (1100, 400, 0.8), (2600, 900, 0.5)))) + normalised(half)
    level = (0.45 + 0.55 * filtered(throttle, stage.rate, None, 15)) * contour(stage.size, (0, 0.7), (1, 1))
    manner = ("speeding up",) if gears == 1 else ("changing gears",)
    return Take(sound * level * _edges(stage), Facts(qualities=worded(weight, ("small", "light"), ("heavy",)), manner=manner))


def helicopter(stage: Stage) -> Take:
    """Blades that slap the air at an even rate, over rotor wash and the whine of the turbine."""
    dice, rate_hz, slap = aside(stage), stage.log_uniform(6.5, 19.0), stage.uniform(0.2, 1.0)
    chop = pulses(np.full(stage.size, rate_hz), stage.rate, stage.uniform(7, 12), np.ones(1))
    wash = filtered(air(dice, stage.seconds), stage.rate, 60, 900 + 900 * slap)
    thump = resonate(chop - chop.mean(), stage.rate, stage.log_uniform(55, 95), 40)
    crack = filtered(air(dice, stage.seconds), stage.rate, 500, 3000) * chop**3
    whine = reed(np.full(stage.size, stage.log_uniform(1400, 3200)), stage.rate, 1.5)
    sound = 1.3 * normalised(wash * (0.12 + chop)) + 0.8 * normalised(thump) + 0.6 * slap * normalised(crack) + 0.02 * whine
    near = contour(stage.size, (0, stage.uniform(0.6, 1)), (0.5, 1), (1, stage.uniform(0.6, 1)))
    facts = Facts(rate_hz=rate_hz) if stage.seconds * rate_hz > 4 else Facts()
    facts["qualities"] = worded((rate_hz - 6.5) / 12.5, ("large", "heavy"), ("small", "light"))
    return Take(sound * near * _edges(stage), facts)


def train(stage: Stage) -> Take:
    """Wheels over rail joints: clickety-clack, clickety-clack at an even rate, over a rolling rumble."""
    dice, rate_hz = aside(stage), max(stage.log_uniform(0.55, 2.6), 2.2 / stage.seconds)
    gap, wide = stage.uniform(0.13, 0.17), stage.uniform(0.4, 0.5)
    tune = stage.log_uniform(0.8, 1.25)
    clack = modes(stage, 0.2, tune * np.array([95.0, 180, 330, 720, 1450]), np.array([1.0, 0.9, 0.7, 0.5, 0.3]),
                  np.array([0.03, 0.025, 0.015, 0.012, 0.01]))
    add(clack, burst(dice, 0.08, 500, 3500, 0.01), 0, 0.5)
    clacks = stage.silence()
    for start in steady(stage, rate_hz, 0.0):
        for share, gain in ((0.0, 1.0), (gap, 0.85), (wide, 0.75), (wide + gap, 0.65)):
            add(clacks, clack, round((start + share / rate_hz) * stage.rate), gain * stage.uniform(0.9, 1))
    roll = normalised(filtered(coloured(dice, stage.seconds, 1.6), stage.rate, 40, 700))
    roll *= 1 + 0.2 * wander(stage, stage.seconds, 3)
    whir = normalised(filtered(air(dice, stage.seconds), stage.rate, 1200, 4200))
    sound = normalised(clacks) + stage.uniform(0.2, 0.45) * roll + stage.uniform(0.02, 0.08) * whir
    manner = ("slowly",) if rate_hz < 0.9 else (("fast",) if rate_hz > 1.7 else ())
    return Take(sound * _edges(stage), Facts(rate_hz=rate_hz, manner=manner))


def steam(stage: Stage) -> Take:
    """A steam locomotive: chuffs of escaping steam at an even rate, the first of every four a little stronger."""
    dice, rate_hz = aside(stage), max(stage.log_uniform(1.3, 8.0), 2.5 / stage.seconds)
    colour, length = stage.log_uniform(450, 1100), min(0.8 / rate_hz, 0.4)
    times = steady(stage, rate_hz, length)
    steam_cloud = air(dice, stage.seconds)
    steam_cloud = filtered(steam_cloud, stage.rate, 0.4 * colour, 4 * colour, 1) + resonate(steam_cloud, stage.rate, colour, 0.5 * colour)
    puff = contour(stage.samples(length), (0, 0), (0.12, 1), (0.45, 0.5), (1, 0))
    valve = stage.silence()
    for k, start in enumerate(times):
        add(valve, puff, round(start * stage.rate), 1.0 if k % 4 == 0 else 0.85)
    canvas = steam_cloud * valve
    leak = filtered(air(dice, stage.seconds), stage.rate, 1800, 6500)
    facts = rhythm(times, rate_hz)
    return Take(normalised(canvas) + stage.uniform(0.005, 0.03) * leak * _edges(stage), facts)


def clock(stage: Stage) -> Take:
    """An escapement: tick and tock in turn at an exact rate, from a wrist watch's rattle to a case clock's knock."""
    dice, size = aside(stage), stage.uniform(0, 1)
    rate_hz = between(5.5, 1.0, size) * stage.log_uniform(0.8, 1.25)
    tune, wood = between(1.7, 0.7, size), 0.2 + 0.8 * size

    def beat(bend: float) -> Array:
        hertz = bend * tune * np.array([520.0, 1130, 2350, 3170, 4290])
        tick = modes(stage, 0.08, hertz, np.array([0.7 * wood, 0.6 * wood, 0.8, 0.7, 0.5]), np.array([0.01, 0.008, 0.006, 0.005, 0.004]))
        add(tick, burst(dice, 0.02, 2000, 7500, 0.0015, 0.0002), 0, 0.4)
        return normalised(tick)

    pair, times = (beat(1.0), 0.92 * beat(stage.uniform(0.8, 0.9))), steady(stage, rate_hz, 0.06)
    canvas = stage.silence()
    for k, start in enumerate(times):
        add(canvas, pair[k % 2], round(start * stage.rate))
    facts = rhythm(times, rate_hz)
    facts["qualities"] = worded(size, ("small",), ("large", "wooden"))
    return Take(canvas, facts)


def drill(stage: Stage) -> Take:
    """An electric drill: a brushed motor's raw whine, exact while it runs; it winds up when switched on and down when let go."""
    dice, pitch = aside(stage), stage.log_uniform(160, 900)
    rough, bite = stage.uniform(0.4, 0.8), stage.uniform(0.1, 0.5)
    ends = min(0.12, 0.08 * stage.seconds), min(0.3, 0.15 * stage.seconds)
    up, down = ends[0] / stage.seconds, ends[1] / stage.seconds
    speed = contour(stage.size, (0, 0.25), (up, 1), (1 - down, 1), (1, 0.3))
    motor = reed(pitch * speed, stage.rate, rough, top=7000)
    gear = np.sin(2 * np.pi * np.cumsum(pitch * speed * 4.0) / stage.rate)
    chips = filtered(air(dice, stage.seconds), stage.rate, 1500, 7000) * (1 + 0.5 * wander(stage, stage.seconds, 25))
    sound = mouth(motor, stage.rate, ((900, 700, 1.0), (2300, 1000, 0.9), (4200, 1500, 0.6))) + 0.3 * motor + 0.2 * gear + 0.35 * bite * chips
    level = contour(stage.size, (0, 0.1), (up, 1), (1 - down, 1), (1, 0.0))
    return Take(sound * level, Facts(pitch_hz=pitch, qualities=("powerful",) if pitch < 280 else ()))


def vacuum(stage: Stage) -> Take:
    """A vacuum cleaner: rushing air through a tube, and the motor's whine standing out of it."""
    dice, pitch, tube = aside(stage), stage.log_uniform(140, 800), stage.log_uniform(450, 900)
    rush = filtered(air(dice, stage.seconds), stage.rate, 150, 6500, 1)
    rush = 0.5 * rush + mouth(rush, stage.rate, ((tube, 250, 1.2), (2.6 * tube, 500, 0.8), (4.3 * tube, 900, 0.5)))
    whine = reed(np.full(stage.size, pitch), stage.rate, 1.3, top=5000)
    sound = normalised(rush) * (1 + 0.1 * wander(stage, stage.seconds, 2)) + stage.uniform(0.3, 0.5) * whine
    return Take(sound * _edges(stage), Facts(pitch_hz=pitch))


def fan(stage: Stage) -> Take:
    """A fan: a soft dark breeze, the hum of its blades, and a slow wobble where they are not quite balanced."""
    dice, pitch = aside(stage), stage.log_uniform(58, 240)
    wobble, depth = stage.uniform(1.5, 5), stage.uniform(0.0, 0.3)
    breeze = filtered(coloured(dice, stage.seconds, 1.2), stage.rate, 60, stage.log_uniform(500, 1400), 1)
    hum = reed(np.full(stage.size, pitch), stage.rate, 1.7, top=1200)
    sway = 1 + depth * np.sin(2 * np.pi * wobble * stage.clock(stage.seconds))
    sound = (normalised(breeze) + stage.uniform(0.35, 0.55) * hum) * sway
    return Take(sound * _edges(stage), Facts(pitch_hz=pitch, qualities=worded(pitch / 240, ("large",), ("small",))))


def airplane(stage: Stage) -> Take:
    """A jet passing: a roar that opens and closes, its whine and its ground echo sliding down as it goes by."""
    dice, passing = aside(stage), stage.uniform(0.4, 0.65)
    swing = (np.linspace(0, 1, stage.size) - passing) * stage.uniform(2.5, 5.0)
    near = 1 / np.sqrt(1 + swing**2)
    doppler = 1 - 0.16 * swing * near
    roar = filtered(coloured(dice, stage.seconds, 0.9), stage.rate, 60, 420)
    bright = filtered(coloured(dice, stage.seconds, 0.6), stage.rate, 400, 3800)
    whine = np.sin(2 * np.pi * np.cumsum(stage.log_uniform(1300, 2600) * doppler) / stage.rate)
    sound = normalised(roar) * near**0.7 + 0.55 * normalised(bright) * near**2 + stage.uniform(0.02, 0.07) * whine * near**1.5
    return Take(sound * _edges(stage), Facts(manner=("passing by",)))


def propeller(stage: Stage) -> Take:
    """A propeller plane: a deep reedy drone, blades and exhaust in one, its pitch held."""
    dice, pitch = aside(stage), stage.log_uniform(58, 230)
    drone = reed(np.full(stage.size, pitch), stage.rate, stage.uniform(0.6, 1.0), top=4500)
    drone = 0.4 * drone + mouth(drone, stage.rate, ((2.2 * pitch, 1.5 * pitch, 1.0), (700, 300, 0.6), (1700, 600, 0.3)))
    beat = 1 + stage.uniform(0.1, 0.35) * np.sin(2 * np.pi * stage.uniform(0.6, 3.0) * stage.clock(stage.seconds))
    wind = normalised(filtered(coloured(dice, stage.seconds, 1.0), stage.rate, 100, 2500))
    ends = stage.uniform(0.35, 1), stage.uniform(0.35, 1)
    sound = (normalised(drone) * beat + 0.12 * wind) * contour(stage.size, (0, ends[0]), (0.5, 1), (1, ends[1]))
    return Take(sound * _edges(stage), Facts(pitch_hz=pitch, qualities=worded(np.log(pitch / 58) / np.log(4), ("large",), ("small",))))


def sewing(stage: Stage) -> Take:
    """A sewing machine: needle and shuttle clatter once a stitch at an exact rate, over a small motor."""
    dice, rate_hz = aside(stage), stage.log_uniform(4.5, 17)
    tune = stage.log_uniform(0.8, 1.25)
    needle = modes(stage, 0.06, tune * np.array([340.0, 910, 2100, 3300]), np.array([0.6, 0.8, 0.7, 0.4]), np.array([0.008, 0.007, 0.005, 0.004]))
    add(needle, burst(dice, 0.04, 1000, 6000, 0.005), 0, 0.7)
    late = stage.uniform(0.35, 0.5) / rate_hz
    times = np.array(steady(stage, rate_hz, 0.05))
    canvas = shower(dice, [normalised(needle)], np.concatenate([times, times + late]), np.repeat([1.0, 0.35], len(times)), stage.size)
    motor = reed(np.full(stage.size, stage.log_uniform(110, 240)), stage.rate, 1.2, top=3000)
    return Take(canvas + 0.04 * motor * _edges(stage), Facts(rate_hz=rate_hz) if len(times) > 3 else Facts())


def washer(stage: Stage) -> Take:
    """A washing machine: wet laundry that slumps around the drum once a turn, over water and motor."""
    dice, rate_hz = aside(stage), max(stage.log_uniform(0.7, 1.8), 2.2 / stage.seconds)
    times = steady(stage, rate_hz, 0.3 / rate_hz)
    slosh = [filtered(air(dice, 0.5 / rate_hz), stage.rate, 200, 1300 * stage.log_uniform(0.8, 1.2), 4) for _ in range(4)]
    slosh = [wet * swell(stage, 0.5 / rate_hz, 0.2 / rate_hz, 0.25 / rate_hz)[: len(wet)] for wet in slosh]
    thud = modes(stage, 0.4, np.array([58.0, 92, 150]) * stage.log_uniform(0.85, 1.2), np.ones(3), np.array([0.05, 0.04, 0.03]))
    canvas = stage.silence()
    for k, start in enumerate(times):
        add(canvas, normalised(slosh[k % 4]), round(start * stage.rate), 0.8)
        add(canvas, thud, round((start + 0.2 / rate_hz) * stage.rate), 0.35)
    drops = [modes(stage, 0.06, np.array([stage.log_uniform(500, 1400)]), np.ones(1), np.array([0.01])) for _ in range(6)]
    falls = scattered(dice, 12, 0, stage.seconds)
    motor = reed(shaky(stage, np.full(stage.size, 100.0), 0.004, 3), stage.rate, 1.1, top=1500)
    sound = canvas + shower(dice, drops, falls, dice.rng.uniform(0.02, 0.1, len(falls)), stage.size) + 0.05 * motor * _edges(stage)
    return Take(sound, Facts(rate_hz=rate_hz) if len(times) > 2 else Facts())


def printer(stage: Stage) -> Take:
    """A dot-matrix printer: the head screeches across the paper line by line, and the feed clicks between the lines."""
    dice, pins, line_hz = aside(stage), stage.log_uniform(420, 1250), stage.log_uniform(1.1, 3.5)
    line = min(0.75 / line_hz, 0.7 * stage.seconds)
    raw = reed(np.full(stage.samples(line), pins), stage.rate, 0.2) + 0.5 * air(dice, line)
    head = mouth(raw, stage.rate, ((1700, 600, 1.0), (3400, 900, 0.9), (5200, 1200, 0.5))) * swell(stage, line, 0.01, 0.01)
    feed = burst(dice, 0.08, 300, 2500, 0.015) + modes(stage, 0.08, np.array([210.0, 470]), np.ones(2), np.array([0.02, 0.01]))
    times = steady(stage, line_hz, line)
    take = placed(stage, times, lambda: head, rhythm(times, line_hz))
    for start in times:
        add(take.samples, normalised(feed), round((start + line + 0.03) * stage.rate), 0.3)
    return take


def _kind(play: Callable[[Stage], Take], nouns: tuple[str, ...], actions: tuple[str, ...], indoors: bool, far: bool = True) -> Kind:
    return Kind(play.__name__, "effects", nouns, actions, play, sustained=True, indoors=indoors, far=far)


KINDS: tuple[Kind, ...] = (
    _kind(engine, ("engine", "car engine", "truck engine", "motor"), ("running", "idling", "chugging", "running steadily"), True),
    _kind(revving, ("car", "sports car", "parked car"), ("revving", "being revved", "revving its engine"), False),
    _kind(motorcycle, ("motorcycle", "motorbike", "dirt bike"), ("riding", "accelerating", "roaring along", "racing"), False),
    _kind(helicopter, ("helicopter", "chopper", "rescue helicopter"), ("flying", "hovering", "beating the air", "flying overhead"), False),
    _kind(train, ("train", "railway train", "freight train"), ("rolling over the rails", "clattering along the track", "running on rails"), False),
    _kind(steam, ("steam train", "steam locomotive", "steam engine"), ("chuffing", "puffing", "puffing along", "huffing steam"), False),
    _kind(clock, ("clock", "mechanical clock", "old clock", "timepiece"), ("ticking", "tick-tocking", "ticking away"), True, False),
    _kind(drill, ("electric drill", "drill", "power drill"), ("drilling", "whining", "boring a hole", "being used"), True),
    _kind(vacuum, ("vacuum cleaner", "hoover", "vacuum"), ("running", "vacuuming", "sucking up dust", "cleaning the floor"), True, False),
    _kind(fan, ("fan", "electric fan", "ventilator", "ceiling fan"), ("humming", "blowing air", "whirring softly", "spinning"), True, False),
    _kind(airplane, ("jet plane", "airplane", "airliner", "jet"), ("flying overhead", "roaring across the sky", "flying over"), False),
    _kind(propeller, ("propeller plane", "light aircraft", "old propeller aircraft"), ("droning", "flying", "droning across the sky"), False),
    _kind(sewing, ("sewing machine", "tailor's sewing machine"), ("stitching", "sewing", "running", "sewing a seam"), True, False),
    _kind(washer, ("washing machine", "laundry machine", "washer"), ("washing", "turning its drum", "sloshing", "doing the laundry"), True, False),
    _kind(printer, ("dot matrix printer", "printer", "office printer"), ("printing", "printing lines", "printing a page"), True, False),
)
