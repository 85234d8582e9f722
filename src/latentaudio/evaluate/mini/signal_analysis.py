"""What can be heard in a sound by signal analysis alone: pitch, pace, how many events, in which order, how steady a bell is.

Knows samples. Refuses to know models, judges and how sounds are made; `checks` says which questions make sense for which kind.
The spectra here are its own on purpose: what the front ends of the system miss must not be missing here too.

Letters: T samples, L frames, F bands.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.signal import find_peaks
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]

_HOP_S = 0.005
_BANDS = 36
_DEPTH_DB = 45.0  # what is weaker than this below the loudest moment is not heard


def strongest_partial(
    samples: NDArray[np.floating], rate: int, low: float = 50.0, high: float = 5000.0
) -> float:
    """Frequency in Hz of the partial with most energy over the clip [T]: the pitch of what is struck, blown or electronic."""
    power = _welch(samples, _pow2(0.5 * rate))
    hertz = rate / (2 * (len(power) - 1))
    first, last = int(low / hertz) + 1, min(int(high / hertz), len(power) - 2)
    best = first + int(power[first:last].argmax())
    return (best + _vertex(np.log(power[best - 1 : best + 2] + 1e-20))) * hertz


def fundamental(
    samples: NDArray[np.floating], rate: int, low: float = 38.0, high: float = 1600.0
) -> float:
    """Pitch in Hz of a harmonic sound [T], voiced frames voting by their energy (YIN: de Cheveigne and Kawahara 2002, eq. 8).

    Frames where nothing repeats have little voice; a clip without periodic frames still gets its likeliest pitch, silence nan.
    """
    if not np.any(samples):
        return float("nan")
    size, longest, shortest = _pow2(0.128 * rate), int(rate / low) + 2, max(2, int(rate / high))
    frames = _frames(np.asarray(samples, np.float64), size + longest, round(0.02 * rate))
    frames = frames[np.square(frames).mean(axis=1) > 1e-4 * np.square(frames).mean(axis=1).max()]
    votes, places = [], []
    for frame in frames:
        dips = _yin(frame, size, longest)
        lag, depth = _first_dip(dips, shortest)
        votes.append(float(np.square(frame).mean()) ** 0.5 * max(0.02, 1 - depth) ** 4)
        places.append(12 * np.log2(rate / lag))
    return float(2 ** (_mode(np.array(places), np.array(votes)) / 12))


def period(
    samples: NDArray[np.floating],
    rate: int,
    rises: bool = True,
    low_hz: float = 0.15,
    high_hz: float = 22.0,
) -> float:
    """Seconds after which the sound repeats itself, nan if never: the first strong peak of its spectrogram's autocorrelation.

    `rises`: listen to onsets (band levels going up); otherwise to the levels themselves, for what glides (a siren).
    """
    level = _levels(samples, rate)
    x = np.maximum(np.diff(level, axis=0), 0) if rises else level
    x = x - x.mean(axis=0)
    size = len(x)
    spectrum = np.square(np.abs(np.fft.rfft(x, 2 * size, axis=0))).sum(axis=1)
    echo = np.fft.irfft(spectrum)[:size] / (size - np.arange(size) + 0.1 * size)
    echo = np.convolve(echo, np.hanning(7) / np.hanning(7).sum(), "same")
    first, last = max(2, int(1 / high_hz / _HOP_S)), min(int(1 / low_hz / _HOP_S), int(0.75 * size))
    peaks, _ = find_peaks(echo[first:last])
    peaks = peaks[echo[first + peaks] > 0] + first
    if not len(peaks):
        return float("nan")
    lag = int(peaks[echo[peaks] >= 0.7 * echo[peaks].max()][0])
    return (lag + _vertex(echo[lag - 1 : lag + 2])) * _HOP_S


def onsets(
    samples: NDArray[np.floating],
    rate: int,
    share: float = 0.2,
    memory_s: float = 0.1,
    gap_s: float = 0.12,
) -> list[float]:
    """Seconds at which events begin: bands rise above all they held in the last `memory_s`, so a beating tone begins once.

    A rise counts from `share` of the clip's greatest, two no closer than `gap_s` (Boeck and Widmer 2013, with a longer memory).
    """
    level = _levels(samples, rate)
    memory, skip = round(memory_s / _HOP_S), 2
    padded = np.concatenate([np.full((memory + skip, level.shape[1]), -_DEPTH_DB), level])
    before = np.lib.stride_tricks.sliding_window_view(padded, memory, axis=0).max(axis=2)[
        : len(level)
    ]
    rise = np.maximum(level - before, 0).mean(axis=1)
    peaks, _ = find_peaks(
        np.concatenate([[0.0], rise, [0.0]]),
        height=share * rise.max(),
        distance=round(gap_s / _HOP_S),
    )
    return [float(p - 1) * _HOP_S for p in peaks]


def partials(
    samples: NDArray[np.floating], rate: int, most: int = 3
) -> list[tuple[float, float, float]]:
    """The strongest partials of the last stroke of a clip [T] as (hertz, drift, fall).

    drift: greatest deviation from the partial's own median frequency, as a share, over windows of 0.2 s from 0.08 s after the
    stroke until it is 15 dB down (or 2.5 s). fall: dB it loses meanwhile. Partials more than 15 dB below the strongest, or
    within 8 % of a stronger one, are skipped.
    """
    struck = onsets(samples, rate) or [0.0]
    tail = np.asarray(samples, np.float64)[round((struck[-1] + 0.08) * rate) :][: round(2.5 * rate)]
    size = round(0.2 * rate)
    if len(tail) < 2 * size:
        return []
    fine = 4 * _pow2(size)
    windows = np.abs(np.fft.rfft(_frames(tail, size, size // 4) * np.hanning(size), fine, axis=1))
    hertz, mean = rate / fine, np.sqrt(np.square(windows[: len(windows) // 2 + 1]).mean(axis=0))
    peaks, _ = find_peaks(mean[: int(0.45 * fine)], height=0.18 * mean.max())
    chosen: list[int] = []
    for peak in sorted((p for p in peaks if p * hertz > 60), key=lambda p: -mean[p]):
        if len(chosen) < most and all(abs(peak / other - 1) > 0.08 for other in chosen):
            chosen.append(int(peak))
    return [(peak * hertz, *_track(windows, peak)) for peak in chosen]


def _track(windows: Array, peak: int) -> tuple[float, float]:
    """Drift and fall of the partial near bin `peak` of magnitudes [L, bins] while it is within 15 dB of its loudest."""
    reach = max(3, round(0.04 * peak))
    band = windows[:, peak - reach - 1 : peak + reach + 2]
    best = 1 + band[:, 1:-1].argmax(axis=1)
    level = 20 * np.log10(band.max(axis=1) / (band.max() + 1e-20) + 1e-9)
    last = int(np.argmax(level < -15)) or len(level)
    fine = [
        b + _vertex(np.log(row[b - 1 : b + 2] + 1e-20))
        for row, b in zip(band[:last], best[:last], strict=True)
    ]
    where = peak - reach - 1 + np.array(fine)
    return float(np.abs(where / np.median(where) - 1).max()), float(level[0] - level[last - 1])


def tints(samples: NDArray[np.floating], rate: int) -> tuple[Array, Array]:
    """Spectral shapes [L, F] of moments of 50 ms, dB below their own loudest band, and how loud [L] each of them is in dB."""
    level = _levels(samples, rate)
    level = level[: len(level) // 10 * 10].reshape(-1, 10, level.shape[1]).mean(axis=1)
    loudness = level.max(axis=1)
    return np.maximum(level - loudness[:, None], -30.0), loudness


def template(clips: Sequence[NDArray[np.floating]], rate: int, count: int = 24) -> Array:
    """A kind's typical shapes [count, F]: centres of the crowds among the loud moments of several of its sounds."""
    moments = [shapes[loudness > -25] for shapes, loudness in (tints(clip, rate) for clip in clips)]
    shapes = np.concatenate(moments)
    with (
        warnings.catch_warnings()
    ):  # an empty crowd keeps the shape it started from, which is as good
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(kmeans2(shapes, min(count, len(shapes)), minit="++", seed=0)[0])


