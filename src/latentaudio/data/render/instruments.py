"""Voices of musical instruments: given a pitch, a length and a strength, each makes one tone.

Knows strings, pipes, brass, bars, reeds and circuits. Refuses to know melodies, captions and clips.

A factory draws one instrument from the dice (its size, brightness, player) and returns a `Voice`; every tone of a clip comes from
the same one. Noise has dice of its own, so that a seed sounds alike at every sample rate. Letters: T samples, K partials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.signal import resample_poly

from .series import air, aside, contour
from .synth import Array, Stage, filtered, glide, resonate, swell, wander
from .vocal import Vowel, mouth

Tone: TypeAlias = Callable[[float, float, float], Array]
"""(fundamental Hz, seconds held, strength 0..1) -> samples `[T]`, a little longer than held (the release)."""

_PIECE = 4096
_TOP = 7600.0  # nothing is made above: what a 16 kHz clip could not hold


def _as_is(x: Array) -> Array:
    return x


@dataclass(frozen=True)
class Voice:
    """One instrument: how it makes a tone, what is true of its make, and what its amplifier does to a whole clip `[T]`."""

    tone: Tone
    qualities: tuple[str, ...] = ()
    finish: Callable[[Array], Array] = _as_is


def rings(stage: Stage, seconds: float, hertz: Array, gains: Array, half_lives: Array, phases: Array | float = 0.0) -> Array:
    """Sum of K decaying sines from four `[K]` arrays, as `modes`, for many partials at once.

    A decaying sine is a power series z**n, and z**(aB + b) = z**(aB) z**b: the sum over partials is then a matrix product of a
    coarse table [T/B, K] and a fine one [K, B], some forty times cheaper than a sine per sample.
    """
    keep = hertz < min(_TOP, 0.47 * stage.rate)
    n, block = stage.samples(seconds), 256
    rate = stage.rate
    log_z = -np.log(2) / (half_lives[keep] * rate) + 2j * np.pi * hertz[keep] / rate
    first = gains[keep] * np.exp(1j * np.broadcast_to(phases, hertz.shape)[keep])
    coarse = first * np.exp(np.outer(np.arange(0, n, block), log_z))
    fine = np.exp(np.outer(log_z, np.arange(block)))
    return np.asarray(coarse.imag @ fine.real + coarse.real @ fine.imag).ravel()[:n]


def partials(phase: Array, gains: Array) -> Array:
    """Sum of gains[k] * sin((k + 1) * phase) over K harmonics, by Clenshaw's recurrence: two sines for all of them.

    Works through the clip in pieces that stay in the processor's cache, which doubles the speed.
    """
    out = np.empty(len(phase))
    for start in range(0, len(phase), _PIECE):
        piece = phase[start : start + _PIECE]
        double, now, after = 2 * np.cos(piece), np.zeros(len(piece)), np.zeros(len(piece))
        for gain in gains[::-1]:
            # after <- gain + double * now - after, then the two change names
            np.subtract(gain, after, out=after)
            after += double * now
            now, after = after, now
        out[start : start + _PIECE] = now * np.sin(piece)
    return out


def _orders(stage: Stage, hertz: float, most: int = 60) -> Array:
    """Harmonic numbers 1..K whose frequency stays below the top, with room for vibrato."""
    top = min(_TOP, 0.46 * stage.rate)
    return np.arange(1.0, min(most, int(top / hertz)) + 1)


def _damped(stage: Stage, seconds: float, release: float, attack: float = 0.002) -> Array:
    """Envelope `[T]` of a key: quick attack, held, released."""
    return swell(stage, seconds + release, attack, release)


def _burst(dice: Stage, seconds: float, low: float, high: float, half_life: float) -> Array:
    """A puff of noise `[T]` between two frequencies that dies away: hammers, picks, breath."""
    length = min(seconds, 10 * half_life)
    noise = filtered(air(dice, length), dice.rate, low, min(high, 0.45 * dice.rate))
    out = np.zeros(dice.samples(seconds))
    out[: len(noise)] = noise * 0.5 ** (dice.clock(length) / half_life)
    return out


def piano(stage: Stage) -> Voice:
    """Struck strings: stiff (partials a little sharp), each decaying fast, then slowly."""
    noise, bright, ring = aside(stage), stage.uniform(0, 1), stage.log_uniform(0.7, 1.6)
    stiff = stage.log_uniform(1.5e-4, 5e-4)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        k = _orders(stage, hertz, 40)
        b = stiff * (hertz / 262) ** 0.8
        f = hertz * k * np.sqrt((1 + b * k**2) / (1 + b))
        gains = (0.25 + np.abs(np.sin(np.pi * k * 0.12))) / k**0.6 * np.exp(-f / (700 + 1900 * bright * strength))
        half = ring * 0.55 * (262 / hertz) ** 0.45 / (1 + 0.12 * k)
        both = np.concatenate
        x = rings(stage, seconds + 0.2, both([f, f * 1.0002]), both([0.75 * gains, 0.25 * gains]), both([half, 3.5 * half]))
        x += 0.25 * strength * _burst(noise, seconds + 0.2, 60, 900, 0.012)
        return x * _damped(stage, seconds, 0.2, 0.002 + 0.003 * (1 - bright))

    return Voice(tone, ("bright",) if bright > 0.75 else (("mellow",) if bright < 0.25 else ()))


def _plucked(stage: Stage, where: float, bright: float, ring: float, seed: Stage) -> Tone:
    """An ideal string plucked at a share `where` of its length: harmonic k starts as sin(k pi where)/k, high ones die first."""
    shake = np.clip(1 + 0.3 * seed.rng.standard_normal(80), 0.2, 2.0)
    phases = seed.rng.uniform(0, 2 * np.pi, 80)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        k = _orders(stage, hertz, 70)
        n = len(k)
        gains = shake[:n] * np.abs(np.sin(np.pi * k * where)) / k * np.exp(-k * hertz / (500 + 4500 * bright * strength))
        gains[0] = max(gains[0], 0.5 * gains.max())
        half = 1 / (1 / (ring * (196 / hertz) ** 0.4) + (k * hertz / 1500) ** 1.5 / 1.2)
        f = hertz * k * np.sqrt((1 + 4e-5 * k**2) / (1 + 4e-5))
        return rings(stage, seconds + 0.12, f, gains, half, phases[:n]) * _damped(stage, seconds, 0.12, 0.0015)

    return tone


def guitar(stage: Stage) -> Voice:
    """Plucked strings on a wooden box: the string, the pick, and the two lowest notes of the box."""
    noise, bright = aside(stage), stage.uniform(0.1, 1)
    string = _plucked(stage, stage.uniform(0.12, 0.3), bright, stage.log_uniform(0.5, 1.0), aside(stage))
    box = np.array([stage.uniform(95, 120), stage.uniform(190, 230)])

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        x = string(hertz, seconds, strength)
        length = len(x) / stage.rate
        x += 0.12 * rings(stage, length, box, np.array([1.0, 0.7]), np.array([0.03, 0.025]))[: len(x)]
        x += (0.03 + 0.07 * bright) * _burst(noise, length, 1500, 6500, 0.006)[: len(x)]
        return x

    return Voice(tone, ("steel-string",) if bright > 0.65 else (("nylon-string",) if bright < 0.35 else ("acoustic",)))


def electric_guitar(stage: Stage) -> Voice:
    """Long plucked strings through an overdriven amplifier, which works on the whole clip: chords growl."""
    drive = stage.log_uniform(4, 30)
    string = _plucked(stage, stage.uniform(0.15, 0.35), 0.7, stage.log_uniform(1.2, 2.5), aside(stage))
    cabinet = stage.uniform(3200, 5200)

    def finish(x: Array) -> Array:
        # Clipping makes new harmonics; at four times the rate they fold back far less, and the loudspeaker removes the rest.
        wide = np.tanh(drive * resample_poly(x / (np.abs(x).max() + 1e-9), 4, 1))
        return filtered(np.asarray(resample_poly(wide, 1, 4))[: len(x)], stage.rate, 70, cabinet, order=3)

    return Voice(string, ("distorted",) if drive > 9 else ("overdriven",), finish)


def bass(stage: Stage) -> Voice:
    """Electric bass: a thick string, dull, with a soft thump of the finger."""
    noise, bright = aside(stage), stage.uniform(0.02, 0.22)
    string = _plucked(stage, stage.uniform(0.2, 0.4), bright, stage.log_uniform(0.35, 0.8), aside(stage))

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        x = string(hertz, seconds, strength)
        return x + 0.08 * _burst(noise, len(x) / stage.rate, 80, 1200, 0.01)[: len(x)]

    return Voice(tone)


def _bowed(stage: Stage, body: Vowel, attack: float) -> Voice:
    """Bowed strings: a saw-toothed wave with vibrato that the body's resonances turn into a shimmer of level."""
    noise, rate_hz, cents = aside(stage), stage.uniform(4.8, 6.4), stage.uniform(10, 26)
    grain, dull = stage.uniform(0.02, 0.06), stage.uniform(1800, 4500)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.1)
        depth = cents * np.clip((t - 0.12) / 0.3, 0, 1)
        k = _orders(stage, hertz * 1.02)
        phase = glide(hertz * 2 ** (depth / 1200 * np.sin(2 * np.pi * rate_hz * t)), stage.rate)
        x = partials(phase, k**-0.9 * np.exp(-k * hertz / dull))
        rough = air(noise, seconds + 0.1)[: len(t)]
        x += grain * (1 + partials(phase, np.ones(1))) * filtered(rough, stage.rate, 900, 6500)
        x = 0.3 * x + mouth(x, stage.rate, body)
        level = 1 + 0.08 * wander(noise, seconds + 0.1, 7.0)[: len(t)]
        return strength * x * level * swell(stage, seconds + 0.1, min(attack, 0.4 * seconds), 0.1)

    return Voice(tone)


