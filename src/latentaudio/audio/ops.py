"""Operations on audio: resampling, fades, peak limiting, spectral filters, check for silence.

Letters: C channels, T or N samples, K bins of a spectrum, M spectra.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import GenerationError

Samples: TypeAlias = NDArray[np.float32]
"""[..., T] or [C, T], in [-1, 1]."""
Gains: TypeAlias = NDArray[np.float32]
"""[M, K]: factors for the bins of `stft_filter`, for each of M equal parts of a clip."""

CROSSFADE_S = 0.02
"""Seconds over which an edit fades into the preserved audio, outside the regenerated range."""
MAX_PEAK = 0.98
"""Peak of a generated clip, at most."""
SILENCE_PEAK = 1e-4
"""Peak below which a clip counts as silent: -80 dBFS, three steps of 16-bit audio."""
LOOP_CONTEXT_S = 1
"""Seconds of a loop's other end that filters get at each end; a whole number for every rate."""
EDGE_FADE_S = 0.005
"""Seconds of the fades at both ends of a clip; a cut in the middle of a sound would click."""

_FILTER_OVERLAP = 8  # frames of `stft_filter` that contain each sample
_FILTER_WINDOW_S = 1 / 8  # its window, rounded to a power of two: 128 ms at 16 kHz
_WINDOW_REACH_BINS = 2.0  # half of the main lobe of a Hann window
_EDGE_WIDTH_BINS = 4.0  # width of the flanks of `bandpass_gains`


def resample(
    samples: Samples, sample_rate: int, target_rate: int, length: int | None = None
) -> Samples:
    """Resample by soxr at its high quality.

    Args:
        samples: [..., T].
        sample_rate: Their rate in Hz.
        target_rate: The new rate in Hz.
        length: Number of samples to return, if it is known better than from T, which is rounded.

    Returns:
        [..., length]; default: round(T * target_rate / sample_rate).
    """
    if sample_rate == target_rate:
        return samples
    import soxr

    if length is None:
        length = round(samples.shape[-1] * target_rate / sample_rate)
    channels = samples.reshape(-1, samples.shape[-1])
    out = np.zeros((len(channels), length), np.float32)
    for channel, row in zip(channels, out, strict=True):
        resampled = soxr.resample(channel, sample_rate, target_rate)[:length]
        row[: len(resampled)] = resampled
    return out.reshape(*samples.shape[:-1], length)


def as_loop(samples: Samples, sample_rate: int) -> Samples:
    """Return a clip between its own end and its own beginning, `LOOP_CONTEXT_S` of each.

    A filter then finds at both ends what it finds there when the clip repeats.

    Args:
        samples: [..., N].
        sample_rate: Samples per second.

    Returns:
        [..., N + 2 * LOOP_CONTEXT_S * sample_rate].
    """
    margin = LOOP_CONTEXT_S * sample_rate
    places = np.arange(-margin, samples.shape[-1] + margin)
    return np.take(samples, places, axis=-1, mode="wrap")


def cut_loop(samples: Samples, sample_rate: int) -> Samples:
    """Return the clip [..., N] inside what `as_loop` returned."""
    margin = LOOP_CONTEXT_S * sample_rate
    return np.ascontiguousarray(samples[..., margin:-margin])


def resample_loop(samples: Samples, sample_rate: int, target_rate: int) -> Samples:
    """Resample a clip that repeats, so that its end and its beginning are neighbors.

    Args:
        samples: [C, N] or [N].
        sample_rate: Their rate in Hz.
        target_rate: The new rate in Hz.

    Returns:
        The clip at the new rate, as long as from `resample`.
    """
    length = round(samples.shape[-1] * target_rate / sample_rate)
    longer = resample(as_loop(samples, sample_rate), sample_rate, target_rate)
    start = LOOP_CONTEXT_S * target_rate
    return np.ascontiguousarray(longer[..., start : start + length])