def comes_first(samples: NDArray[np.floating], rate: int, first: Array, second: Array) -> bool:
    """Whether the early part of a clip is nearer to template `first` and its late part nearer to `second`.

    Each part is judged by its own loud moments (within 20 dB), so that an echo of the first does not drown a faint second.
    """
    shapes, loudness = tints(samples, rate)
    lead = np.sqrt(cdist(shapes, second).min(axis=1)) - np.sqrt(cdist(shapes, first).min(axis=1))
    edges = int(0.45 * len(lead)), int(np.ceil(0.55 * len(lead)))
    early, late = (
        lead[part][loudness[part] > loudness[part].max() - 20]
        for part in (slice(edges[0]), slice(edges[1], None))
    )
    return bool(early.mean() > 0 > late.mean())


def _levels(samples: NDArray[np.floating], rate: int) -> Array:
    """Band levels [L, F] in dB below the loudest cell, never under -45: 25 ms windows every 5 ms, bands even in octaves."""
    size, hop = _pow2(0.025 * rate), round(_HOP_S * rate)
    x = np.pad(
        np.asarray(samples, np.float64), (size // 2, 0)
    )  # nothing after the end: a sound that is cut is no event
    power = np.square(np.abs(np.fft.rfft(_frames(x, size, hop) * np.hanning(size), axis=1)))
    hertz = np.fft.rfftfreq(size, 1 / rate)
    edges = np.geomspace(80, min(8000, 0.49 * rate), _BANDS + 2)
    rising = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    bank = np.maximum(0, np.minimum(rising, falling))
    energy = power @ bank[bank.sum(axis=1) > 0].T
    return np.asarray(np.maximum(10 * np.log10(energy / (energy.max() + 1e-20) + 1e-9), -_DEPTH_DB))


def _yin(frame: Array, size: int, longest: int) -> Array:
    """Cumulative mean normalised difference of one frame [size + longest] at lags 0..longest-1."""
    head = frame[:size]
    n = _pow2(2 * len(frame))
    cross = np.fft.irfft(np.fft.rfft(frame, n) * np.conj(np.fft.rfft(head, n)))[:longest]
    sums = np.concatenate([[0.0], np.cumsum(np.square(frame))])
    lags = np.arange(longest)
    difference = np.maximum(sums[size] + sums[size + lags] - sums[lags] - 2 * cross, 0)
    running = np.cumsum(difference)
    return np.asarray(np.concatenate([[1.0], difference[1:] * lags[1:] / (running[1:] + 1e-12)]))


def _first_dip(dips: Array, shortest: int) -> tuple[float, float]:
    """Lag in samples and depth of the first dip that is nearly the deepest."""
    low, _ = find_peaks(-dips[shortest - 1 :])
    if not len(low):
        return float(shortest), 1.0
    low += shortest - 1
    lag = int(low[dips[low] <= dips[low].min() + 0.1][0])
    return lag + _vertex(-dips[lag - 1 : lag + 2]), float(dips[lag])


def _mode(places: Array, votes: Array, width: float = 0.4) -> float:
    """Where weighted votes on a line crowd most: the best kernel density, then the mean around it."""
    density = [(votes * np.exp(-0.5 * np.square((places - p) / width))).sum() for p in places]
    near = np.abs(places - places[int(np.argmax(density))]) < 2 * width
    return float((places * votes)[near].sum() / votes[near].sum())


def _frames(x: Array, size: int, hop: int) -> Array:
    """Overlapping frames [L, size]; a clip shorter than one frame is padded with silence."""
    if len(x) < size:
        x = np.pad(x, (0, size - len(x)))
    return np.lib.stride_tricks.sliding_window_view(x, size)[::hop]


def _welch(samples: NDArray[np.floating], size: int) -> Array:
    """Mean power spectrum [size / 2 + 1] under Hann windows that overlap by three quarters."""
    frames = _frames(np.asarray(samples, np.float64), size, size // 4)
    return np.asarray(
        np.square(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1))).mean(axis=0)
    )


def _vertex(three: Array) -> float:
    """Where the parabola through three even points peaks, -0.5 to 0.5 from the middle one."""
    left, middle, right = (float(v) for v in three)
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend else 0.0


def _pow2(samples: float) -> int:
    return 1 << round(float(np.log2(samples)))