def violin(stage: Stage) -> Voice:
    """Small bowed strings."""
    size = stage.uniform(0.93, 1.07)
    peaks = ((290, 60, 0.9), (470, 70, 1.0), (560, 80, 0.7), (1000, 200, 0.5), (2600, 900, 1.1), (4200, 900, 0.3))
    return _bowed(stage, [(f * size, w, g) for f, w, g in peaks], stage.log_uniform(0.05, 0.18))


def cello(stage: Stage) -> Voice:
    """Large bowed strings."""
    size = stage.uniform(0.93, 1.07)
    peaks = ((105, 30, 0.8), (190, 40, 1.0), (240, 50, 0.8), (480, 120, 0.6), (1000, 400, 0.4), (2000, 600, 0.25))
    return _bowed(stage, [(f * size, w, g) for f, w, g in peaks], stage.log_uniform(0.06, 0.2))


def flute(stage: Stage) -> Voice:
    """Blown edge: few harmonics, breath around them, a slow tremble of the air."""
    noise, breath = aside(stage), stage.log_uniform(0.03, 0.14)
    rate_hz, depth, rich = stage.uniform(4.2, 5.8), stage.uniform(0.05, 0.22), stage.uniform(0.5, 1.3)
    attack = stage.uniform(0.05, 0.12)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.08)
        tremble = np.sin(2 * np.pi * rate_hz * t) * np.clip((t - 0.15) / 0.4, 0, 1)
        phase = glide(hertz * 2 ** (6 * tremble / 1200), stage.rate)
        gains = np.array([1.0, 0.42, 0.2, 0.06, 0.03]) * rich ** np.arange(5) * min(1.0, (700 / hertz) ** 0.5) ** np.arange(5)
        x = partials(phase, gains[: len(_orders(stage, hertz * 1.02))]) * (1 + depth * tremble)
        blown = air(noise, seconds + 0.08)[: len(t)]
        hiss = filtered(blown, stage.rate, 900, 6800) * 0.5 + 4 * resonate(blown, stage.rate, hertz, 0.25 * hertz)
        chiff = 1 + 3 * 0.5 ** (t / 0.03)
        return strength * (x + breath * hiss * chiff) * swell(stage, seconds + 0.08, min(attack, 0.4 * seconds), 0.08)

    return Voice(tone, ("breathy",) if breath > 0.09 else ())


