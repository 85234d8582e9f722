"""Drums: the pieces of a kit, a pair of bongos, and the patterns that make a style.

Knows skins, cymbals, styles and steps of a bar. Refuses to know notes, captions and clips.

A pattern writes one bar per piece, a character per step: "x" a full stroke, "o" a light one, "." none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..events import air, aside
from ..synth import Array, Stage, add, decay, filtered, glide
from .instruments import rings


@dataclass(frozen=True)
class Style:
    """A way of drumming: its usual tempi in beats per minute, steps in a beat, and a bar for each piece of the kit."""

    bpm: tuple[float, float]
    steps: int
    bar: Mapping[str, str]


STYLES: Mapping[str, Style] = {
    "rock": Style(
        (95, 150),
        4,
        {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."},
    ),
    "disco": Style(
        (110, 132),
        4,
        {
            "kick": "x...x...x...x...",
            "snare": "....x.......x...",
            "open": "..x...x...x...x.",
            "hat": "o...o...o...o...",
        },
    ),
    "swing": Style(
        (110, 190),
        3,
        {
            "ride": "x..x.ox..x.o",
            "foot": "...x.....x..",
            "kick": "o.....o.....",
            "snare": ".....o......",
        },
    ),
    "reggae": Style(
        (66, 90),
        4,
        {"kick": "........x.......", "rim": "........x.......", "hat": "..x.o.x...x.o.x."},
    ),
    "hip hop": Style(
        (78, 98),
        4,
        {"kick": "x..x......x..x..", "snare": "....x.......x..o", "hat": "x.x.x.x.x.x.x.xx"},
    ),
    "techno": Style(
        (122, 140),
        4,
        {
            "kick": "x...x...x...x...",
            "clap": "....x.......x...",
            "open": "..x...x...x...x.",
            "hat": "oooooooooooooooo",
        },
    ),
    "bossa nova": Style(
        (110, 145),
        4,
        {"kick": "x.....x.x.....x.", "rim": "x..x..x...x..x..", "hat": "o.o.o.o.o.o.o.o."},
    ),
    "waltz": Style((90, 160), 2, {"kick": "x.....", "snare": "..o.o.", "hat": "..x.x."}),
    "march": Style(
        (100, 126),
        4,
        {"kick": "x.......x.......", "snare": "x...xoo.x...xoox", "foot": "....x.......x..."},
    ),
    "funk": Style(
        (92, 116),
        4,
        {"kick": "x..x..x...x..x..", "snare": "....x..o.o..x..o", "hat": "xoxoxoxoxoxoxoxo"},
    ),
}

STROKES: Mapping[str, float] = {"x": 1.0, "o": 0.45}


def kit(stage: Stage) -> Callable[[str], Array]:
    """A drum kit drawn from the dice: name of a piece -> one stroke on it `[T]`."""
    noise, size, tight = aside(stage), stage.log_draw(0.8, 1.25), stage.log_draw(0.7, 1.4)
    wires, shine = stage.draw(0.5, 1.0), stage.draw(0.8, 1.2)

    def hiss(seconds: float, low: float, high: float, half: float) -> Array:
        return filtered(air(noise, seconds), stage.rate, low, high) * decay(
            stage, seconds, half, 0.001
        )

    def skin(seconds: float, low: float, high: float, drop: float, half: float) -> Array:
        t = stage.clock(seconds)
        return np.sin(glide(low + (high - low) * 0.5 ** (t / drop), stage.rate)) * decay(
            stage, seconds, half, 0.001
        )

    def metal(seconds: float, half: float) -> Array:
        f = shine * np.array([2510.0, 3140, 3870, 4430, 5260, 5910, 6540, 7180])
        return rings(stage, seconds, f, np.full(8, 0.12), np.full(8, half), np.arange(8.0))

    pieces: Mapping[str, Callable[[], Array]] = {
        "kick": lambda: (
            1.2 * skin(0.5, 48 / size, 190 / size, 0.018, 0.07 * tight)
            + 0.08 * hiss(0.5, 800, 4000, 0.004)
        ),
        "snare": lambda: (
            0.55 * skin(0.35, 185 / size, 260 / size, 0.02, 0.035)
            + wires * 0.5 * hiss(0.35, 900, 7300, 0.045 * tight)
        ),
        "hat": lambda: 0.3 * hiss(0.12, 5200 * shine, 7800, 0.014) + 0.1 * metal(0.12, 0.01),
        "open": lambda: 0.32 * hiss(0.4, 4600 * shine, 7800, 0.09) + 0.12 * metal(0.4, 0.07),
        "foot": lambda: 0.25 * hiss(0.1, 3800, 7600, 0.012),
        "ride": lambda: (
            0.1 * hiss(0.7, 4500, 7800, 0.12)
            + 0.35 * metal(0.7, 0.16)
            + 0.2 * hiss(0.7, 3000, 7800, 0.006)
        ),
        "rim": lambda: (
            0.5
            * rings(
                stage,
                0.1,
                np.array([820.0, 1700, 2600]),
                np.array([1, 0.8, 0.5]),
                np.full(3, 0.008),
            )
        ),
        "clap": lambda: _clap(stage, hiss),
    }
    struck: dict[str, Array] = {}

    def stroke(piece: str) -> Array:
        if piece not in struck:
            struck[piece] = pieces[piece]()
        return struck[piece]

    return stroke


def _clap(stage: Stage, hiss: Callable[[float, float, float, float], Array]) -> Array:
    """Three hands a hundredth of a second apart and the room's answer."""
    out = np.zeros(stage.samples(0.4))
    for k, half in enumerate((0.006, 0.006, 0.05)):
        add(out, 0.6 * hiss(0.3, 900, 4200, half), round(0.011 * k * stage.rate))
    return out


def groove(stage: Stage, style: Style, bpm: float, start: float, gain: float = 1.0) -> Array:
    """The style's bar, over and over, from `start` to the end of the clip `[T]`."""
    stroke, canvas = kit(stage), stage.silence()
    step = 60 / bpm / style.steps
    human = aside(stage).rng
    for piece, bar in style.bar.items():
        for k in range(int((stage.seconds - start) / step) + 1):
            if bar[k % len(bar)] in STROKES:
                level = STROKES[bar[k % len(bar)]] * human.uniform(0.85, 1.0)
                add(canvas, stroke(piece), round((start + k * step) * stage.rate), gain * level)
    return canvas


def bongos(stage: Stage) -> tuple[Callable[[int, float], Array], float]:
    """A pair of hand drums: (0 high or 1 low, strength) -> one stroke `[T]`, and the high drum's pitch in Hz."""
    noise, high = aside(stage), stage.log_draw(300, 460)
    pitches = (high, high / stage.draw(1.3, 1.55))
    half, slap = stage.log_draw(0.03, 0.06), stage.draw(0.15, 0.5)

    def stroke(which: int, strength: float) -> Array:
        f = pitches[which] * np.array(
            [1.0, 1.59, 2.14, 2.65]
        )  # a round membrane's modes, Rayleigh 1877
        x = rings(
            stage, 0.5, f, np.array([1, 0.45, 0.25, 0.15]), half * np.array([1.4, 0.8, 0.6, 0.5])
        )
        x += (
            slap
            * filtered(air(noise, 0.5), stage.rate, 700, 4500)
            * decay(stage, 0.5, 0.006, 0.0005)
        )
        return strength * x

    return stroke, high
