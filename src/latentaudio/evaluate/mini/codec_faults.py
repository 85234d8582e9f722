"""Measures of what vocoders get wrong: noise that repeats itself, and attacks that are smeared.

Letter: T samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HOP = 160
"""Samples between two frames of a vocoder at 16 kHz."""
NOISE_CLASSES = (
    "rain", "wind", "sea", "thunder", "fire", "stream", "leaves", "hail", "applause", "footsteps",
    "vacuum", "fan", "washer", "steam", "helicopter", "train", "airplane", "explosion", "gunshot",
    "shatter", "revving", "engine",
)  # fmt: skip
"""Sound classes that are noise, which must not repeat."""
_SMOOTHING_BINS = 401
_REPEATED_HOPS = (4, 5, 6)
_BETWEEN_SAMPLES = 8  # around a multiple of the hop that are not between
_RISE_WINDOW = 80  # samples: 5 ms
_RISE_STEP = 20
_RISE_STEPS = 8  # of 20 samples: 10 ms
_RISE_FLOOR_DB = 48.0  # below the loudest window


def hop_repetition(samples: NDArray[np.floating]) -> float:
    """Return how much a clip [T] repeats at 4 to 6 hops, more than between hops.

    It is the autocorrelation of the whitened signal. Noise has 0 or less.
    """
    centered = samples - samples.mean()
    if not np.any(centered):
        return 0.0
    spectrum = np.fft.rfft(centered)
    kernel = np.ones(_SMOOTHING_BINS) / _SMOOTHING_BINS
    smooth = np.convolve(np.abs(spectrum) ** 2, kernel, "same")
    white = np.fft.irfft(spectrum / np.sqrt(smooth + 1e-9))
    power = np.abs(np.fft.rfft(white, 2 * len(white))) ** 2
    correlation = np.fft.irfft(power)[: len(white)]
    lags = np.arange(int(3.5 * HOP), int(6.5 * HOP))
    is_between = np.abs((lags + HOP // 2) % HOP - HOP // 2) > _BETWEEN_SAMPLES
    at_hops = max(correlation[HOP * count] for count in _REPEATED_HOPS)
    return float((at_hops - correlation[lags[is_between]].max()) / correlation[0])


def rise_db(samples: NDArray[np.floating]) -> float:
    """Return the largest rise of the level of a clip [T] within 10 ms, in dB."""
    if not np.any(samples):
        return 0.0
    window = np.ones(_RISE_WINDOW) / _RISE_WINDOW
    power = np.convolve(np.asarray(samples, np.float64) ** 2, window, "valid")[::_RISE_STEP]
    floor = 10 ** (-_RISE_FLOOR_DB / 10) * power.max()
    level = 10 * np.log10(np.maximum(power, floor) + 1e-20)
    return float((level[_RISE_STEPS:] - level[:-_RISE_STEPS]).max())