def trumpet(stage: Stage) -> Voice:
    """Brass: the harder the lips blow, the more high harmonics; each tone scoops up into place."""
    muted, bright = stage.rng.random() < 0.2, stage.uniform(0.7, 1.3)
    scoop, bend = stage.uniform(20, 90), stage.uniform(3, 9)
    peak = stage.uniform(1100, 1500) * (1.7 if muted else 1.0)
    attack = stage.uniform(0.025, 0.06)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.06)
        cents = bend * np.sin(2 * np.pi * 5.3 * t) * np.clip((t - 0.4) / 0.4, 0, 1) - scoop * 0.5 ** (t / 0.012)
        phase = glide(hertz * 2 ** (cents / 1200), stage.rate)
        f = _orders(stage, hertz * 1.01) * hertz
        hard = np.minimum((f / peak) ** (1.6 if muted else 0.8), 1.0) * np.exp(-np.maximum(f - peak, 0) / (1500 * bright))
        soft = hard * np.exp(-f / 900)
        blow = contour(len(t), (0, 0), (min(0.3, 0.07 / seconds), 1), (0.8, 0.75), (1, 0.2)) * strength
        x = blow * partials(phase, hard) + (1 - blow) * partials(phase, soft / (soft.max() + 1e-9))
        return strength * x * swell(stage, seconds + 0.06, attack, 0.06)

    return Voice(tone, ("muted",) if muted else ())


