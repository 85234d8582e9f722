"""Loudness and true peaks after ITU-R BS.1770-4: measuring them, and bringing a clip to a target.

Letters: C channels, N samples.
"""

from __future__ import annotations

import math

import numpy as np

from .ops import Samples, as_loop, cut_loop, limit_peak

_BLOCK_S = 0.4  # BS.1770-4: a gating block
_BLOCK_OVERLAP = 4  # blocks that contain each sample
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE = 10.0  # power ratio: 10 LU below the mean of the blocks above the absolute gate
_LUFS_OFFSET = 0.691  # dB, so that a 997 Hz sine of amplitude 1 measures -3.01 LUFS

_LIMITER_REACH_S = 0.0015  # the limiter holds twice this around a peak and moves in twice this
_LIMITER_PASSES = 4  # multiplying by a gain moves peaks a little
_LOUDNESS_TOLERANCE_LU = 0.05
_MAX_DRIVE_DB = 24.0  # gain into the limiter beyond what the target needs without it
_MAX_PASSES = 24  # of normalize_loudness


def loudness(samples: Samples, sample_rate: int) -> float:
    """Return the integrated loudness in LUFS (ITU-R BS.1770-4); all channels have equal weight.

    Blocks of 0.4 s count if they are above -70 LUFS and at most 10 LU below the mean of those. A
    shorter clip is one block.

    Args:
        samples: [C, N].
        sample_rate: Samples per second.

    Returns:
        LUFS; -inf for silence.
    """
    from scipy.signal import lfilter

    weighted = np.asarray(samples, np.float64)
    for b, a in k_weighting(sample_rate):
        weighted = lfilter(b, a, weighted, axis=-1)
    size = min(round(_BLOCK_S * sample_rate), samples.shape[-1])
    starts = range(0, samples.shape[-1] - size + 1, max(1, size // _BLOCK_OVERLAP))
    power = np.array(
        [np.square(weighted[:, start : start + size]).mean(axis=1).sum() for start in starts]
    )
    power = power[power > _power_of(_ABSOLUTE_GATE_LUFS)]
    if power.size == 0:
        return -math.inf
    power = power[power > power.mean() / _RELATIVE_GATE]
    return -_LUFS_OFFSET + 10.0 * math.log10(float(power.mean()))


def _power_of(lufs: float) -> float:
    """Mean square of a K-weighted signal of that loudness."""
    return float(10.0 ** ((lufs + _LUFS_OFFSET) / 10.0))


def k_weighting(sample_rate: int) -> list[tuple[list[float], list[float]]]:
    """BS.1770's two filters as (b, a) for any rate: a shelf of +4 dB and a high-pass.

    The standard gives coefficients for 48 kHz only. These are bilinear transforms of the analog
    filters behind them.
    """
    gain = 10.0 ** (3.999843853973347 / 20.0)
    shelf_q = 0.7071752369554196
    k = math.tan(math.pi * 1681.974450955533 / sample_rate)
    middle = gain**0.4996667741545416
    norm = 1.0 + k / shelf_q + k * k
    middle = middle * k / shelf_q
    shelf = (
        [
            (gain + middle + k * k) / norm,
            2.0 * (k * k - gain) / norm,
            (gain - middle + k * k) / norm,
        ],
        [1.0, 2.0 * (k * k - 1.0) / norm, (1.0 - k / shelf_q + k * k) / norm],
    )
    pass_q = 0.5003270373238773
    k = math.tan(math.pi * 38.13547087602444 / sample_rate)
    norm = 1.0 + k / pass_q + k * k
    high_pass = (
        [1.0, -2.0, 1.0],
        [1.0, 2.0 * (k * k - 1.0) / norm, (1.0 - k / pass_q + k * k) / norm],
    )
    return [shelf, high_pass]


def normalize_loudness(
    samples: Samples, sample_rate: int, lufs: float, true_peak: float, is_loop: bool = False
) -> Samples:
    """Scale a clip to a loudness under a true-peak ceiling; silence is returned unchanged.

    The level that the limiter takes is added again, up to 24 dB. Sounds of few short peaks can stay
    below the target.

    Args:
        samples: [C, N].
        sample_rate: Samples per second.
        lufs: Target of the integrated loudness in LUFS.
        true_peak: Ceiling in dBTP.
        is_loop: Whether the clip repeats, see `limit_true_peak`.
    """
    error = lufs - loudness(samples, sample_rate)
    if error == math.inf:
        return samples
    out = samples
    gain_db = 0.0
    max_gain_db = max(0.0, error) + _MAX_DRIVE_DB
    for _ in range(_MAX_PASSES):
        gain_db = min(gain_db + error, max_gain_db)
        louder = (samples * 10.0 ** (gain_db / 20.0)).astype(np.float32)
        out = limit_true_peak(louder, sample_rate, true_peak, is_loop)
        error = lufs - loudness(out, sample_rate)
        is_close = abs(error) < _LOUDNESS_TOLERANCE_LU
        if is_close or not math.isfinite(error) or gain_db == max_gain_db:
            break
    return out


def limit_true_peak(
    samples: Samples, sample_rate: int, true_peak: float, is_loop: bool = False
) -> Samples:
    """Limit the true peak of a clip, turning all channels down alike around what exceeds it.

    The gain of a sample is the least that its surroundings need, smoothed over just these, so it is
    never above what is needed.

    Args:
        samples: [C, N].
        sample_rate: Samples per second.
        true_peak: Ceiling in dBTP.
        is_loop: Whether the clip repeats: peaks and gains then go on from its end to its beginning.
    """
    if is_loop:
        padded = limit_true_peak(as_loop(samples, sample_rate), sample_rate, true_peak)
        return cut_loop(padded, sample_rate)
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    ceiling = 10.0 ** (true_peak / 20.0)
    out = samples
    size = 2 * round(_LIMITER_REACH_S * sample_rate) + 1
    for _ in range(_LIMITER_PASSES):
        peaks = true_peaks(out, sample_rate)
        if peaks.max(initial=0.0) <= ceiling:
            return out
        needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
        gain = minimum_filter1d(needed, 2 * size - 1, mode="nearest")
        for _ in range(2):
            gain = uniform_filter1d(gain, size, mode="nearest")
        out = (out * gain).astype(np.float32)
    excess = float(true_peaks(out, sample_rate).max())
    return limit_peak(out, ceiling * float(np.abs(out).max()) / excess)


def true_peaks(samples: Samples, sample_rate: int) -> Samples:
    """Return the highest level from each sample to the next (BS.1770-4, annex 2).

    Samples are oversampled four times, below 32 kHz eight times. The filter passes all frequencies
    up to half the rate. soxr's filter does not: it measures full-band sounds up to 1 dB too low.

    Args:
        samples: [C, N].
        sample_rate: Samples per second.

    Returns:
        [N].
    """
    from scipy.signal import resample_poly

    factor = 8 if sample_rate < 32_000 else 4
    channel_peaks = []
    for channel in samples:
        oversampled = np.abs(resample_poly(channel, factor, 1))
        channel_peaks.append(oversampled.reshape(-1, factor).max(axis=1))
    peaks: Samples = np.maximum(np.max(channel_peaks, axis=0), np.abs(samples).max(axis=0))
    return peaks
