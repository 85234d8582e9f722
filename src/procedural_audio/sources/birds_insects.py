"""Birds, frogs and insects: duck, rooster, crow, owl, songbird, frog, cricket, bee.

Knows how each sounds and what a listener can check of it. Refuses to know sentences, rooms, distances or loudness.
"""

from __future__ import annotations

import numpy as np

from ..events import air, aside, between, chorus, contour, fitting, regular, steady, worded
from ..sound_class import Facts, Kind, Take
from ..synth import Array, Stage, add, resonate, swell, wander
from .formants import buzz, mouth, opening, scaled, shaky, whistle

# A rooster's crow over its length (share, value): its pitch against the long note, and its loudness, low between syllables.
_COCKADOODLE = (
    *((0, 0.6), (0.06, 0.85), (0.13, 0.8), (0.17, 0.78), (0.22, 0.95), (0.29, 0.9), (0.33, 0.85)),
    *((0.4, 1.12), (0.47, 1.12), (0.53, 0.9), (0.6, 1.0), (0.85, 0.95), (1, 0.55)),
)
_SYLLABLES = (
    *((0, 0), (0.04, 0.8), (0.11, 0.7), (0.15, 0.03), (0.19, 0.8), (0.26, 0.7), (0.3, 0.03)),
    *((0.35, 0.9), (0.46, 1), (0.51, 0.15), (0.57, 1), (0.8, 0.9), (1, 0)),
)


def duck(stage: Stage) -> Take:
    """Quacks: a nasal reed, bright at two narrow formants, sinking a little in every quack."""
    hiss, size = aside(stage), stage.draw(0, 1)
    pitch = between(340, 150, size) * stage.log_draw(0.93, 1.07)
    length = fitting(stage, stage.log_draw(0.13, 0.26))
    breath, head = stage.draw(0.08, 0.25), between(1.2, 0.85, size)
    closed = scaled(((900, 120, 0.8), (2300, 200, 0.6)), head)
    opened = scaled(((1250, 130, 1.0), (2700, 220, 1.0), (3900, 400, 0.4)), head)

    def quack(vary: float) -> Array:
        n = stage.samples(length)
        hertz = pitch * vary * contour(n, (0, 1.08), (0.3, 1), (1, 0.82))
        source = buzz(shaky(stage, hertz, 0.02, 80), stage.rate, 0.15) + breath * air(hiss, length)
        share = contour(n, (0, 0), (0.35, 1), (1, 0.3))
        return opening(source, stage.rate, closed, opened, share) * contour(
            n, (0, 0), (0.1, 1), (0.7, 0.8), (1, 0)
        )

    return chorus(stage, length, (0.07, 0.6), 8, quack, worded(size, ("small",), ("large",)))


def rooster(stage: Stage) -> Take:
    """Cock-a-doodle-doo: two short notes, a jump, and a long bright one that sinks at its end."""
    hiss, size = aside(stage), stage.draw(0, 1)
    pitch = between(900, 480, size)
    length = fitting(stage, stage.log_draw(1.4, 2.6))
    breath, rough, head = stage.draw(0.05, 0.2), stage.draw(0.004, 0.015), between(1.2, 0.8, size)
    vowel = scaled(((1000, 300, 1.0), (2100, 400, 0.9), (3300, 500, 0.5)), head)

    def crowing(vary: float) -> Array:
        n = stage.samples(length)
        hertz = shaky(stage, pitch * vary * contour(n, *_COCKADOODLE), rough, 70)
        return mouth(
            buzz(hertz, stage.rate, 0.4) + breath * air(hiss, length), stage.rate, vowel
        ) * contour(n, *_SYLLABLES)

    return chorus(stage, length, (0.4, 1.2), 2, crowing, worded(size, ("young",), ("large",)))


