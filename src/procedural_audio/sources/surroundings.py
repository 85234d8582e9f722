"""What a microphone hears beside a sound: the echoes of a place, and the murmur of the air.

A real recording is never silent between two events. Both are part of a sound class where its
place is part of the sound, as the night of an owl or the yard of a horse.

Letters: T samples.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from ..room import impulse_response
from ..synth import Array, RenderContext, colored_noise


def add_echo(noise: RenderContext, x: Array, decay_s: float, gain: float) -> Array:
    """Add the reverberation of a place.

    Args:
        noise: Context with the noise generator.
        x: Dry samples `[T]`.
        decay_s: Time in seconds in which the reverberation loses 60 dB.
        gain: Level of the reverberation, relative to the dry sound.

    Returns:
        Samples `[T]`.
    """
    response = impulse_response(noise.rng, noise.sample_rate, decay_s, len(x))
    size = next_fast_len(len(x) + len(response) - 1, real=True)
    tail = irfft(rfft(x, size) * rfft(response, size), size)[: len(x)]
    return np.asarray(x + gain * tail * (x.std() / (tail.std() + 1e-12)))


def add_air(noise: RenderContext, x: Array, level_db: float) -> Array:
    """Add the murmur of the air: pink noise.

    Args:
        noise: Context with the noise generator.
        x: Samples `[T]`.
        level_db: Level of the noise, relative to the peak of the sound.

    Returns:
        Samples `[T]`.
    """
    murmur = colored_noise(noise, len(x) / noise.sample_rate, 1.0)[: len(x)]
    murmur = np.pad(murmur, (0, len(x) - len(murmur)))
    return x + float(np.abs(x).max()) * 10 ** (level_db / 20) * murmur