def fade_edges(samples: Samples, sample_rate: int, duration: float = EDGE_FADE_S) -> Samples:
    """Fade samples [..., T] in and out by half a raised cosine of `duration` seconds each."""
    length = min(round(duration * sample_rate), samples.shape[-1] // 2)
    if length == 0:
        return samples
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(length) / length)).astype(np.float32)
    out = samples.copy()
    out[..., :length] *= ramp
    out[..., -length:] *= ramp[::-1]
    return out


def limit_peak(samples: Samples, peak: float = MAX_PEAK) -> Samples:
    """Scale samples [..., T] down if they exceed `peak`; quieter ones are returned unchanged."""
    loudest = float(np.abs(samples).max(initial=0.0))
    return samples if loudest <= peak else (samples * (peak / loudest)).astype(np.float32)


def check_audible(samples: Samples) -> None:
    """Raise `GenerationError` if any sample is not finite or all are silent."""
    if not np.isfinite(samples).all():
        raise GenerationError(
            "the model generated values that are not finite; "
            "try another seed, a lower guidance_scale or precision fp32"
        )
    if np.abs(samples).max(initial=0.0) < SILENCE_PEAK:
        raise GenerationError(
            "the model generated silence; try another seed, prompt or a higher guidance_scale"
        )


def bandpass_gains(bands: Sequence[tuple[float, float]], sample_rate: int) -> Gains:
    """Return gains for `stft_filter` that pass some frequency bands.

    The flanks lie inside the bands and are six bins wide. 0 Hz and half the sample rate have no
    flank. Bands that touch add up to less than 1 at their border only.

    Args:
        bands: Lowest and highest frequency of each band in Hz.
        sample_rate: Samples per second.

    Returns:
        [1, K].
    """
    window_size = 2 ** round(math.log2(sample_rate * _FILTER_WINDOW_S))
    bin_hz = sample_rate / window_size
    hertz = np.arange(window_size // 2 + 1) * bin_hz
    total = np.zeros(window_size // 2 + 1)
    for low, high in bands:
        gain = np.ones(len(hertz))
        for edge, inwards in ((low, 1.0), (high, -1.0)):
            if 0.0 < edge < sample_rate / 2:
                # The window smears every frequency over two bins, so the flank starts behind them.
                place = inwards * (hertz - edge) / bin_hz - _WINDOW_REACH_BINS
                ramp = np.clip(place / _EDGE_WIDTH_BINS, 0.0, 1.0)
                gain *= 0.5 - 0.5 * np.cos(np.pi * ramp)
        total += gain
    return total.astype(np.float32)[None]


def stft_filter(samples: Samples, gains: Gains, begin: int = 0, end: int | None = None) -> Samples:
    """Multiply the short-time spectra of a clip by gains, without delay.

    Overlap-add (Griffin and Lim 1984) of frames of 2 K - 2 samples with Hann windows before and
    after. The clip is taken as periodic. A range costs memory for itself only, and equals the same
    range of the filtered clip.

    Args:
        samples: [1, N].
        gains: [M, K]; row m filters the m-th of M equal parts of the clip.
        begin: First sample to return.
        end: Sample behind the last to return; None is the end of the clip.

    Returns:
        [1, end - begin].
    """
    size = 2 * gains.shape[1] - 2
    total = samples.shape[1]
    end = total if end is None else end
    hop = size // _FILTER_OVERLAP
    first = (begin - size) // hop + 1
    last = -(-end // hop)
    window = np.hanning(size + 1)[:-1]
    chunk = np.take(samples[0], np.arange(first * hop, (last - 1) * hop + size), mode="wrap")
    frames = np.lib.stride_tricks.sliding_window_view(chunk, size)[::hop] * window
    centers = np.arange(first, last) * hop + size // 2
    part = np.clip(centers * len(gains) // total, 0, len(gains) - 1)
    # Squared Hann windows at this overlap sum to 3/8 of the number of overlapping frames.
    synthesis_window = window / (_FILTER_OVERLAP * 3 / 8)
    filtered = np.fft.irfft(np.fft.rfft(frames) * gains[part], size) * synthesis_window
    out = np.zeros(len(chunk))
    for frame, row in enumerate(filtered):
        out[frame * hop : frame * hop + size] += row
    return out[None, begin - first * hop : end - first * hop].astype(np.float32)