def crow(stage: Stage) -> Take:
    """Caws: a torn voice, half tone and half noise, rattling at some seventy hertz through a wide-open beak."""
    hiss, size = aside(stage), stage.draw(0, 1)
    pitch = between(640, 310, size)
    length = fitting(stage, stage.log_draw(0.26, 0.5))
    rasp, depth, breath = stage.draw(55, 95), stage.draw(0.5, 0.85), stage.draw(0.6, 1.2)
    vowel = scaled(
        ((1350, 300, 1.0), (1900, 350, 0.9), (3400, 700, 0.35)), between(1.22, 0.85, size)
    )

    def caw(vary: float) -> Array:
        n = stage.samples(length)
        hertz = shaky(
            stage, pitch * vary * contour(n, (0, 0.8), (0.2, 1.05), (0.7, 1), (1, 0.75)), 0.05, 160
        )
        rattle = 1 - depth * (
            0.5 + 0.5 * whistle(shaky(stage, np.full(n, rasp), 0.2, 40), stage.rate, 0.0)
        )
        source = buzz(hertz, stage.rate, 0.3) + breath * air(hiss, length)
        return (
            mouth(source, stage.rate, vowel)
            * rattle
            * contour(n, (0, 0), (0.12, 1), (0.7, 0.85), (1, 0))
        )

    return chorus(stage, length, (0.12, 0.8), 5, caw, worded(size, ("small",), ("large",)))


def owl(stage: Stage) -> Take:
    """Hoots: soft round tones, almost sines, scooped at both ends; the flat middle gives the pitch."""
    hiss, pitch = aside(stage), stage.log_draw(190, 800)
    length = fitting(stage, stage.log_draw(0.22, 0.55))
    second, breath = stage.draw(0.03, 0.15), stage.draw(0.02, 0.1)

    def hoot(_: float) -> Array:
        n = stage.samples(length)
        hertz = pitch * contour(n, (0, 0.93), (0.2, 1), (0.85, 1), (1, 0.95))
        breathed = resonate(air(hiss, length), stage.rate, 1.1 * pitch, 0.5 * pitch)
        level = contour(n, (0, 0), (0.25, 0.9), (0.5, 1), (0.8, 0.8), (1, 0))
        return (whistle(hertz, stage.rate, second) + breath * breathed) * level

    take = chorus(stage, length, (0.1, 0.8), 6, hoot)
    take.facts["pitch_hz"] = pitch
    return take


def bird(stage: Stage) -> Take:
    """A song: phrases of one whistled syllable repeated quickly, a new syllable for each phrase, short rests between."""
    size = stage.draw(0, 1)
    centre = between(5200, 2100, size)
    canvas, now = stage.silence(), stage.draw(0.05, min(0.3, 0.14 * stage.seconds))
    while now < stage.seconds - 0.08:
        span = stage.log_draw(0.04, 0.17) * (1 + 0.4 * size)
        note = _syllable(stage, span, centre)
        beat = span * stage.draw(1.25, 1.9)
        for _ in range(stage.integer(1, 6)):
            if now + span < stage.seconds:
                add(canvas, note, round(now * stage.rate), stage.draw(0.7, 1))
            now += beat
        now += stage.log_draw(0.05, 0.4)
    return Take(canvas, Facts(qualities=worded(size, ("small",), ("large",))))


def _syllable(stage: Stage, span: float, centre: float) -> Array:
    """A whistled glide of `span` seconds through three pitches around `centre` Hz, perhaps with a fast trill."""
    start, middle, end = (min(6800.0, centre * stage.log_draw(0.72, 1.35)) for _ in range(3))
    trill, depth, turn = stage.draw(25, 60), stage.draw(0, 0.06), stage.draw(0.3, 0.7)
    n = stage.samples(span)
    hertz = contour(n, (0, start), (turn, middle), (1, end)) * (
        1 + depth * np.sin(2 * np.pi * trill * stage.clock(span))
    )
    return whistle(hertz, stage.rate, 0.08) * contour(n, (0, 0), (0.25, 1), (0.65, 0.9), (1, 0))


def frog(stage: Stage) -> Take:
    """Croaks at a steady rate: each a burst of some fifty throat pulses a second, swelling and cut short."""
    size, rate_hz = stage.draw(0, 1), stage.log_draw(0.8, 4.5)
    length = fitting(stage, min(0.55 / rate_hz, stage.log_draw(0.14, 0.4)))
    pulses = between(85, 35, size) * stage.log_draw(0.9, 1.1)
    vowel = scaled(((620, 110, 1.0), (1500, 200, 0.7), (2600, 300, 0.2)), between(1.7, 0.65, size))
    n = stage.samples(length)
    source = buzz(pulses * contour(n, (0, 0.85), (0.6, 1), (1, 1.15)), stage.rate, 0.0)
    croak = mouth(source, stage.rate, vowel) * contour(n, (0, 0), (0.15, 0.5), (0.75, 1), (1, 0))
    times = steady(stage, rate_hz, length)
    canvas = stage.silence()
    for start in times:
        add(canvas, croak, round(start * stage.rate), stage.draw(0.9, 1))
    facts = regular(times, rate_hz)
    facts["qualities"] = worded(size, ("small",), ("large", "deep"))
    return Take(canvas, facts)


