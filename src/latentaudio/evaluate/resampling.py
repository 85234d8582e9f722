"""Samples of a file as a backbone reads them: channels, mean, rate and padding of a protocol.

Letters: C channels, T samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ..audio.ops import Samples, resample
from .protocols import Protocol, Resampler

_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99  # of the lower of both half rates


def sinc_resample(samples: Samples, sample_rate: int, target_rate: int) -> Samples:
    """Resample by a windowed sinc, as `torchaudio.functional.resample` does by default.

    Args:
        samples: [T].
        sample_rate: their rate in Hz.
        target_rate: the new rate in Hz.

    Returns:
        [ceil(T * target_rate / sample_rate)].
    """
    divisor = math.gcd(sample_rate, target_rate)
    old = sample_rate // divisor
    new = target_rate // divisor
    if old == new:
        return samples
    cutoff = min(old, new) * _ROLLOFF
    width = math.ceil(_ZERO_CROSSINGS * old / cutoff)
    taps = np.arange(-width, width + old) / old
    phases = np.arange(0, -new, -1, dtype=np.float32) / np.float32(new)  # rounded, as there
    times = (phases[:, None].astype(np.float64) + taps) * cutoff
    times = np.clip(times, -_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = np.square(np.cos(times * math.pi / _ZERO_CROSSINGS / 2))
    kernels = (np.sinc(times) * window * (cutoff / old)).astype(np.float32)  # [new, taps]
    padded = np.pad(samples.astype(np.float32), (width, width + old))
    frames = np.lib.stride_tricks.sliding_window_view(padded, len(taps))[::old]
    length = math.ceil(new * len(samples) / old)
    return np.ascontiguousarray((frames @ kernels.T).reshape(-1)[:length])


_RESAMPLERS: dict[Resampler, Callable[[Samples, int, int], Samples]] = {
    "soxr": resample,
    "sinc": sinc_resample,
}


def resampler_name(protocol: Protocol) -> str:
    """Return the resampler of a protocol with its version and settings."""
    if protocol.resampler == "soxr":
        return f"soxr {version('soxr')} HQ"
    return f"sinc of {_ZERO_CROSSINGS} zero crossings, Hann window, rolloff {_ROLLOFF}"


def prepare(
    samples: NDArray[np.float32], sample_rate: int, target_rate: int, protocol: Protocol
) -> Samples:
    """Return what a backbone gets of a file.

    Args:
        samples: [C, T].
        sample_rate: their rate in Hz.
        target_rate: rate of the backbone in Hz.
        protocol: how channels, mean, rate and padding are treated.

    Returns:
        [T].
    """
    mono = samples[0] if protocol.channel_mix == "first" else samples.mean(axis=0)
    if protocol.removes_mean:
        mono = mono - mono.mean()
    peak = float(np.abs(mono).max(initial=0.0))
    if protocol.peak_db is not None and peak > 0:
        mono = mono * np.float32(10 ** (protocol.peak_db / 20) / peak)
    mono = _RESAMPLERS[protocol.resampler](mono, sample_rate, target_rate)
    missing = max(0, protocol.min_samples - len(mono))
    return np.ascontiguousarray(np.pad(mono, (0, missing)), np.float32)


def input_settings(protocol: Protocol) -> dict[str, object]:
    """Return all settings that change the input of a backbone, for the key of the cache."""
    return {
        "resampler": resampler_name(protocol),
        "channel_mix": protocol.channel_mix,
        "removes_mean": protocol.removes_mean,
        "peak_db": protocol.peak_db,
        "min_samples": protocol.min_samples,
    }
