"""Pairs of clips for metrics of signals: one rate, one length, and their mels as images.

Letters: T samples, L frames, F mel bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ...audio.io import read
from ...audio.mel import vae_mel
from ...config.architecture import MelSpec
from .base import Measurement, MetricInputs, mean_measurement

Samples: TypeAlias = NDArray[np.float32]
Image: TypeAlias = NDArray[np.float64]

RATE = 16000  # Hz
MIN_FRAMES = 11
"""Frames of the shortest mel: the side of SSIM's window."""
_LOWEST_MEL = -5.0  # log10 of the magnitude that is black
_HIGHEST_MEL = 2.0  # log10 of the magnitude that is white


def read_pairs(inputs: MetricInputs) -> Iterator[tuple[str, Samples, Samples]]:
    """Iterate over the pairs: name, generated clip [T] and reference clip [T].

    Both are mono at 16 kHz. The longer one is cut to the length of the other.

    Args:
        inputs: sets with paths.
    """
    for generated_index, reference_index in inputs.pairs:
        generated = read(inputs.generated.paths[generated_index], RATE)[0][0]
        reference = read(inputs.references.paths[reference_index], RATE)[0][0]
        length = min(len(generated), len(reference))
        yield inputs.generated.names[generated_index], generated[:length], reference[:length]


def mel_image(samples: Samples) -> Image:
    """Return the mel of a clip [T] as an image [L, F] in [0, 1], linear in decibels.

    The mel is that of AudioLDM's VAE: 64 bands, 1024 samples, a frame each 10 ms. A short clip is
    padded with silence.
    """
    spec = MelSpec()
    shortest = max(spec.n_fft, MIN_FRAMES * spec.hop_length)
    padded = np.pad(samples, (0, max(0, shortest - len(samples))))
    log_mel = vae_mel(torch.from_numpy(padded)[None], spec)[0, 0].double().numpy()
    scaled = (log_mel / np.log(10) - _LOWEST_MEL) / (_HIGHEST_MEL - _LOWEST_MEL)
    return np.asarray(np.clip(scaled, 0.0, 1.0))


def compare_mels(
    inputs: MetricInputs, compare: Callable[[Image, Image], float]
) -> list[Measurement]:
    """Return the mean over pairs of a comparison of their mels.

    Args:
        inputs: Sets with paths.
        compare: Compares the images [L, F] of a generated clip and of its reference.
    """
    values = {}
    for name, generated, reference in read_pairs(inputs):
        values[name] = compare(mel_image(generated), mel_image(reference))
    return [mean_measurement(values, details={"image": "mel in [0, 1]", "rate": RATE})]
