"""Small operations on sound: resampling, edges, peak, loudness, and the check that there is any.

Knows numpy arrays of samples [..., T] or [C, T] float32 in [-1, 1]. Refuses to know files, tensors and networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import GenerationError

Samples: TypeAlias = NDArray[np.float32]

Gains: TypeAlias = NDArray[np.float32]
_HEARD = 8  # frames of `shaped` that hear each sample

FADE = 0.02
"""Seconds over which what is made fades into what is kept of a sound, outside the span that is made anew."""
SILENCE = 1e-4
"""Peak below which a clip counts as silent: -80 dBFS, three steps of 16-bit sound."""


def resample(samples: Samples, rate: int, target: int) -> Samples:
    """Samples [..., T] at `rate` as [..., round(T * target / rate)] at `target`, by soxr at its high quality."""
    if rate == target:
        return samples
    import soxr

    length = round(samples.shape[-1] * target / rate)
    lanes = samples.reshape(-1, samples.shape[-1])
    out = np.zeros((len(lanes), length), np.float32)
    for lane, row in zip(lanes, out, strict=True):
        made = soxr.resample(lane, rate, target)[:length]
        row[: len(made)] = made
    return out.reshape(*samples.shape[:-1], length)


def fade_edges(samples: Samples, rate: int, seconds: float = 0.005) -> Samples:
    """Samples [..., T] that begin and end at zero, by half a raised cosine each: a clip cut out of sound clicks otherwise."""
    length = min(round(seconds * rate), samples.shape[-1] // 2)
    if length == 0:
        return samples
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(length) / length)).astype(np.float32)
    out = samples.copy()
    out[..., :length] *= ramp
    out[..., -length:] *= ramp[::-1]
    return out


def limit_peak(samples: Samples, peak: float = 0.98) -> Samples:
    """Samples turned down as a whole where they would exceed `peak`; quieter ones stay as they are."""
    loudest = float(np.abs(samples).max(initial=0.0))
    return samples if loudest <= peak else (samples * (peak / loudest)).astype(np.float32)


def loudness(samples: Samples, rate: int) -> float:
    """Integrated loudness of [C, T] in LUFS (ITU-R BS.1770-4), channels of equal weight; -inf for silence.

    Blocks of 0.4 s, overlapping by 3/4, count if above -70 LUFS and no more than 10 LU below the mean of those that are; a
    shorter clip is one block.
    """
    from scipy.signal import lfilter

    weighted = np.asarray(samples, np.float64)
    for b, a in _k_weighting(rate):
        weighted = lfilter(b, a, weighted, axis=-1)
    size = min(round(0.4 * rate), samples.shape[-1])
    starts = range(0, samples.shape[-1] - size + 1, max(1, size // 4))
    power = np.array(
        [np.square(weighted[:, start : start + size]).mean(axis=1).sum() for start in starts]
    )
    power = power[power > _from_lufs(-70.0)]
    if power.size == 0:
        return -math.inf
    power = power[power > power.mean() / 10.0]
    return -0.691 + 10.0 * math.log10(float(power.mean()))


def to_loudness(samples: Samples, rate: int, lufs: float) -> Samples:
    """Samples [C, T] at that integrated loudness, or as near as a peak of 0.98 allows; silence stays silence."""
    now = loudness(samples, rate)
    if now == -math.inf:
        return samples
    return limit_peak((samples * 10.0 ** ((lufs - now) / 20.0)).astype(np.float32))


def check_sound(samples: Samples) -> None:
    """Raise `GenerationError` if any sample is not finite or all are silent."""
    if not np.isfinite(samples).all():
        raise GenerationError(
            "the model produced values that are not finite; try another seed, less guidance or float32"
        )
    if np.abs(samples).max(initial=0.0) < SILENCE:
        raise GenerationError(
            "the model produced silence; try another seed, other words, or more guidance"
        )


def _from_lufs(lufs: float) -> float:
    """Mean square of a K-weighted signal of that loudness."""
    return float(10.0 ** ((lufs + 0.691) / 10.0))


def _k_weighting(rate: int) -> list[tuple[list[float], list[float]]]:
    """BS.1770's two filters as (b, a): a shelf of +4 dB for the head, a high-pass for the ear, for any rate.

    The standard gives coefficients for 48 kHz only; these are the analogue filters they are bilinear transforms of.
    """
    gain, shelf_q, k = (
        10.0 ** (3.999843853973347 / 20.0),
        0.7071752369554196,
        math.tan(math.pi * 1681.974450955533 / rate),
    )
    middle = gain**0.4996667741545416
    norm, middle = 1.0 + k / shelf_q + k * k, middle * k / shelf_q
    shelf = (
        [
            (gain + middle + k * k) / norm,
            2.0 * (k * k - gain) / norm,
            (gain - middle + k * k) / norm,
        ],
        [1.0, 2.0 * (k * k - 1.0) / norm, (1.0 - k / shelf_q + k * k) / norm],
    )
    pass_q, k = 0.5003270373238773, math.tan(math.pi * 38.13547087602444 / rate)
    norm = 1.0 + k / pass_q + k * k
    high_pass = (
        [1.0, -2.0, 1.0],
        [1.0, 2.0 * (k * k - 1.0) / norm, (1.0 - k / pass_q + k * k) / norm],
    )
    return [shelf, high_pass]


def passing(bands: Sequence[tuple[float, float]], rate: int) -> Gains:
    """Gains [1, K] of `shaped` that let bands (Hz) through; their edges rise inside, over six bins of its spectra.

    0 and half the rate are no edges. Bands that touch add up to less than the whole at their border only.
    """
    size = 2 ** round(math.log2(rate / 8))  # 128 ms
    hertz, total = np.arange(size // 2 + 1) * (rate / size), np.zeros(size // 2 + 1)
    for low, high in bands:
        gain = np.ones(len(hertz))
        for edge, inwards in ((low, 1.0), (high, -1.0)):
            if 0.0 < edge < rate / 2:
                place = (
                    inwards * (hertz - edge) / (rate / size) - 2.0
                )  # a Hann window hears two bins to either side
                gain *= 0.5 - 0.5 * np.cos(np.pi * np.clip(place / 4.0, 0.0, 1.0))
        total += gain
    return total.astype(np.float32)[None]


def shaped(samples: Samples, gains: Gains, begin: int = 0, end: int | None = None) -> Samples:
    """Samples begin to end of [1, N] whose short-time spectra are multiplied by gains [M, K], without delay: the first of them
    for the first of M equal stretches of the whole sound, and so on.

    Overlap-add (Griffin and Lim 1984) of frames of 2 K - 2 samples, Hann windows before and after; the sound is taken to go
    round. A stretch costs memory for itself only, and is the same whatever others are asked for.
    """
    size, (_, total), end = (
        2 * gains.shape[1] - 2,
        samples.shape,
        samples.shape[1] if end is None else end,
    )
    hop = size // _HEARD
    first, last = (begin - size) // hop + 1, -(-end // hop)
    window = np.hanning(size + 1)[:-1]
    piece = np.take(samples[0], np.arange(first * hop, (last - 1) * hop + size), mode="wrap")
    frames = np.lib.stride_tricks.sliding_window_view(piece, size)[::hop] * window
    middles = np.arange(first, last) * hop + size // 2
    stretch = np.clip(middles * len(gains) // total, 0, len(gains) - 1)
    made = np.fft.irfft(np.fft.rfft(frames) * gains[stretch], size) * (window / (_HEARD * 3 / 8))
    out = np.zeros(len(piece))
    for frame, row in enumerate(made):
        out[frame * hop : frame * hop + size] += row
    return out[None, begin - first * hop : end - first * hop].astype(np.float32)
