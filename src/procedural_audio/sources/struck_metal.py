"""Things that ring when they are struck, dropped or broken: bell, glass, gong, hammer on steel, coins, shards.

Knows the modes of each body and what a listener can check of them. Refuses to know sentences, rooms, distances or loudness.
"""

from __future__ import annotations

import numpy as np

from ..events import air, aside, chorus, first_onset, fitting, worded
from ..sound_class import Facts, Kind, Take
from ..synth import Array, Stage, add, filtered, modes, normalised
from .formants import mouth
from .impacts_noise import beaten, burst, effect, shower


def bell(stage: Stage) -> Take:
    """Church bell: hum, prime, tierce, quint, nominal and above, each exactly steady while it fades; the prime is the pitch.

    Partial ratios of a tuned bell: Fletcher and Rossing, The Physics of Musical Instruments, chapter 21.
    """
    dice, pitch = aside(stage), stage.log_draw(220, 1200)
    third, bright = stage.draw(1.18, 1.26), stage.draw(0.5, 1.2)
    ratios = np.array([0.5, 1.0, third, 1.5, 2.0, 2.51, 2.66, 3.01, 4.16, 5.43, 6.8])
    tilt = np.array([0.25, 1.0, 0.5, 0.25, 0.6, 0.2, 0.25, 0.3, 0.25, 0.18, 0.12])
    gains = tilt * np.where(ratios > 1, bright, 1.0)
    ring = stage.log_draw(0.35, 1.2) * (400 / pitch) ** 0.35
    tone = modes(
        stage, stage.seconds, pitch * ratios, gains, ring * np.maximum(ratios, 1.0) ** -0.9
    )
    clapper = burst(dice, 0.08, 1200, 7000, 0.008)
    add(tone, clapper, 0, 0.5 * bright)
    small = np.log(pitch / 220) / np.log(1200 / 220)
    take = chorus(
        stage,
        min(0.5, 0.4 * stage.seconds),
        (0.15, 1.6),
        8,
        lambda _: tone,
        worded(small, ("large", "heavy"), ("small",)),
    )
    take.facts["pitch_hz"] = pitch
    return take


def glass(stage: Stage) -> Take:
    """A glass tapped by another: the rim's modes in the ratios of n squared, the lowest strongest and clearly pitched."""
    dice, pitch = aside(stage), stage.log_draw(700, 4200)
    ring, bright = stage.log_draw(0.06, 0.5), stage.draw(0.2, 0.5)
    ratios = np.array([1.0, 2.32, 4.25, 6.63])
    tone = modes(
        stage,
        min(stage.seconds, 12 * ring),
        pitch * ratios,
        np.array([1.0, bright, bright / 2, bright / 3]),
        ring * ratios**-0.7,
    )
    partner = modes(
        stage,
        0.1,
        pitch * stage.draw(1.2, 1.7) * np.array([1.0, 2.3]),
        np.array([0.4, 0.3]),
        np.array([0.012, 0.006]),
    )
    add(tone, partner, 0)
    add(tone, burst(dice, 0.03, 2500, 7800, 0.003, 0.0003), 0, 0.4)
    qualities = worded(np.log(pitch / 700) / np.log(6), ("large",), ("small",)) + (
        ("crystal",) if ring > 0.25 else ()
    )
    take = chorus(stage, min(0.3, 0.4 * stage.seconds), (0.1, 1.2), 7, lambda _: tone, qualities)
    take.facts["pitch_hz"] = pitch
    return take


def shatter(stage: Stage) -> Take:
    """Breaking glass: one crash, then a thinning rain of tinkling shards."""
    dice, pane = aside(stage), stage.draw(0, 1)
    start, spill = first_onset(stage), fitting(stage, stage.log_draw(0.25, 0.5) * (1 + 1.5 * pane))
    crash = burst(dice, min(0.6, stage.seconds), 900 - 500 * pane, 7800, 0.025 + 0.05 * pane)
    thud = modes(
        stage,
        0.2,
        np.array([140.0, 260, 420]) * (1.5 - 0.7 * pane),
        np.array([1.0, 0.7, 0.5]) * (0.3 + pane),
        np.full(3, 0.02),
    )
    shards = []
    for _ in range(16):
        high = stage.log_draw(1900, 5200) * (1.25 - 0.35 * pane)
        shards.append(
            modes(
                stage,
                0.25,
                high * np.array([1, 1.47, 2.1]),
                np.array([1.0, 0.7, 0.5]),
                stage.log_draw(0.008, 0.045) * np.array([1, 0.8, 0.6]),
            )
        )
    falls = start + np.abs(dice.rng.exponential(spill / 2.2, round(60 + 160 * pane)))
    sizes = dice.rng.lognormal(-1.6, 0.7, len(falls)) * 0.5 ** ((falls - start) / spill)
    canvas = normalised(shower(dice, shards, falls, sizes, stage.size), 0.55)
    add(canvas, normalised(crash, 1.0), round(start * stage.rate))
    add(canvas, thud, round(start * stage.rate), 0.5)
    return Take(canvas, Facts(qualities=worded(pane, ("small",), ("large",))))


