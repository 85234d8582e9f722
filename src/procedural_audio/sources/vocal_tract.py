"""The voice of an animal: a larynx that vibrates irregularly, and a throat and mouth that move.

A throat is a tube that is closed at one end. A tube of length L resonates at (2n - 1) c / 4L, so a
cow has a resonance every 400 Hz and a cat one every 1700 Hz. An open mouth raises the lowest two.

Letters: T samples, N frames, F frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..events import noise_context, white_noise_per_hz
from ..synth import Array, RenderContext, random_curve
from .formants import jitter, pulse_train

_SPEED_OF_SOUND = 350.0  # in m/s, in warm and humid breath
_WINDOW_S = 0.024
_HOP_S = 0.006
_HIGHEST_RESONANCE_HZ = 7800.0
_OPENED_RESONANCES = 2  # the mouth moves the lowest two


@dataclass(frozen=True)
class Throat:
    """The resonances of a throat and a mouth.

    Attributes:
        frequencies: Resonances in Hz, from low to high, while the mouth is half open.
        damping: Bandwidth of a resonance relative to its frequency, at 1000 Hz.
        opening_ratio: Factor of the lowest resonances of the open mouth, to those of a half open
            one. The closed mouth has the inverse.
        nasal_hz: Edge above which a closed mouth mutes the voice.
    """

    frequencies: tuple[float, ...]
    damping: float = 0.12
    opening_ratio: float = 1.4
    nasal_hz: float = 1200.0


def build_throat(
    ctx: RenderContext, length_m: float, damping: float = 0.12, opening_ratio: float = 1.4
) -> Throat:
    """Draw a throat near an even tube: its resonances deviate by some 8 %.

    Args:
        ctx: Context of the clip.
        length_m: Length of the throat in meters.
        damping: See `Throat`.
        opening_ratio: See `Throat`.

    Returns:
        The throat.
    """
    spacing = _SPEED_OF_SOUND / (2 * length_m)
    count = max(2, min(24, int(_HIGHEST_RESONANCE_HZ / spacing)))
    deviations = noise_context(ctx).rng.uniform(0.92, 1.08, 24)[:count]
    frequencies = (np.arange(count) + 0.5) * spacing * deviations
    return Throat(tuple(frequencies.tolist()), damping, opening_ratio, 0.5 * spacing + 700.0)


def filter_voice(x: Array, sample_rate: int, throat: Throat, opening: Array) -> Array:
    """Filter an excitation by a throat whose mouth moves.

    Args:
        x: Excitation `[T]`.
        sample_rate: Sample rate in Hz.
        throat: The throat.
        opening: 0 where the mouth is closed, 1 where it is wide open `[T]`.

    Returns:
        Samples `[T]`.
    """
    window_size = 2 * round(_WINDOW_S * sample_rate / 2)
    hop = round(_HOP_S * sample_rate)
    num_frames = 1 + -(-len(x) // hop)
    padded = np.pad(x, (window_size // 2, window_size + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window_size)[::hop][:num_frames]
    window = np.hanning(window_size + 1)[:-1]
    size = 2 * window_size  # room for the resonances to ring
    spectra = np.fft.rfft(frames * window, size, axis=1)
    centers = np.minimum(np.arange(num_frames) * hop, len(x) - 1)
    hertz = np.asarray(np.fft.rfftfreq(size, 1 / sample_rate), np.float64)
    spectra *= _response(throat, opening[centers], hertz)
    out = np.zeros(hop * num_frames + size)
    for index, frame in enumerate(np.fft.irfft(spectra, size, axis=1)):
        out[index * hop : index * hop + size] += frame
    gain = hop / float(np.sum(window))
    return gain * out[window_size // 2 : window_size // 2 + len(x)]


def _response(throat: Throat, opening: Array, hertz: Array) -> NDArray[np.complex128]:
    """The transfer function of a throat `[N, F]`: a product of resonances."""
    ratio = throat.opening_ratio ** (2 * opening - 1)
    response = np.ones((len(opening), len(hertz)), complex)
    for index, frequency in enumerate(throat.frequencies):
        center = frequency * (ratio if index < _OPENED_RESONANCES else np.ones_like(ratio))
        bandwidth = throat.damping * frequency * (frequency / 1000.0) ** -0.4
        square = center[:, None] ** 2
        response *= square / (square - hertz**2 + 1j * hertz * bandwidth)
    # Above its last resonance the product falls steeply. A real throat has more of them.
    last = throat.frequencies[-1]
    response *= np.maximum(1.0, hertz / last) ** 2
    lips = 1 / (1 + (hertz / throat.nasal_hz) ** 2)
    mouth = opening[:, None] + (1 - opening[:, None]) * lips
    return np.asarray(mouth * response, np.complex128)


@dataclass(frozen=True)
class Larynx:
    """How the larynx of one animal vibrates.

    Attributes:
        tilt: Spectral tilt of a loud voice: 0 is a pulse, 1 a sawtooth.
        jitter: Deviation of the pitch from cycle to cycle, relative.
        shimmer: Deviation of the level from cycle to cycle, relative.
        breath: Level of the noise of air, relative to the tone.
        roughness: Depth of the vibration at half the pitch, 0 to 1.
    """

    tilt: float = 0.8
    jitter: float = 0.01
    shimmer: float = 0.1
    breath: float = 0.1
    roughness: float = 0.0


def vibrate(
    ctx: RenderContext,
    noise: RenderContext,
    frequency: Array,
    larynx: Larynx,
    harshness: Array | float = 0.0,
) -> Array:
    """Render the sound of a larynx.

    Args:
        ctx: Context of the clip.
        noise: Context with the noise generator.
        frequency: Pitch in Hz `[T]`.
        larynx: How it vibrates.
        harshness: 0 where the voice is clear, 1 where it is chaotic `[T]`.

    Returns:
        Samples `[T]` of about unit deviation.
    """
    seconds = len(frequency) / ctx.sample_rate
    mean_hz = float(np.mean(frequency))
    rate_hz = float(np.clip(mean_hz / 2, 30, 180))
    unsteady = jitter(ctx, frequency, larynx.jitter, rate_hz)
    unsteady = jitter(ctx, unsteady, 0.5 * larynx.jitter, 7.0)
    chaos = random_curve(noise_context(ctx), seconds, rate_hz)[: len(frequency)]
    unsteady = unsteady * np.exp(0.12 * np.clip(chaos, -2, 2) * harshness)
    tone = pulse_train(unsteady, ctx.sample_rate, larynx.tilt)
    half_phase = np.pi * np.cumsum(unsteady) / ctx.sample_rate
    level = random_curve(noise_context(ctx), seconds, rate_hz)[: len(frequency)]
    shimmer = np.exp((larynx.shimmer + 0.4 * harshness) * level)
    tone = tone * shimmer * (1 - larynx.roughness * (0.5 + 0.5 * np.cos(half_phase)))
    # Air rushes through the larynx while it is open, once per cycle.
    air = white_noise_per_hz(noise, seconds)[: len(frequency)]
    air = air * (0.6 + 0.4 * np.cos(2 * half_phase))
    return tone + (larynx.breath + 0.5 * harshness) * air