def organ(stage: Stage) -> Voice:
    """Pipe organ: ranks of pipes at the octave, twelfth and fifteenth above, steady as the wind, a puff at the start."""
    noise, ranks = aside(stage), np.array([1.0, 2.0, 3.0, 4.0, 6.0, 8.0])
    stops = np.array([1.0, *(stage.uniform(lo, hi) for lo, hi in ((0.4, 1), (0, 0.5), (0.2, 0.8), (0, 0.3), (0, 0.45)))])
    off = aside(stage).rng.normal(0, 0.0007, 24)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        pipe = np.array([1.0, 0.35, 0.16, 0.07])
        f = np.outer(ranks * hertz, np.arange(1.0, 5.0)).ravel() * (1 + off)
        gains = np.outer(stops, pipe).ravel() * np.where(f < 5000, 1.0, np.exp(-(f - 5000) / 900))
        x = rings(stage, seconds + 0.15, f, gains, np.full(24, 1e6), np.arange(24.0) ** 2)
        x += 0.5 * _burst(noise, seconds + 0.15, hertz, 6 * hertz, 0.02)[: len(x)]
        return strength * x * swell(stage, seconds + 0.15, 0.04, 0.15)

    return Voice(tone)


def accordion(stage: Stage) -> Voice:
    """Free reeds in pairs a few cents apart: buzzing, beating."""
    apart, dull = stage.uniform(6, 16), stage.uniform(1200, 2600)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.07)
        f = _orders(stage, hertz * 1.02)
        gains = f**-0.5 * np.exp(-f * hertz / dull)
        x = sum((partials(2 * np.pi * hertz * 2 ** (c / 1200) * t, gains) for c in (-apart / 2, apart / 2)), np.zeros(len(t)))
        return strength * x * swell(stage, seconds + 0.07, 0.05, 0.07)

    return Voice(tone)


def _struck(stage: Stage, ratios: tuple[float, ...], gains: tuple[float, ...], half: float, click: float) -> Tone:
    """Bars and tongues: a few modes at fixed ratios, high ones brief, and the tick of the mallet."""
    noise, hard = aside(stage), stage.uniform(0.4, 1.3)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        r = np.array(ratios)
        lives = half * (700 / hertz) ** 0.6 / r**0.7
        length = seconds + 0.3
        x = rings(stage, length, r * hertz, np.array(gains) * np.where(r > 1, hard, 1.0), lives)
        x += click * hard * _burst(noise, length, 1000, 5000, 0.003)[: len(x)]
        return strength * x * swell(stage, length, 0.001, 0.2)

    return tone


def xylophone(stage: Stage) -> Voice:
    """Hard wooden bars: dry and bright, the twelfth above rings along."""
    return Voice(_struck(stage, (1.0, 3.0, 6.1, 9.8), (1, 0.5, 0.25, 0.12), stage.log_uniform(0.045, 0.09), 0.35), ("wooden",))


def marimba(stage: Stage) -> Voice:
    """Deep wooden bars over resonators: soft, round, the double octave above rings along briefly."""
    return Voice(_struck(stage, (1.0, 3.95, 9.3), (1, 0.22, 0.06), stage.log_uniform(0.12, 0.22), 0.1), ("wooden",))


