"""Signal analysis of clips: pitch, repetition rate, onsets, partials and the order of two sounds.

The spectra are computed here on purpose and not by the front ends of the models. An error of
those front ends must not hide itself from the evaluation. `attributes` lists the sound classes
for which each analysis is reliable.

Letters: T samples, L frames, F bands.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.signal import find_peaks
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]

_HOP_S = 0.005
_NUM_BANDS = 36
_DYNAMIC_RANGE_DB = 45.0  # weaker cells are clamped to this below the loudest one
_EPS = 1e-20  # against log(0)

# Onsets
_ONSET_SKIP_FRAMES = 2  # between the memory and the current frame; a rise takes a few frames

# YIN
_YIN_WINDOW_S = 0.128
_YIN_HOP_S = 0.02
_MIN_FRAME_ENERGY = 1e-4  # relative to the loudest frame

# Partials
_PARTIAL_WINDOW_S = 0.2
_PARTIAL_SKIP_S = 0.08  # after the onset: the attack has no steady pitch
_PARTIAL_MAX_S = 2.5
_PARTIAL_MIN_HZ = 60
_PARTIAL_MIN_LEVEL = 0.18  # of the strongest: -15 dB
_PARTIAL_MIN_DISTANCE = 0.08  # relative frequency difference to a stronger partial

# Spectral shapes
_SHAPE_FRAMES = 10  # 50 ms
_SHAPE_RANGE_DB = 30.0


class Partial(NamedTuple):
    """One partial of a decaying sound.

    Attributes:
        frequency_hz: its frequency.
        drift: greatest deviation from its median frequency, as a fraction of it.
        decay_db: decrease of its level over the analysed time.
    """

    frequency_hz: float
    drift: float
    decay_db: float


def strongest_partial(
    samples: NDArray[np.floating], rate: int, min_hz: float = 50.0, max_hz: float = 5000.0
) -> float:
    """Return the frequency of the partial with most energy, in Hz.

    It is the pitch of struck, blown and electronic sounds.

    Args:
        samples: a clip [T].
        rate: sample rate in Hz.
        min_hz: lowest frequency to search.
        max_hz: highest frequency to search.

    Returns:
        The frequency in Hz, interpolated between bins.
    """
    power = _welch(samples, _nearest_power_of_2(0.5 * rate))
    bin_hz = rate / (2 * (len(power) - 1))
    first = int(min_hz / bin_hz) + 1
    last = min(int(max_hz / bin_hz), len(power) - 2)
    best = first + int(power[first:last].argmax())
    return (best + _parabola_peak(np.log(power[best - 1 : best + 2] + _EPS))) * bin_hz


def fundamental(
    samples: NDArray[np.floating], rate: int, min_hz: float = 38.0, max_hz: float = 1600.0
) -> float:
    """Return the pitch of a harmonic sound in Hz.

    YIN (de Cheveigne and Kawahara 2002, eq. 8) per frame. Frames vote, weighted by energy and
    periodicity. A clip without periodic frames still gets its most likely pitch.

    Args:
        samples: a clip [T].
        rate: sample rate in Hz.
        min_hz: lowest pitch to search.
        max_hz: highest pitch to search.

    Returns:
        The pitch in Hz; nan for silence.
    """
    if not np.any(samples):
        return float("nan")
    size = _nearest_power_of_2(_YIN_WINDOW_S * rate)
    max_lag = int(rate / min_hz) + 2
    min_lag = max(2, int(rate / max_hz))
    frames = _frames(np.asarray(samples, np.float64), size + max_lag, round(_YIN_HOP_S * rate))
    energy = np.square(frames).mean(axis=1)
    frames = frames[energy > _MIN_FRAME_ENERGY * energy.max()]
    weights = []
    semitones = []
    for frame in frames:
        difference = _yin_difference(frame, size, max_lag)
        lag, depth = _first_dip(difference, min_lag)
        periodicity = max(0.02, 1 - depth) ** 4
        weights.append(float(np.square(frame).mean()) ** 0.5 * periodicity)
        semitones.append(12 * np.log2(rate / lag))
    return float(2 ** (_weighted_mode(np.array(semitones), np.array(weights)) / 12))


def period(
    samples: NDArray[np.floating],
    rate: int,
    use_onsets: bool = True,
    min_hz: float = 0.15,
    max_hz: float = 22.0,
) -> float:
    """Return the time after which a sound repeats, in seconds.

    It is the first strong peak of the autocorrelation of the spectrogram.

    Args:
        samples: a clip [T].
        rate: sample rate in Hz.
        use_onsets: if true, correlate rises of band levels; else the levels, for gliding sounds.
        min_hz: lowest repetition rate to search.
        max_hz: highest repetition rate to search.

    Returns:
        The period in seconds; nan if nothing repeats.
    """
    level = _band_levels(samples, rate)
    x = np.maximum(np.diff(level, axis=0), 0) if use_onsets else level
    x = x - x.mean(axis=0)
    size = len(x)
    spectrum = np.square(np.abs(np.fft.rfft(x, 2 * size, axis=0))).sum(axis=1)
    correlation = np.fft.irfft(spectrum)[:size] / (size - np.arange(size) + 0.1 * size)
    correlation = np.convolve(correlation, np.hanning(7) / np.hanning(7).sum(), "same")
    first = max(2, int(1 / max_hz / _HOP_S))
    last = min(int(1 / min_hz / _HOP_S), int(0.75 * size))
    peaks, _ = find_peaks(correlation[first:last])
    peaks = peaks[correlation[first + peaks] > 0] + first
    if not len(peaks):
        return float("nan")
    lag = int(peaks[correlation[peaks] >= 0.7 * correlation[peaks].max()][0])
    return (lag + _parabola_peak(correlation[lag - 1 : lag + 2])) * _HOP_S


def onsets(
    samples: NDArray[np.floating],
    rate: int,
    threshold: float = 0.2,
    memory_s: float = 0.1,
    min_gap_s: float = 0.12,
) -> list[float]:
    """Return the times at which events begin, in seconds.

    An onset is a rise of band levels above their maximum over the last `memory_s` (Boeck and
    Widmer 2013, with a longer memory). The memory lets a beating tone begin only once.

    Args:
        samples: a clip [T].
        rate: sample rate in Hz.
        threshold: smallest rise that counts, as a fraction of the greatest rise of the clip.
        memory_s: length of the memory in seconds.
        min_gap_s: smallest time between two onsets in seconds.

    Returns:
        The onset times in seconds, ascending.
    """
    level = _band_levels(samples, rate)
    memory = round(memory_s / _HOP_S)
    silence = np.full((memory + _ONSET_SKIP_FRAMES, level.shape[1]), -_DYNAMIC_RANGE_DB)
    padded = np.concatenate([silence, level])
    recent = np.lib.stride_tricks.sliding_window_view(padded, memory, axis=0)
    before = recent.max(axis=2)[: len(level)]
    rise = np.maximum(level - before, 0).mean(axis=1)
    peaks, _ = find_peaks(
        np.concatenate([[0.0], rise, [0.0]]),
        height=threshold * rise.max(),
        distance=round(min_gap_s / _HOP_S),
    )
    return [float(peak - 1) * _HOP_S for peak in peaks]


def partials(samples: NDArray[np.floating], rate: int, max_partials: int = 3) -> list[Partial]:
    """Return the strongest partials after the last onset of a clip.

    Each is followed in windows of 0.2 s, from 0.08 s after the onset until it is 15 dB down (or
    for 2.5 s). Partials more than 15 dB below the strongest one are skipped, and those within 8 %
    of a stronger one.

    Args:
        samples: a clip [T].
        rate: sample rate in Hz.
        max_partials: how many partials to return at most.

    Returns:
        The partials, strongest first; none if the clip ends too soon.
    """
    onset_times = onsets(samples, rate) or [0.0]
    start = round((onset_times[-1] + _PARTIAL_SKIP_S) * rate)
    tail = np.asarray(samples, np.float64)[start:][: round(_PARTIAL_MAX_S * rate)]
    size = round(_PARTIAL_WINDOW_S * rate)
    if len(tail) < 2 * size:
        return []
    num_fft = 4 * _nearest_power_of_2(size)
    windows = _frames(tail, size, size // 4) * np.hanning(size)
    magnitudes = np.abs(np.fft.rfft(windows, num_fft, axis=1))
    bin_hz = rate / num_fft
    mean = np.sqrt(np.square(magnitudes[: len(magnitudes) // 2 + 1]).mean(axis=0))
    peaks, _ = find_peaks(mean[: int(0.45 * num_fft)], height=_PARTIAL_MIN_LEVEL * mean.max())
    audible = [peak for peak in peaks if peak * bin_hz > _PARTIAL_MIN_HZ]
    selected: list[int] = []
    for peak in sorted(audible, key=lambda peak: -mean[peak]):
        is_separate = all(abs(peak / other - 1) > _PARTIAL_MIN_DISTANCE for other in selected)
        if len(selected) < max_partials and is_separate:
            selected.append(int(peak))
    return [Partial(peak * bin_hz, *_track_partial(magnitudes, peak)) for peak in selected]


def _track_partial(magnitudes: Array, peak: int) -> tuple[float, float]:
    """Drift and decay in dB of the partial near bin `peak` of magnitudes [L, bins].

    The partial is followed while it is within 15 dB of its loudest window.
    """
    radius = max(3, round(0.04 * peak))
    band = magnitudes[:, peak - radius - 1 : peak + radius + 2]
    best = 1 + band[:, 1:-1].argmax(axis=1)
    level_db = 20 * np.log10(band.max(axis=1) / (band.max() + _EPS) + 1e-9)
    last = int(np.argmax(level_db < -15)) or len(level_db)
    bins = []
    for row, center in zip(band[:last], best[:last], strict=True):
        bins.append(center + _parabola_peak(np.log(row[center - 1 : center + 2] + _EPS)))
    position = peak - radius - 1 + np.array(bins)
    drift = float(np.abs(position / np.median(position) - 1).max())
    return drift, float(level_db[0] - level_db[last - 1])


def spectral_shapes(samples: NDArray[np.floating], rate: int) -> tuple[Array, Array]:
    """Return spectral shapes of a clip in steps of 50 ms, and their loudness.

    Args:
        samples: a clip [T].
        rate: sample rate in Hz.

    Returns:
        Shapes [L, F] in dB below their own loudest band, and loudness [L] in dB.
    """
    level = _band_levels(samples, rate)
    num_shapes = len(level) // _SHAPE_FRAMES
    level = level[: num_shapes * _SHAPE_FRAMES].reshape(-1, _SHAPE_FRAMES, level.shape[1])
    level = level.mean(axis=1)
    loudness = level.max(axis=1)
    return np.maximum(level - loudness[:, None], -_SHAPE_RANGE_DB), loudness


def fit_template(clips: Sequence[NDArray[np.floating]], rate: int, num_clusters: int = 24) -> Array:
    """Return typical spectral shapes of a sound class: cluster centers of the loud shapes.

    Args:
        clips: clips [T] of the class.
        rate: sample rate in Hz.
        num_clusters: how many shapes to return at most.

    Returns:
        The template [clusters, F].
    """
    loud_shapes = []
    for clip in clips:
        shapes, loudness = spectral_shapes(clip, rate)
        loud_shapes.append(shapes[loudness > -25])
    points = np.concatenate(loud_shapes)
    with warnings.catch_warnings():
        # An empty cluster stays at its initial shape, which is a shape of the class as well.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(kmeans2(points, min(num_clusters, len(points)), minit="++", seed=0)[0])


def comes_first(samples: NDArray[np.floating], rate: int, first: Array, second: Array) -> bool:
    """Return whether one sound precedes another in a clip.

    The early part must be nearer to template `first`, the late part nearer to `second`. Each part
    counts only its own loud shapes (within 20 dB). Otherwise an echo of the first sound would mask
    a faint second one.

    Args:
        samples: a clip [T].
        rate: sample rate in Hz.
        first: template of the sound that should come first.
        second: template of the other sound.

    Returns:
        Whether the order is right.
    """
    shapes, loudness = spectral_shapes(samples, rate)
    distance_to_first = np.sqrt(cdist(shapes, first).min(axis=1))
    margin = np.sqrt(cdist(shapes, second).min(axis=1)) - distance_to_first
    early = slice(int(0.45 * len(margin)))
    late = slice(int(np.ceil(0.55 * len(margin))), None)
    early_margin = margin[early][loudness[early] > loudness[early].max() - 20]
    late_margin = margin[late][loudness[late] > loudness[late].max() - 20]
    return bool(early_margin.mean() > 0 > late_margin.mean())


def _band_levels(samples: NDArray[np.floating], rate: int) -> Array:
    """Band levels [L, F] in dB below the loudest cell, clamped to -45.

    Windows of 25 ms every 5 ms; triangular bands of equal width in octaves.
    """
    size = _nearest_power_of_2(0.025 * rate)
    hop = round(_HOP_S * rate)
    # No padding at the end: a sound that is cut off there would look like an event.
    x = np.pad(np.asarray(samples, np.float64), (size // 2, 0))
    power = np.square(np.abs(np.fft.rfft(_frames(x, size, hop) * np.hanning(size), axis=1)))
    hertz = np.fft.rfftfreq(size, 1 / rate)
    edges = np.geomspace(80, min(8000, 0.49 * rate), _NUM_BANDS + 2)
    rising = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    energy = power @ filters[filters.sum(axis=1) > 0].T
    level_db = 10 * np.log10(energy / (energy.max() + _EPS) + 1e-9)
    return np.asarray(np.maximum(level_db, -_DYNAMIC_RANGE_DB))


def _yin_difference(frame: Array, size: int, max_lag: int) -> Array:
    """Cumulative mean normalized difference of a frame [size + max_lag] at lags 0..max_lag-1."""
    head = frame[:size]
    n = _nearest_power_of_2(2 * len(frame))
    cross = np.fft.irfft(np.fft.rfft(frame, n) * np.conj(np.fft.rfft(head, n)))[:max_lag]
    sums = np.concatenate([[0.0], np.cumsum(np.square(frame))])
    lags = np.arange(max_lag)
    difference = np.maximum(sums[size] + sums[size + lags] - sums[lags] - 2 * cross, 0)
    running = np.cumsum(difference)
    return np.asarray(np.concatenate([[1.0], difference[1:] * lags[1:] / (running[1:] + 1e-12)]))


def _first_dip(difference: Array, min_lag: int) -> tuple[float, float]:
    """Lag in samples and depth of the first dip that is nearly the deepest."""
    dips, _ = find_peaks(-difference[min_lag - 1 :])
    if not len(dips):
        return float(min_lag), 1.0
    dips += min_lag - 1
    lag = int(dips[difference[dips] <= difference[dips].min() + 0.1][0])
    return lag + _parabola_peak(-difference[lag - 1 : lag + 2]), float(difference[lag])


def _weighted_mode(positions: Array, weights: Array, width: float = 0.4) -> float:
    """Mode of weighted positions: the best kernel density, then the weighted mean around it."""
    density = []
    for position in positions:
        kernel = np.exp(-0.5 * np.square((positions - position) / width))
        density.append((weights * kernel).sum())
    near = np.abs(positions - positions[int(np.argmax(density))]) < 2 * width
    return float((positions * weights)[near].sum() / weights[near].sum())


def _frames(x: Array, size: int, hop: int) -> Array:
    """Overlapping frames [L, size]; a clip shorter than one frame is padded with silence."""
    if len(x) < size:
        x = np.pad(x, (0, size - len(x)))
    return np.lib.stride_tricks.sliding_window_view(x, size)[::hop]


def _welch(samples: NDArray[np.floating], size: int) -> Array:
    """Mean power spectrum [size / 2 + 1] under Hann windows that overlap by three quarters."""
    frames = _frames(np.asarray(samples, np.float64), size, size // 4)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)))
    return np.asarray(power.mean(axis=0))


def _parabola_peak(three: Array) -> float:
    """Peak of the parabola through three even points: -0.5 to 0.5 from the middle one."""
    left, middle, right = map(float, three)
    curvature = left - 2 * middle + right
    if not curvature:
        return 0.0
    return float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5))


def _nearest_power_of_2(samples: float) -> int:
    return 1 << round(float(np.log2(samples)))