def hammer(stage: Stage) -> Take:
    """Steel on steel: many clashing high modes with no common pitch, and the dull thud under them."""
    dice, size = aside(stage), stage.draw(0, 1)
    low, ring = 1500 * (0.4**size) * stage.log_draw(0.85, 1.15), stage.log_draw(0.03, 0.22)
    ratios = np.cumprod(np.concatenate([[1.0], stage.rng.uniform(1.12, 1.5, 9)]))
    gains, halves = stage.rng.uniform(0.4, 1.0, 10), ring * ratios**-0.3

    def blow() -> Array:
        tone = modes(
            stage,
            min(stage.seconds, 0.1 + 8 * ring),
            low * ratios,
            gains * stage.rng.uniform(0.7, 1.3, 10),
            halves,
        )
        add(
            tone,
            modes(
                stage,
                0.1,
                np.array([130.0, 220]) * (1.4 - 0.6 * size),
                np.array([2.0, 1.5]),
                np.array([0.015, 0.01]),
            ),
            0,
        )
        add(tone, burst(dice, 0.04, 1000, 7800, 0.004, 0.0003), 0, 1.5)
        return tone

    return beaten(
        stage, stage.log_draw(0.9, 4.5), 10, 0.15, blow, worded(size, ("small",), ("heavy",))
    )


def coin(stage: Stage) -> Take:
    """Coins on a hard floor: each bounces quicker and quicker, then rattles flat; thin high ringing modes."""
    dice, canvas, coins = aside(stage), stage.silence(), stage.integer(1, 4)
    start, size = first_onset(stage), stage.draw(0, 1)
    for _ in range(coins):
        high, ring = 4600 * 0.5**size * stage.log_draw(0.85, 1.2), stage.log_draw(0.02, 0.07)
        ting = modes(
            stage,
            0.4,
            high * np.array([1, 1.37, 1.73]),
            np.array([1.0, 0.7, 0.5]),
            ring * np.array([1, 0.9, 0.7]),
        )
        add(ting, burst(dice, 0.01, 2000, 7800, 0.0015, 0.0002), 0, 0.5)
        fall, keep = stage.draw(0.12, 0.34) * min(1.0, stage.seconds / 2), stage.draw(0.6, 0.82)
        gaps = fall * keep ** np.arange(40)
        times = (
            start
            + np.concatenate([[0.0], np.cumsum(np.maximum(gaps, 0.022))])[
                : 10 + int(stage.draw(0, 14))
            ]
        )
        canvas += shower(
            dice,
            [ting],
            times,
            0.9 ** np.arange(len(times)) * dice.rng.uniform(0.8, 1.1, len(times)),
            stage.size,
        )
        start += stage.draw(0.05, 0.25) * stage.seconds
        if start > 0.7 * stage.seconds:
            break
    return Take(canvas, Facts(qualities=worded(size, ("small",), ("large", "heavy"))))


def gong(stage: Stage) -> Take:
    """A struck gong: a low hum at once, then the shimmer that blooms as the metal passes energy upwards."""
    dice, size = aside(stage), stage.draw(0, 1)
    low, ring = (
        230 * 0.28**size * stage.log_draw(0.9, 1.1),
        stage.log_draw(0.5, 1.4) * (0.7 + 0.6 * size),
    )
    ratios = 1 + np.cumsum(stage.rng.uniform(0.18, 0.6, 15))
    hum = modes(
        stage,
        stage.seconds,
        low * np.concatenate([[1.0], ratios]),
        np.concatenate([[1.0], ratios**-0.5 * 0.7]),
        ring * np.concatenate([[1.0], ratios**-0.45]),
    )
    bloom, t = stage.draw(0.08, 0.35), stage.clock(stage.seconds)
    shimmer = filtered(air(dice, stage.seconds), stage.rate, 8 * low, 5500)
    peaks = mouth(
        shimmer,
        stage.rate,
        tuple((low * r, 6.0, 3.0) for r in 9 * np.cumprod(stage.rng.uniform(1.1, 1.35, 7))),
    )
    wash = (0.15 * shimmer + peaks) * (1 - 0.5 ** (t / bloom)) * 0.5 ** (t / (0.5 * ring))
    tone = normalised(hum) + stage.draw(0.25, 0.6) * normalised(wash)
    add(tone, modes(stage, 0.2, np.array([90.0, 160, 250]), np.ones(3), np.full(3, 0.02)), 0, 0.25)
    qualities = worded(size, ("small",), ("large", "deep"))
    return chorus(stage, min(0.8, 0.5 * stage.seconds), (0.6, 2.5), 3, lambda _: tone, qualities)


KINDS: tuple[Kind, ...] = (
    effect(
        bell,
        ("church bell", "bell", "tower bell", "chapel bell"),
        ("ringing", "tolling", "chiming", "being rung"),
    ),
    effect(
        glass,
        ("glass", "wine glass", "drinking glass", "~glass"),
        ("clinking", "being tapped", "chinking", "ringing after a tap"),
        far=False,
    ),
    effect(
        shatter,
        ("window", "pane of glass", "~glass", "glass bottle"),
        ("shattering", "breaking", "smashing to pieces", "breaking into shards"),
    ),
    effect(
        hammer,
        ("hammer", "blacksmith's hammer", "steel hammer"),
        ("hitting metal", "striking an anvil", "clanging on steel", "pounding on iron"),
    ),
    effect(
        coin,
        ("~coins", "~pieces of change", "~metal coins"),
        ("dropping on the floor", "falling and bouncing", "clinking on a table"),
        far=False,
    ),
    effect(
        gong,
        ("gong", "temple gong", "bronze gong", "metal gong"),
        ("being struck", "sounding", "crashing and shimmering", "resonating"),
    ),
)