def music_box(stage: Stage) -> Voice:
    """Steel tongues: a clamped bar's modes (1, 6.27, 17.5), thin and long."""
    return Voice(_struck(stage, (1.0, 2.01, 6.27, 17.5), (1, 0.15, 0.4, 0.1), stage.log_uniform(0.45, 0.9), 0.25))


def lead(stage: Stage) -> Voice:
    """Analogue synthesizer: a saw or hollow square wave, doubled, whose filter opens and closes on every tone."""
    square, apart = stage.rng.random() < 0.4, stage.uniform(2, 9)
    low, high, close = stage.log_uniform(300, 900), stage.log_uniform(2500, 6500), stage.log_uniform(0.08, 0.8)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.05)
        k = _orders(stage, hertz * 1.02)
        gains = np.where((k % 2 == 1) | (not square), 1 / k, 0.0)
        dark, light = (gains / (1 + (k * hertz / cut) ** 4) ** 0.5 for cut in (max(low, hertz), max(high, 2 * hertz)))
        wide = 0.5 ** (t / close)
        x = np.zeros(len(t))
        for cents in (-apart / 2, apart / 2):
            phase = 2 * np.pi * hertz * 2 ** (cents / 1200) * t
            x += (1 - wide) * partials(phase, dark) + wide * partials(phase, light)
        return strength * x * swell(stage, seconds + 0.05, 0.004, 0.05)

    return Voice(tone, ("electronic", "hollow") if square else ("electronic",))


def pad(stage: Stage) -> Voice:
    """Soft synthesizer: three saw waves that drift apart, dull, swelling in and out."""
    apart, cut = stage.uniform(8, 18), stage.log_uniform(500, 2200)
    sweep, rise = stage.uniform(0.1, 0.4), stage.uniform(0.15, 0.5)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.4)
        k = _orders(stage, hertz * 1.02, 30)
        spectra = [1 / k / (1 + (k * hertz / c) ** 4) ** 0.5 for c in (max(cut, hertz), 2.5 * max(cut, hertz))]
        wide = 0.5 - 0.5 * np.cos(2 * np.pi * sweep * t)
        x = np.zeros(len(t))
        for i, cents in enumerate((-apart, 0.0, apart)):
            x += partials(2 * np.pi * hertz * 2 ** (cents / 1200) * t + 2.0 * i, (spectra[0] + spectra[1]) / 2)
        x *= 0.7 + 0.3 * wide
        return strength * x * swell(stage, seconds + 0.4, min(rise, 0.4 * seconds), 0.4)

    return Voice(tone, ("warm",) if cut < 900 else ())


_AAH: Vowel = ((710, 90, 1.0), (1150, 110, 0.7), (2750, 160, 0.25), (3500, 200, 0.15))
_OOH: Vowel = ((330, 70, 1.0), (800, 90, 0.35), (2450, 150, 0.06), (3300, 200, 0.04))


def choir(stage: Stage) -> Voice:
    """Four singers on one vowel, each with a vibrato and a drift of their own."""
    noise, head = aside(stage), stage.uniform(0.97, 1.2)
    vowel = tuple((f * head, w, g) for f, w, g in (_AAH if stage.rng.random() < 0.6 else _OOH))
    rates, starts = aside(stage).rng.uniform(4.8, 6.2, 4), aside(stage).rng.uniform(0, 6.28, 4)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.2)
        k = np.arange(1.0, min(40, int(4600 / hertz)) + 1)
        x = np.zeros(len(t))
        for rate_hz, start in zip(rates, starts, strict=True):
            cents = 22 * np.sin(2 * np.pi * rate_hz * t + start) + 6 * wander(noise, seconds + 0.2, 3.0)[: len(t)]
            x += partials(glide(hertz * 2 ** (cents / 1200), stage.rate, start), k**-1.1)
        x += 0.05 * air(noise, seconds + 0.2)[: len(t)]
        return strength * mouth(x, stage.rate, vowel) * swell(stage, seconds + 0.2, min(0.18, 0.4 * seconds), 0.2)

    return Voice(tone)
