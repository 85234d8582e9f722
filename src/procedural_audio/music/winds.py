"""Voices of instruments that breathe: given a pitch, a length and a strength, each makes one tone.

Knows edges, lips, pipes, reeds and throats. Refuses to know melodies, captions and clips.

A factory draws one instrument from the dice and returns a `Voice`; every tone of a clip comes from the same one.
"""

from __future__ import annotations

import numpy as np

from ..events import air, aside, contour
from ..sources.formants import Vowel, mouth
from ..synth import Array, Stage, filtered, glide, resonate, swell
from .instruments import Voice, burst, orders, partials, rings


def flute(stage: Stage) -> Voice:
    """Blown edge: few harmonics, breath around them, a slow tremble of the air."""
    noise, breath = aside(stage), stage.log_draw(0.03, 0.14)
    rate_hz, depth, rich = stage.draw(4.2, 5.8), stage.draw(0.05, 0.22), stage.draw(0.5, 1.3)
    attack = stage.draw(0.05, 0.12)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.08)
        tremble = np.sin(2 * np.pi * rate_hz * t) * np.clip((t - 0.15) / 0.4, 0, 1)
        phase = glide(hertz * 2 ** (6 * tremble / 1200), stage.rate)
        gains = (
            np.array([1.0, 0.42, 0.2, 0.06, 0.03])
            * rich ** np.arange(5)
            * min(1.0, (700 / hertz) ** 0.5) ** np.arange(5)
        )
        x = partials(phase, gains[: len(orders(stage, hertz * 1.02))]) * (1 + depth * tremble)
        blown = air(noise, seconds + 0.08)[: len(t)]
        hiss = filtered(blown, stage.rate, 900, 6800) * 0.5 + 4 * resonate(
            blown, stage.rate, hertz, 0.25 * hertz
        )
        chiff = 1 + 3 * 0.5 ** (t / 0.03)
        return (
            strength
            * (x + breath * hiss * chiff)
            * swell(stage, seconds + 0.08, min(attack, 0.4 * seconds), 0.08)
        )

    return Voice(tone, ("breathy",) if breath > 0.09 else ())


def trumpet(stage: Stage) -> Voice:
    """Brass: the harder the lips blow, the more high harmonics; each tone scoops up into place."""
    muted, bright = stage.rng.random() < 0.2, stage.draw(0.7, 1.3)
    scoop, bend = stage.draw(20, 90), stage.draw(3, 9)
    peak = stage.draw(1100, 1500) * (1.7 if muted else 1.0)
    attack = stage.draw(0.025, 0.06)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.06)
        cents = bend * np.sin(2 * np.pi * 5.3 * t) * np.clip(
            (t - 0.4) / 0.4, 0, 1
        ) - scoop * 0.5 ** (t / 0.012)
        phase = glide(hertz * 2 ** (cents / 1200), stage.rate)
        f = orders(stage, hertz * 1.01) * hertz
        hard = np.minimum((f / peak) ** (1.6 if muted else 0.8), 1.0) * np.exp(
            -np.maximum(f - peak, 0) / (1500 * bright)
        )
        soft = hard * np.exp(-f / 900)
        blow = (
            contour(len(t), (0, 0), (min(0.3, 0.07 / seconds), 1), (0.8, 0.75), (1, 0.2)) * strength
        )
        x = blow * partials(phase, hard) + (1 - blow) * partials(phase, soft / (soft.max() + 1e-9))
        return strength * x * swell(stage, seconds + 0.06, attack, 0.06)

    return Voice(tone, ("muted",) if muted else ())


def organ(stage: Stage) -> Voice:
    """Pipe organ: ranks of pipes at the octave, twelfth and fifteenth above, steady as the wind, a puff at the start."""
    noise, ranks = aside(stage), np.array([1.0, 2.0, 3.0, 4.0, 6.0, 8.0])
    stops = np.array(
        [
            1.0,
            *(
                stage.draw(lo, hi)
                for lo, hi in ((0.4, 1), (0, 0.5), (0.2, 0.8), (0, 0.3), (0, 0.45))
            ),
        ]
    )
    off = aside(stage).rng.normal(0, 0.0007, 24)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        pipe = np.array([1.0, 0.35, 0.16, 0.07])
        f = np.outer(ranks * hertz, np.arange(1.0, 5.0)).ravel() * (1 + off)
        gains = np.outer(stops, pipe).ravel() * np.where(f < 5000, 1.0, np.exp(-(f - 5000) / 900))
        x = rings(stage, seconds + 0.15, f, gains, np.full(24, 1e6), np.arange(24.0) ** 2)
        x += 0.5 * burst(noise, seconds + 0.15, hertz, 6 * hertz, 0.02)[: len(x)]
        return strength * x * swell(stage, seconds + 0.15, 0.04, 0.15)

    return Voice(tone)


def accordion(stage: Stage) -> Voice:
    """Free reeds in pairs a few cents apart: buzzing, beating."""
    apart, dull = stage.draw(6, 16), stage.draw(1200, 2600)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.07)
        f = orders(stage, hertz * 1.02)
        gains = f**-0.5 * np.exp(-f * hertz / dull)
        x = sum(
            (
                partials(2 * np.pi * hertz * 2 ** (c / 1200) * t, gains)
                for c in (-apart / 2, apart / 2)
            ),
            np.zeros(len(t)),
        )
        return strength * x * swell(stage, seconds + 0.07, 0.05, 0.07)

    return Voice(tone)


_AAH: Vowel = ((710, 90, 1.0), (1150, 110, 0.7), (2750, 160, 0.25), (3500, 200, 0.15))
_OOH: Vowel = ((330, 70, 1.0), (800, 90, 0.35), (2450, 150, 0.06), (3300, 200, 0.04))


def choir(stage: Stage) -> Voice:
    """Four singers on one vowel, each with a vibrato and a slow drift of their own; the mouths work on the whole clip."""
    noise, head, open_mouth = aside(stage), stage.draw(0.97, 1.2), stage.rng.random() < 0.6
    vowel = tuple((f * head, w, g) for f, w, g in (_AAH if open_mouth else _OOH))
    singers = aside(stage).rng.uniform((4.8, 0.5, 0, 0), (6.2, 1.4, 6.28, 6.28), (4, 4))

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.2)
        k = np.arange(1.0, min(40, int(4600 / hertz)) + 1)
        x = 0.05 * air(noise, seconds + 0.2)[: len(t)]
        for quick, slow, a, b in singers:
            # The phase of a tone that sways by 22 cents `quick` times a second and by 8 cents `slow` times.
            sway = 0.0128 / quick * np.sin(2 * np.pi * quick * t + a) + 0.0046 / slow * np.sin(
                2 * np.pi * slow * t + b
            )
            x += partials(2 * np.pi * hertz * (t + sway / (2 * np.pi) + 0.01 * (a + b)), k**-1.1)
        return strength * x * swell(stage, seconds + 0.2, min(0.18, 0.4 * seconds), 0.2)

    return Voice(tone, finish=lambda x: mouth(x, stage.rate, vowel))
