"""What is done to a clip once it is made: width, silence cut off, rate, fades, loudness, a ceiling for its peaks.

Knows samples [C, N] float32 and what is asked of them. Refuses to know models: a side comes from whoever has one.
Source: ITU-R BS.1770-4, for loudness and (annex 2) true peaks.

Letters: C channels, N samples.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..config.options import Options
from .ops import Samples, limit_peak, loudness, resample

SIDE = 0.4
"""How much of a clip is made anew for its side: alike in time and colour, unlike in every wave."""
_LOWEST = 200.0  # Hz; below, no ear tells where sound comes from, and one channel keeps its weight
_MOMENT, _LOUDER = 0.05, 4.0  # seconds; how much a side is turned up at most where it is too quiet
_SILENT, _MARGIN = 1e-3, 0.01  # of the peak; seconds that are kept beside what is heard
_REACH = 0.0015  # seconds: the limiter holds twice that to both sides of a peak, and falls and rises in twice that
_NEAR, _DRIVE, _PASSES = (
    0.05,
    24.0,
    24,
)  # LU; dB into the limiter at most; tries to reach a loudness


def finished(
    samples: Samples, rate: int, asked: Options, side: Samples | None = None
) -> tuple[Samples, int, dict[str, str]]:
    """Samples [1, N] at `rate` as they were asked for: [C, N'], their rate, and what a file should say of it.

    side [1, N]: what becomes the difference of two channels (see `widened`). Where nothing is asked samples stay as they are.
    Without a ceiling (`peak`, or `lufs`, whose ceiling is -1 dBTP) what exceeds 1 is turned down as a whole.
    """
    out, derived, notes, target = samples, [], {}, asked.rate or rate
    if side is not None:
        out = widened(out, side, rate, asked.stereo)
        derived.append(
            f"stereo: a variation of the clip is the difference of the channels, width {asked.stereo:g}"
        )
    if asked.trim:
        out = trimmed(out, rate)
    if target != rate:
        out = resample(out, rate, target)
        derived.append(f"{target} Hz by resampling from {rate} Hz")
    out = faded(out, target, asked.fade_in, asked.fade_out)
    ceiling = -1.0 if asked.peak is None and asked.lufs is not None else asked.peak
    if asked.lufs is not None and ceiling is not None:
        out = levelled(out, target, asked.lufs, ceiling)
        reached = loudness(out, target)
        if abs(reached - asked.lufs) > 0.5:
            notes["loudness"] = f"{reached:.1f} LUFS, all that a ceiling of {ceiling:g} dBTP leaves"
    elif ceiling is not None:
        out = limited(out, target, ceiling)
    return (
        limit_peak(out, 1.0),
        target,
        notes | ({"derived": "; ".join(derived)} if derived else {}),
    )


def widened(mid: Samples, side: Samples, rate: int, width: float) -> Samples:
    """Samples [1, N] as left and right [2, N], whose mean they are: mid plus and minus `width` times the side.

    Of the side only what lies above 200 Hz is taken, from moment to moment without what it has in common with mid there, and as
    strong as mid: both channels have the same energy, and at width 1 nothing in common above 200 Hz.
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import butter, sosfiltfilt

    def near(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = uniform_filter1d(first * second, round(_MOMENT * rate))
        return mean + 1e-12

    high = butter(2, _LOWEST, "highpass", fs=rate, output="sos")
    whole, apart = (sosfiltfilt(high, np.asarray(lane[0], np.float64)) for lane in (mid, side))
    here = mid[0].astype(np.float64)
    apart -= near(whole, apart) / near(whole, whole) * whole
    apart *= np.minimum(np.sqrt(near(whole, whole) / near(apart, apart)), _LOUDER)
    apart -= whole * (apart @ here) / max(float(whole @ here), 1e-12)
    apart *= width * math.sqrt(float(whole @ whole) / max(float(apart @ apart), 1e-12))
    return np.stack([here + apart, here - apart]).astype(np.float32)


def trimmed(samples: Samples, rate: int) -> Samples:
    """Samples [C, N] without what lies below -60 dB of their peak at both ends, but for 10 ms there."""
    loud = np.abs(samples).max(axis=0)
    heard = np.flatnonzero(loud > _SILENT * loud.max(initial=0.0))
    if heard.size == 0:
        return samples
    margin = round(_MARGIN * rate)
    return samples[:, max(0, int(heard[0]) - margin) : int(heard[-1]) + 1 + margin]


def faded(samples: Samples, rate: int, rise: float, fall: float) -> Samples:
    """Samples [C, N] that rise and fall by half a raised cosine over that many seconds, at most their length."""
    out = samples
    for seconds, turn in ((rise, 1), (fall, -1)):
        if length := min(round(seconds * rate), out.shape[1]):
            gain = np.ones(out.shape[1], np.float32)
            gain[:length] = 0.5 - 0.5 * np.cos(np.pi * np.arange(length) / length)
            out = out * gain[::turn]
    return out


def levelled(samples: Samples, rate: int, lufs: float, peak: float) -> Samples:
    """Samples [C, N] at an integrated loudness of `lufs` under a ceiling of `peak` dBTP; silence stays silence.

    What the limiter takes is given back, up to 24 dB: sounds of few short peaks can stay below the target.
    """
    off = lufs - loudness(samples, rate)
    if off == math.inf:
        return samples
    out, gain, most = samples, 0.0, max(0.0, off) + _DRIVE
    for _ in range(_PASSES):
        gain = min(gain + off, most)
        out = limited((samples * 10.0 ** (gain / 20.0)).astype(np.float32), rate, peak)
        off = lufs - loudness(out, rate)
        if abs(off) < _NEAR or not math.isfinite(off) or gain == most:
            break
    return out


def limited(samples: Samples, rate: int, peak: float) -> Samples:
    """Samples [C, N] whose true peak is at most `peak` dBTP, all channels turned down alike around what exceeds it.

    The gain that each moment needs, the least of its surroundings, smoothed over just these: it is never above what is
    needed. Multiplying moves peaks a little, hence some turns.
    """
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    ceiling, out, size = 10.0 ** (peak / 20.0), samples, 2 * round(_REACH * rate) + 1
    for _ in range(4):
        peaks = true_peaks(out, rate)
        if peaks.max(initial=0.0) <= ceiling:
            return out
        gain = minimum_filter1d(
            np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9)), 2 * size - 1, mode="nearest"
        )
        for _ in range(2):
            gain = uniform_filter1d(gain, size, mode="nearest")
        out = (out * gain).astype(np.float32)
    return limit_peak(out, ceiling * float(np.abs(out).max()) / float(true_peaks(out, rate).max()))


def true_peaks(samples: Samples, rate: int) -> Samples:
    """The highest that samples [C, N] reach between each and the next, over all channels: [N].

    Oversampled four times, below 32 kHz eight times, by a filter that passes all up to half the rate; soxr's reads sounds that
    are full to there up to 1 dB too low.
    """
    from scipy.signal import resample_poly

    factor = 8 if rate < 32_000 else 4
    lanes = (
        np.abs(resample_poly(lane, factor, 1)).reshape(-1, factor).max(axis=1) for lane in samples
    )
    peaks: Samples = np.maximum(np.max(list(lanes), axis=0), np.abs(samples).max(axis=0))
    return peaks
