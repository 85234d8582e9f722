"""Peak signal-to-noise ratio of the mels of a clip and the reference clip with the same name."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .base import Measurement, MetricInputs, MetricSpec, mean_measurement
from .paired_audio import RATE, mel_image, read_pairs

MAX_DB = 100.0
"""The value of two equal images, whose ratio is infinite."""


def psnr(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the ratio of two images with values in [0, 1], in dB."""
    error = float(np.square(first - second).mean())
    return MAX_DB if error == 0 else min(MAX_DB, -10 * math.log10(error))


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the mean over pairs."""
    values = {}
    for name, generated, reference in read_pairs(inputs):
        values[name] = psnr(mel_image(generated), mel_image(reference))
    return [mean_measurement(values, details={"image": "mel in [0, 1]", "rate": RATE})]


SPEC = MetricSpec(
    "psnr", "PSNR of mels", compute, ("audio", "pairs", "reference"), is_lower_better=False
)