def cricket(stage: Stage) -> Take:
    """Chirps at a steady rate, each three to five scrapes of one wing tone between 3.4 and 6.2 kHz."""
    tone, scrapes, tempo = stage.log_draw(3400, 6200), stage.integer(3, 5), stage.draw(28, 48)
    length = scrapes / tempo
    rate_hz = stage.log_draw(0.9, min(5.0, 0.6 / length))
    t = stage.clock(length)
    scrape = t * tempo % 1
    level = np.sin(np.pi * np.minimum(scrape / 0.75, 1.0)) ** 1.5 * contour(
        len(t), (0, 0.5), (0.6, 1), (1, 0.9)
    )
    chirp = whistle(tone * (1 - 0.015 * scrape), stage.rate, 0.0) * level
    times = steady(stage, rate_hz, length)
    canvas = stage.silence()
    for start in times:
        add(canvas, chirp, round(start * stage.rate))
    return Take(canvas, regular(times, rate_hz))


def bee(stage: Stage) -> Take:
    """A buzz: wings as a bright steady reed whose level drifts as the insect moves about; the wing rate is the pitch."""
    hiss, pitch = aside(stage), stage.log_draw(95, 480)
    tilt, near = stage.draw(0.5, 1.0), stage.draw(0.2, 0.6)
    drift = wander(stage, stage.seconds, stage.draw(1, 4))
    hertz = shaky(stage, np.full(stage.size, pitch), 0.003, 5)
    source = buzz(shaky(stage, hertz, 0.002, 60), stage.rate, tilt, top=6000) + 0.05 * air(
        hiss, stage.seconds
    )
    body = source + mouth(source, stage.rate, ((2.2 * pitch, pitch, 0.9), (2600, 900, 0.8)))
    level = np.exp(near * drift) * swell(stage, stage.seconds, 0.08, 0.08)
    size = np.log(480 / pitch) / np.log(480 / 95)
    return Take(body * level, Facts(pitch_hz=pitch, qualities=worded(size, ("small",), ("large",))))


KINDS: tuple[Kind, ...] = (
    Kind(
        "duck",
        "effects",
        ("duck", "mallard", "farm duck"),
        ("quacking", "squawking", "calling from a lake"),
        duck,
        indoors=False,
    ),
    Kind(
        "rooster",
        "effects",
        ("rooster", "cockerel", "cock"),
        ("crowing", "crowing at dawn", "calling at daybreak"),
        rooster,
        indoors=False,
    ),
    Kind(
        "crow",
        "effects",
        ("crow", "raven", "black crow"),
        ("cawing", "calling hoarsely", "cawing from a tree"),
        crow,
        indoors=False,
    ),
    Kind(
        "owl",
        "effects",
        ("owl", "eagle owl", "tawny owl"),
        ("hooting", "calling at night", "hooting in a wood"),
        owl,
        indoors=False,
    ),
    Kind(
        "bird",
        "effects",
        ("bird", "songbird", "warbler", "finch"),
        ("singing", "chirping", "tweeting", "twittering"),
        bird,
        sustained=True,
    ),
    Kind(
        "frog",
        "effects",
        ("frog", "toad", "pond frog"),
        ("croaking", "ribbiting", "calling by a pond"),
        frog,
        sustained=True,
        indoors=False,
    ),
    Kind(
        "cricket",
        "effects",
        ("cricket", "field cricket", "tree cricket"),
        ("chirping", "chirring", "stridulating"),
        cricket,
        sustained=True,
        indoors=False,
    ),
    Kind(
        "bee",
        "effects",
        ("bee", "bumblebee", "honeybee", "wasp"),
        ("buzzing", "buzzing around", "flying about"),
        bee,
        sustained=True,
        far=False,
    ),
)
