"""What a voice is and what every voice is made of; and the voices of bars and circuits. Others: `strings`, `winds`.

Knows how to add partials at little cost: decaying ones (`rings`) and steady ones (`partials`). Refuses to know melodies,
captions and clips.

A factory draws one instrument from the dice (size, brightness, player) and returns a `Voice`; every tone of a clip comes from
the same one. Noise has dice of its own, so that a seed sounds alike at every sample rate. Letters: T samples, K partials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..events import air, aside
from ..synth import Array, Stage, filtered, swell

Tone: TypeAlias = Callable[[float, float, float], Array]
"""(fundamental Hz, seconds held, strength 0..1) -> samples `[T]`, a little longer than held (the release)."""

_POINTS = 16384
TOP = 7600.0  # nothing is made above: what a 16 kHz clip could not hold


def _as_is(x: Array) -> Array:
    return x


@dataclass(frozen=True)
class Voice:
    """One instrument: how it makes a tone, what is true of its make, and what its amplifier does to a whole clip `[T]`."""

    tone: Tone
    qualities: tuple[str, ...] = ()
    finish: Callable[[Array], Array] = _as_is


def rings(
    stage: Stage,
    seconds: float,
    hertz: Array,
    gains: Array,
    half_lives: Array,
    phases: Array | float = 0.0,
) -> Array:
    """Sum of K decaying sines `[T]` from four `[K]` arrays: like `modes`, without an attack, for many partials at once.

    A decaying sine is a power series z**n, and z**(aB + b) = z**(aB) z**b: the sum over partials is then a matrix product of a
    coarse table [T/B, K] and a fine one [K, B], some forty times cheaper than a sine per sample.
    """
    keep = hertz < min(TOP, 0.47 * stage.rate)
    n, block = stage.samples(seconds), 256
    rate = stage.rate
    log_z = -np.log(2) / (half_lives[keep] * rate) + 2j * np.pi * hertz[keep] / rate
    first = gains[keep] * np.exp(1j * np.broadcast_to(phases, hertz.shape)[keep])
    coarse = first * np.exp(np.outer(np.arange(0, n, block), log_z))
    fine = np.exp(np.outer(log_z, np.arange(block)))
    return np.asarray(coarse.imag @ fine.real + coarse.real @ fine.imag).ravel()[:n]


def partials(phase: Array, gains: Array) -> Array:
    """Sum of gains[k] * sin((k + 1) * phase) over K harmonics, read between the points of one period of the wave (phase >= 0).

    The cost does not grow with K. Straight lines between 16384 points leave an error below -70 dB up to the sixtieth harmonic.
    """
    spectrum = np.zeros(_POINTS // 2 + 1, complex)
    spectrum[1 : len(gains) + 1] = -0.5j * _POINTS * gains
    wave = np.fft.irfft(spectrum)
    slope = np.roll(wave, -1) - wave
    place = phase * (_POINTS / (2 * np.pi))
    point = place.astype(np.int64)
    share = place - point
    point &= _POINTS - 1
    return np.asarray(wave[point] + share * slope[point])


def orders(stage: Stage, hertz: float, most: int = 60) -> Array:
    """Harmonic numbers 1..K whose frequency stays below the top, with room for vibrato."""
    top = min(TOP, 0.46 * stage.rate)
    return np.arange(1.0, min(most, int(top / hertz)) + 1)


def damped(stage: Stage, seconds: float, release: float, attack: float = 0.002) -> Array:
    """Envelope `[T]` of a key: quick attack, held, released."""
    return swell(stage, seconds + release, attack, release)


def burst(dice: Stage, seconds: float, low: float, high: float, half_life: float) -> Array:
    """A puff of noise `[T]` between two frequencies that dies away: hammers, picks, breath."""
    length = min(seconds, 10 * half_life)
    noise = filtered(air(dice, length), dice.rate, low, min(high, 0.45 * dice.rate))
    out = np.zeros(dice.samples(seconds))
    out[: len(noise)] = noise * 0.5 ** (dice.clock(length) / half_life)
    return out


def _struck(
    stage: Stage, ratios: tuple[float, ...], gains: tuple[float, ...], half: float, click: float
) -> Tone:
    """Bars and tongues: a few modes at fixed ratios, high ones brief, and the tick of the mallet."""
    noise, hard = aside(stage), stage.draw(0.4, 1.3)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        r = np.array(ratios)
        lives = half * (700 / hertz) ** 0.6 / r**0.7
        length = seconds + 0.15
        x = rings(stage, length, r * hertz, np.array(gains) * np.where(r > 1, hard, 1.0), lives)
        x += click * hard * burst(noise, length, 1000, 5000, 0.003)[: len(x)]
        return strength * x * swell(stage, length, 0.001, 0.12)

    return tone


def xylophone(stage: Stage) -> Voice:
    """Hard wooden bars: dry and bright, the twelfth above rings along."""
    return Voice(
        _struck(
            stage, (1.0, 3.0, 6.1, 9.8), (1, 0.5, 0.25, 0.12), stage.log_draw(0.045, 0.09), 0.35
        ),
        ("wooden",),
    )


def marimba(stage: Stage) -> Voice:
    """Deep wooden bars over resonators: soft, round, the double octave above rings along briefly."""
    return Voice(
        _struck(stage, (1.0, 3.95, 9.3), (1, 0.22, 0.06), stage.log_draw(0.12, 0.22), 0.1),
        ("wooden",),
    )


def music_box(stage: Stage) -> Voice:
    """Steel tongues: a clamped bar's modes (1, 6.27, 17.5), thin and long."""
    return Voice(
        _struck(
            stage, (1.0, 2.01, 6.27, 17.5), (1, 0.15, 0.4, 0.1), stage.log_draw(0.45, 0.9), 0.25
        )
    )


