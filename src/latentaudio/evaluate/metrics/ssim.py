"""Structural similarity (Wang et al. 2004) of the mels of a clip and its reference clip."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from .base import Measurement, MetricInputs, MetricSpec
from .paired_audio import MIN_FRAMES, Image, compare_mels

WINDOW = MIN_FRAMES  # pixels
SIGMA = 1.5  # pixels
_C1 = 0.01**2  # for values in [0, 1]
_C2 = 0.03**2


def ssim(first: Image, second: Image) -> float:
    """Return the mean structural similarity of two images with values in [0, 1].

    Args:
        first: [L, F], each side 11 or more.
        second: [L, F].
    """
    mean1 = _blur(first)
    mean2 = _blur(second)
    variance1 = _blur(first * first) - mean1 * mean1
    variance2 = _blur(second * second) - mean2 * mean2
    covariance = _blur(first * second) - mean1 * mean2
    numerator = (2 * mean1 * mean2 + _C1) * (2 * covariance + _C2)
    denominator = (mean1 * mean1 + mean2 * mean2 + _C1) * (variance1 + variance2 + _C2)
    return float((numerator / denominator).mean())


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the mean over pairs."""
    return compare_mels(inputs, ssim)


SPEC = MetricSpec(
    "ssim", "SSIM of mels", compute, ("audio", "pairs", "reference"), is_lower_better=False
)


def _blur(image: Image) -> Image:
    """Weighted mean of the window around each pixel whose window lies inside the image."""
    places = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-np.square(places) / (2 * SIGMA**2))
    weights /= weights.sum()
    margin = WINDOW // 2
    blurred = correlate1d(correlate1d(image, weights, axis=0), weights, axis=1)
    return np.asarray(blurred[margin:-margin, margin:-margin])
