"""A motor: rushing noise that its turns modulate, and the tone of its gear or its fan.

Most of the sound of a machine is noise. The tone is weak, and nothing is exactly regular.

Letters: T samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..events import noise_context
from ..synth import Array, RenderContext, butterworth, colored_noise, resonator
from .formants import jitter
from .impacts_noise import firing_pulses, wavetable_tone

_JITTER_HZ = 8.0
_NUM_TURN_GAINS = 512  # turns until their gains repeat
_TONE_RESONANCES = 6
_RELATIVE_BANDWIDTHS = (0.1, 0.12)  # of the resonances of the noise and of the tone


@dataclass(frozen=True)
class Motor:
    """The sound of a motor.

    Attributes:
        ratio: Periods of the tone per turn: teeth of a gear, or blades.
        tone: Level of the tone, relative to the noise.
        tilt: Spectral tilt of the tone: 0 is a pulse, 1 a sawtooth.
        slope: Color of the noise: 0 is white, 1 pink.
        low_hz: Lower edge of the noise.
        high_hz: Upper edge of the noise.
        noise_band: Range in Hz of the resonances of the noise.
        tone_band: Range in Hz of the resonances of the tone.
        num_resonances: Number of resonances of the noise.
        resonance: Strength of the resonances of the noise.
        flutter: Depth of the modulation of the noise by the tone, 0 to 1.
        throb: Depth of the modulation by the turns, 0 to 1.
        thump: Level of the low pulse of each turn.
        unsteadiness: Deviation of the speed, relative.
        irregularity: Deviation of the level from turn to turn, 0 to 1.
    """

    ratio: float = 4.0
    tone: float = 0.3
    tilt: float = 0.3
    slope: float = 0.3
    low_hz: float = 200.0
    high_hz: float = 7500.0
    noise_band: tuple[float, float] = (600.0, 6000.0)
    tone_band: tuple[float, float] = (500.0, 5000.0)
    num_resonances: int = 8
    resonance: float = 2.0
    flutter: float = 0.5
    throb: float = 0.5
    thump: float = 0.3
    unsteadiness: float = 0.01
    irregularity: float = 0.2


def run_motor(ctx: RenderContext, noise: RenderContext, turns: Array, motor: Motor) -> Array:
    """Render a motor.

    Args:
        ctx: Context of the clip.
        noise: Context with the noise generator.
        turns: Turns per second `[T]`.
        motor: The motor.

    Returns:
        Samples `[T]`.
    """
    sample_rate = ctx.sample_rate
    turns = jitter(ctx, turns, motor.unsteadiness, _JITTER_HZ)
    cycles = np.cumsum(turns) / sample_rate
    tone = motor.tone * wavetable_tone(turns * motor.ratio, sample_rate, motor.tilt)
    tone = resonate(ctx, tone, _TONE_RESONANCES, motor.tone_band, _RELATIVE_BANDWIDTHS[1], 2.0) / 2
    color = colored_noise(noise, len(turns) / sample_rate, motor.slope)[: len(turns)]
    air = butterworth(color, sample_rate, motor.low_hz, motor.high_hz, 1)
    bandwidth = _RELATIVE_BANDWIDTHS[0]
    air = resonate(ctx, air, motor.num_resonances, motor.noise_band, bandwidth, motor.resonance)
    air /= air.std() + 1e-12
    turn_gains = noise_context(ctx).rng.uniform(1 - motor.irregularity, 1, _NUM_TURN_GAINS)
    turn_gain = turn_gains[cycles.astype(int) % _NUM_TURN_GAINS]
    stroke = (0.5 + 0.5 * np.cos(2 * np.pi * cycles)) ** 2 * turn_gain
    air *= 1 - motor.flutter + motor.flutter * np.cos(2 * np.pi * cycles * motor.ratio)
    air *= 1 - motor.throb + motor.throb * stroke
    tone *= 1 - 0.5 * motor.throb + 0.5 * motor.throb * stroke
    pulses = firing_pulses(turns, sample_rate, 6.0, np.ones(1))
    thump = butterworth(pulses - pulses.mean(), sample_rate, 30, 400)
    return np.asarray(tone + air + motor.thump * thump / (thump.std() + 1e-12))


def resonate(
    ctx: RenderContext,
    x: Array,
    count: int,
    band_hz: tuple[float, float],
    relative_bandwidth: float,
    gain: float,
) -> Array:
    """Add resonances at random frequencies: the housing of a machine.

    Args:
        ctx: Context of the clip.
        x: Samples `[T]`.
        count: Number of resonances.
        band_hz: Range of their frequencies.
        relative_bandwidth: Width of a resonance relative to its frequency.
        gain: Largest gain of a resonance.

    Returns:
        Samples `[T]`.
    """
    rng = noise_context(ctx).rng
    out = x.copy()
    log_band = np.log(band_hz)
    for frequency in np.exp(rng.uniform(float(log_band[0]), float(log_band[1]), count)):
        strength = gain * float(rng.uniform(0.3, 1.0))
        out += strength * resonator(x, ctx.sample_rate, frequency, relative_bandwidth * frequency)
    return out