def lead(stage: Stage) -> Voice:
    """Analogue synthesizer: a saw or hollow square wave, doubled, whose filter opens and closes on every tone."""
    square, apart = stage.rng.random() < 0.4, stage.draw(2, 9)
    low, high, close = (
        stage.log_draw(300, 900),
        stage.log_draw(2500, 6500),
        stage.log_draw(0.08, 0.8),
    )

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.05)
        k = orders(stage, hertz * 1.02)
        gains = np.where((k % 2 == 1) | (not square), 1 / k, 0.0)
        dark, light = (
            gains / (1 + (k * hertz / cut) ** 4) ** 0.5
            for cut in (max(low, hertz), max(high, 2 * hertz))
        )
        wide = 0.5 ** (t / close)
        x = np.zeros(len(t))
        for cents in (-apart / 2, apart / 2):
            phase = 2 * np.pi * hertz * 2 ** (cents / 1200) * t
            x += (1 - wide) * partials(phase, dark) + wide * partials(phase, light)
        return strength * x * swell(stage, seconds + 0.05, 0.004, 0.05)

    return Voice(tone, ("electronic", "hollow") if square else ("electronic",))


def pad(stage: Stage) -> Voice:
    """Soft synthesizer: three saw waves that drift apart, dull, swelling in and out."""
    apart, cut = stage.draw(8, 18), stage.log_draw(500, 2200)
    sweep, rise = stage.draw(0.1, 0.4), stage.draw(0.15, 0.5)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.4)
        k = orders(stage, hertz * 1.02, 30)
        spectra = [
            1 / k / (1 + (k * hertz / c) ** 4) ** 0.5
            for c in (max(cut, hertz), 2.5 * max(cut, hertz))
        ]
        wide = 0.5 - 0.5 * np.cos(2 * np.pi * sweep * t)
        x = np.zeros(len(t))
        for i, cents in enumerate((-apart, 0.0, apart)):
            x += partials(
                2 * np.pi * hertz * 2 ** (cents / 1200) * t + 2.0 * i, (spectra[0] + spectra[1]) / 2
            )
        x *= 0.7 + 0.3 * wide
        return strength * x * swell(stage, seconds + 0.4, min(rise, 0.4 * seconds), 0.4)

    return Voice(tone, ("warm",) if cut < 900 else ())
