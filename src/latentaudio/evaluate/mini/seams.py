"""Detection of seams in a clip, and similarity of two envelopes.

Letters: N samples, L frames, F bands.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .prompts import RATE

_ENVELOPE_STEP_S = 0.04
_ENVELOPE_FLOOR = 1e-3  # added before the logarithm: -60 dB

_CURVATURE_FACTOR = 1.5  # a discontinuity exceeds the usual curvature by this factor
_QUANTILE = 0.99  # of the changes elsewhere in the clip
_WINDOWS_MS = (64, 256)  # for changes of level and spectrum
_NUM_EDGES = 17  # of the bands, even in octaves
_HOPS_PER_WINDOW = 8
_BLUR_FRAMES = 2  # a seam may be crossfaded, so its frame is not exact


def envelope(samples: np.ndarray, rate: int = RATE, step_s: float = _ENVELOPE_STEP_S) -> np.ndarray:
    """Return the RMS of samples [N] in steps of `step_s` seconds."""
    size = round(step_s * rate)
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    return np.asarray(np.sqrt(np.square(blocks, dtype=np.float64).mean(axis=1)))


def envelope_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of the logarithmic envelopes of two clips [N].

    Args:
        first: a clip [N].
        second: a clip [N].

    Returns:
        -1 to 1; 0 if one of the envelopes is constant.
    """
    a = np.log(envelope(first) + _ENVELOPE_FLOOR)
    b = np.log(envelope(second) + _ENVELOPE_FLOOR)
    a = a - a.mean()
    b = b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def is_seam_detected(samples: np.ndarray, position: int, rate: int = RATE) -> bool:
    """Return whether a detector finds a seam at a position of a clip.

    A seam is a discontinuity sharper than any near it. It is also a change of level or spectrum,
    over 64 ms or 256 ms, that is rare elsewhere in the clip.

    Args:
        samples: a clip [N].
        position: index of a sample, 0.25 s or more from both ends.
        rate: sample rate in Hz.

    Returns:
        Whether a seam is detected.
    """
    radius = rate // 10
    curvature = np.abs(np.diff(samples[position - radius : position + radius], 2))
    sharpest = curvature[radius - 2 : radius].max()
    if sharpest > _CURVATURE_FACTOR * np.quantile(curvature, _QUANTILE):
        return True
    return any(_changes_at(samples, position, rate * ms // 1000) for ms in _WINDOWS_MS)


def _changes_at(samples: np.ndarray, position: int, size: int) -> bool:
    """Whether spectra before and after a position differ more than 99 % of such pairs elsewhere.

    `size` is the length of a spectrum's window in samples.
    """
    hop = size // _HOPS_PER_WINDOW
    first = position % hop  # so that a border between two windows is at the position
    windows = np.lib.stride_tricks.sliding_window_view(samples[first:], size)[::hop]
    power = np.square(np.abs(np.fft.rfft(windows * np.hanning(size))))[:, 1:]
    edges = np.unique(np.geomspace(2, power.shape[1], _NUM_EDGES).astype(int))
    bands = np.stack([power[:, low:high].mean(axis=1) for low, high in pairwise(edges)], axis=1)
    bands = np.log(bands + 1e-5 * bands.mean())
    # Entry k compares the windows before and after sample first + (8 + k) hop.
    change = np.abs(bands[_HOPS_PER_WINDOW:] - bands[:-_HOPS_PER_WINDOW]).mean(axis=1)
    index = (position - first) // hop - _HOPS_PER_WINDOW
    padded = np.pad(change, _BLUR_FRAMES, mode="edge")
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * _BLUR_FRAMES + 1).max(axis=1)
    distance = np.abs(np.arange(len(change)) - index)
    elsewhere = distance > _HOPS_PER_WINDOW + _BLUR_FRAMES
    return bool(near[index] > np.quantile(near[elsewhere], _QUANTILE))
