"""Peak signal-to-noise ratio of the mels of a clip and the reference clip with the same name."""

from __future__ import annotations

import math

import numpy as np

from .base import Measurement, MetricInputs, MetricSpec
from .paired_audio import Image, compare_mels

MAX_DB = 100.0
"""The value of two equal images, whose ratio is infinite."""


def psnr(first: Image, second: Image) -> float:
    """Return the ratio of two images with values in [0, 1], in dB."""
    error = float(np.square(first - second).mean())
    return MAX_DB if error == 0 else min(MAX_DB, -10 * math.log10(error))


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the mean over pairs."""
    return compare_mels(inputs, psnr)


SPEC = MetricSpec(
    "psnr", "PSNR of mels", compute, ("audio", "pairs", "reference"), is_lower_better=False
)
