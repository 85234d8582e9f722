"""Log-spectral distance of a clip and the reference clip with the same name, in decibels.

The root mean square over frequency of the difference of two power spectra in decibels, averaged
over frames (Gray and Markel 1976). Papers on super-resolution print it in bels: divide by 10.
"""

from __future__ import annotations

import numpy as np

from .base import Measurement, MetricInputs, MetricSpec, mean_measurement
from .paired_audio import RATE, Samples, read_pairs

N_FFT = 2048
HOP = 512
_FLOOR = 1e-10  # of the power: -100 dB


def log_spectral_distance(first: Samples, second: Samples) -> float:
    """Return the distance of two clips [T] of equal length, in dB."""
    difference = _log_power(first) - _log_power(second)
    return float(np.sqrt(np.square(difference).mean(axis=1)).mean())


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the mean over pairs."""
    values = {}
    for name, generated, reference in read_pairs(inputs):
        values[name] = log_spectral_distance(generated, reference)
    details = {"n_fft": N_FFT, "hop": HOP, "rate": RATE, "unit": "dB"}
    return [mean_measurement(values, details=details)]


SPEC = MetricSpec("lsd", "Log-spectral distance", compute, ("audio", "pairs", "reference"))


def _log_power(samples: Samples) -> np.ndarray:
    """Power spectra of frames in dB, [frames, bins]; a short clip is one frame."""
    padded = np.pad(samples.astype(np.float64), (0, max(0, N_FFT - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    window = np.hanning(N_FFT + 1)[:-1]
    power = np.square(np.abs(np.fft.rfft(frames * window)))
    return np.asarray(10 * np.log10(np.maximum(power, _FLOOR)))
