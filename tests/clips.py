"""Clips and measurements that tests of generation and editing share."""

import numpy as np
from scipy.signal import butter, sosfiltfilt

RATE = 16000
FADE = 320  # samples of a crossfade of 20 ms
QUICK = {"steps": 4, "seed": 3, "candidates": 1}


def spectrum(samples):
    """Magnitudes of a clip's spectrum, and their frequencies in Hz."""
    return np.abs(np.fft.rfft(samples[0])), np.fft.rfftfreq(samples.shape[1], 1 / RATE)


def bandpass(samples, low_hz, high_hz):
    """The part of a clip between two frequencies, by scipy's Butterworth filter without delay."""
    band = {"btype": "bandpass", "Wn": (low_hz, min(high_hz, RATE / 2 - 1))}
    if low_hz == 0:
        band = {"btype": "lowpass", "Wn": high_hz}
    return sosfiltfilt(butter(8, **band, fs=RATE, output="sos"), samples).astype(np.float32)


def half_mask(rows=64, columns=200):
    """A mask for 2 s: white from 0.5 s to 1 s in the lower half, below 1949 Hz on the mel scale."""
    mask = np.zeros((rows, columns), np.uint8)
    mask[rows // 2 :, columns // 4 : columns // 2] = 255
    return mask
