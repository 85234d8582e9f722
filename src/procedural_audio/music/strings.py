"""Voices of stringed instruments: given a pitch, a length and a strength, each makes one tone.

Knows strings struck, plucked and bowed, and the bodies and amplifiers that make them loud. Refuses to know melodies, captions
and clips.

A factory draws one instrument from the dice and returns a `Voice`; every tone of a clip comes from the same one.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import resample_poly

from ..events import air, aside
from ..sources.formants import Vowel, mouth
from ..synth import Array, Stage, filtered, glide, swell, wander
from .instruments import Tone, Voice, burst, damped, orders, partials, rings


def piano(stage: Stage) -> Voice:
    """Struck strings: stiff (partials a little sharp), each decaying fast, then slowly."""
    noise, bright, ring = aside(stage), stage.draw(0, 1), stage.log_draw(0.7, 1.6)
    stiff = stage.log_draw(1.5e-4, 5e-4)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        k = orders(stage, hertz, 40)
        b = stiff * (hertz / 262) ** 0.8
        f = hertz * k * np.sqrt((1 + b * k**2) / (1 + b))
        gains = (
            (0.25 + np.abs(np.sin(np.pi * k * 0.12)))
            / k**0.6
            * np.exp(-f / (700 + 1900 * bright * strength))
        )
        half = ring * 0.55 * (262 / hertz) ** 0.45 / (1 + 0.12 * k)
        both = np.concatenate
        x = rings(
            stage,
            seconds + 0.2,
            both([f, f * 1.0002]),
            both([0.75 * gains, 0.25 * gains]),
            both([half, 3.5 * half]),
        )
        x += 0.25 * strength * burst(noise, seconds + 0.2, 60, 900, 0.012)
        return x * damped(stage, seconds, 0.2, 0.002 + 0.003 * (1 - bright))

    return Voice(tone, ("bright",) if bright > 0.75 else (("mellow",) if bright < 0.25 else ()))


def _plucked(stage: Stage, where: float, bright: float, ring: float, seed: Stage) -> Tone:
    """An ideal string plucked at a share `where` of its length: harmonic k starts as sin(k pi where)/k, high ones die first."""
    shake = np.clip(1 + 0.3 * seed.rng.standard_normal(80), 0.2, 2.0)
    phases = seed.rng.uniform(0, 2 * np.pi, 80)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        k = orders(stage, hertz, 70)
        n = len(k)
        gains = (
            shake[:n]
            * np.abs(np.sin(np.pi * k * where))
            / k
            * np.exp(-k * hertz / (500 + 4500 * bright * strength))
        )
        gains[0] = max(gains[0], 0.5 * gains.max())
        half = 1 / (1 / (ring * (196 / hertz) ** 0.4) + (k * hertz / 1500) ** 1.5 / 1.2)
        f = hertz * k * np.sqrt((1 + 4e-5 * k**2) / (1 + 4e-5))
        return rings(stage, seconds + 0.12, f, gains, half, phases[:n]) * damped(
            stage, seconds, 0.12, 0.0015
        )

    return tone


def guitar(stage: Stage) -> Voice:
    """Plucked strings on a wooden box: the string, the pick, and the two lowest notes of the box."""
    noise, bright = aside(stage), stage.draw(0.1, 1)
    string = _plucked(stage, stage.draw(0.12, 0.3), bright, stage.log_draw(0.5, 1.0), aside(stage))
    box = np.array([stage.draw(95, 120), stage.draw(190, 230)])

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        x = string(hertz, seconds, strength)
        length = len(x) / stage.rate
        x += (
            0.12
            * rings(stage, length, box, np.array([1.0, 0.7]), np.array([0.03, 0.025]))[: len(x)]
        )
        x += (0.03 + 0.07 * bright) * burst(noise, length, 1500, 6500, 0.006)[: len(x)]
        return x

    return Voice(
        tone,
        ("steel-string",)
        if bright > 0.65
        else (("nylon-string",) if bright < 0.35 else ("acoustic",)),
    )


def electric_guitar(stage: Stage) -> Voice:
    """Long plucked strings through an overdriven amplifier, which works on the whole clip: chords growl."""
    drive = stage.log_draw(4, 30)
    string = _plucked(stage, stage.draw(0.15, 0.35), 0.7, stage.log_draw(1.2, 2.5), aside(stage))
    cabinet = stage.draw(3200, 5200)

    def finish(x: Array) -> Array:
        # Clipping makes new harmonics; at four times the rate they fold back far less, and the loudspeaker removes the rest.
        wide = np.tanh(drive * resample_poly(x / (np.abs(x).max() + 1e-9), 4, 1))
        return filtered(
            np.asarray(resample_poly(wide, 1, 4))[: len(x)], stage.rate, 70, cabinet, order=3
        )

    return Voice(string, ("distorted",) if drive > 9 else ("overdriven",), finish)


def bass(stage: Stage) -> Voice:
    """Electric bass: a thick string, dull, with a soft thump of the finger."""
    noise, bright = aside(stage), stage.draw(0.02, 0.22)
    string = _plucked(stage, stage.draw(0.2, 0.4), bright, stage.log_draw(0.35, 0.8), aside(stage))

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        x = string(hertz, seconds, strength)
        return x + 0.08 * burst(noise, len(x) / stage.rate, 80, 1200, 0.01)[: len(x)]

    return Voice(tone)


def _bowed(stage: Stage, body: Vowel, attack: float) -> Voice:
    """Bowed strings: a saw-toothed wave with vibrato that the body's resonances turn into a shimmer of level."""
    noise, rate_hz, cents = aside(stage), stage.draw(4.8, 6.4), stage.draw(10, 26)
    grain, dull = stage.draw(0.02, 0.06), stage.draw(1800, 4500)

    def tone(hertz: float, seconds: float, strength: float) -> Array:
        t = stage.clock(seconds + 0.1)
        depth = cents * np.clip((t - 0.12) / 0.3, 0, 1)
        k = orders(stage, hertz * 1.02)
        phase = glide(hertz * 2 ** (depth / 1200 * np.sin(2 * np.pi * rate_hz * t)), stage.rate)
        x = partials(phase, k**-0.9 * np.exp(-k * hertz / dull))
        rough = air(noise, seconds + 0.1)[: len(t)]
        x += grain * (1 + np.sin(phase)) * filtered(rough, stage.rate, 900, 6500)
        x = 0.3 * x + mouth(x, stage.rate, body)
        level = 1 + 0.08 * wander(noise, seconds + 0.1, 7.0)[: len(t)]
        return strength * x * level * swell(stage, seconds + 0.1, min(attack, 0.4 * seconds), 0.1)

    return Voice(tone, ("bright",) if dull > 3600 else (("warm",) if dull < 2400 else ()))


def violin(stage: Stage) -> Voice:
    """Small bowed strings."""
    size = stage.draw(0.93, 1.07)
    peaks = (
        (290, 60, 0.9),
        (470, 70, 1.0),
        (560, 80, 0.7),
        (1000, 200, 0.5),
        (2600, 900, 1.1),
        (4200, 900, 0.3),
    )
    return _bowed(stage, [(f * size, w, g) for f, w, g in peaks], stage.log_draw(0.05, 0.18))


def cello(stage: Stage) -> Voice:
    """Large bowed strings."""
    size = stage.draw(0.93, 1.07)
    peaks = (
        (105, 30, 0.8),
        (190, 40, 1.0),
        (240, 50, 0.8),
        (480, 120, 0.6),
        (1000, 400, 0.4),
        (2000, 600, 0.25),
    )
    return _bowed(stage, [(f * size, w, g) for f, w, g in peaks], stage.log_draw(0.06, 0.2))
