"""Blends generated audio into the source of an edit: crossfades, level matching, bands.

Letters: N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..audio.ops import CROSSFADE_S, SILENCE_PEAK, Gains, Samples, bandpass_gains, stft_filter
from ..config.edits import TimeRange

Step = TypeVar("Step", float, NDArray[np.float64])

BOUNDARY_CONTEXT_S = 0.5
"""Seconds at each side of a boundary whose levels are compared."""
STATIONARY_DEVIATION_DB = 4.0
"""Audio whose frame levels deviate less than this counts as stationary."""
MAX_BOUNDARY_GAIN_DB = 18.0
MIN_BOUNDARY_GAIN_DB = -9.0
MAX_BAND_GAIN_DB = 9.0
BAND_EDGES_HZ = (0.0, *(125 * 2 ** (k / 2) for k in range(12)))
"""Edges of the bands whose levels are compared at a boundary: half octaves above 125 Hz."""
SPECTRUM_WINDOW = 1024
"""Samples of the window that measures and filters these bands."""
MAX_OCTAVE_GAIN = 4.0  # 12 dB
LEVEL_FRAME_S = 1 / 40
MIN_LEVEL_FRAMES = 6
BLOCK_SAMPLES = 1 << 15
"""Samples that are blended at a time, so that memory does not grow with the clip."""
MIN_CLIP_GAIN = 0.5
"""Generated audio is turned down by half at most where the sum would clip."""


def crossfade_weights(
    time_range: TimeRange, positions: NDArray[np.int_], sample_rate: int
) -> NDArray[np.float32]:
    """Return the weight of generated audio at sample positions.

    It is 1 inside the range and falls to 0 over `CROSSFADE_S` seconds outside it, as half a cosine.
    """
    num_fade = round(CROSSFADE_S * sample_rate)
    before = round(time_range[0] * sample_rate) - positions
    after = positions + 1 - round(time_range[1] * sample_rate)
    distance = np.maximum(before, after)
    weight = 0.5 - 0.5 * np.cos(np.pi * (num_fade + 0.5 - distance) / num_fade)
    faded = np.where(distance <= num_fade, weight, 0.0)
    return np.where(distance <= 0, 1.0, faded).astype(np.float32)


def match_level_below_cutoff(
    source: Samples, generated: Samples, cutoff_hz: float, sample_rate: int
) -> Samples:
    """Scale generated audio [1, N] to the source's energy in the octave below the cutoff.

    The gain is limited to ±12 dB.
    """
    octave = bandpass_gains([(cutoff_hz / 2, cutoff_hz)], sample_rate)
    generated_energy = _band_energy(generated, octave)
    source_energy = _band_energy(source, octave)
    gain = 1.0
    if generated_energy > 0.0:
        ratio = np.sqrt(source_energy / generated_energy)
        gain = float(np.clip(ratio, 1 / MAX_OCTAVE_GAIN, MAX_OCTAVE_GAIN))
    return (gain * generated).astype(np.float32)


def _band_energy(samples: Samples, gains: Gains) -> float:
    edges = [*range(0, samples.shape[1], BLOCK_SAMPLES), samples.shape[1]]
    energy = 0.0
    for start, end in pairwise(edges):
        block = stft_filter(samples, gains, start, end)
        energy += float(np.square(block).sum(dtype=np.float64))
    return energy


def match_boundary_levels(
    source: Samples, generated: Samples, time_ranges: Sequence[TimeRange], sample_rate: int
) -> Samples:
    """Match the level of generated audio [1, N] to the source at both ends of each time range.

    It changes levels by -9 to 18 dB, and only where the source is stationary at an end. An event
    that is louder than the source there keeps its level. Between the ends the gain in dB is linear;
    an end without a match takes the gain of the other.
    """
    result = generated.astype(np.float32)
    positions = np.arange(generated.shape[1])
    num_fade = round(CROSSFADE_S * sample_rate)
    boundaries = _matched_boundaries(_level_step, source, generated, time_ranges, sample_rate)
    for start, end, *gains_db in boundaries:
        current = slice(max(0, start - num_fade), end + num_fade)
        decibels = np.interp(positions[current], (start, end), gains_db)
        result[:, current] = generated[:, current] * (10 ** (decibels / 20)).astype(np.float32)
    return result


def match_boundary_spectra(
    source: Samples, generated: Samples, time_ranges: Sequence[TimeRange], sample_rate: int
) -> Samples:
    """Match the spectrum of generated audio [1, N] to the source at both ends of each time range.

    As `match_boundary_levels`, but each half octave has its own gain. Noise of the same level but
    another color would be heard as a cut.
    """
    result = generated.astype(np.float32)
    num_fade = round(CROSSFADE_S * sample_rate)
    boundaries = _matched_boundaries(_spectrum_step, source, generated, time_ranges, sample_rate)
    for start, end, at_start, at_end in boundaries:
        first = max(0, start - num_fade)
        last = min(end + num_fade, generated.shape[1])
        segment = np.pad(generated[:, first:last], ((0, 0), (SPECTRUM_WINDOW, SPECTRUM_WINDOW)))
        hop = SPECTRUM_WINDOW // 4
        middles = (np.arange(-(-segment.shape[1] // hop)) + 0.5) * hop - SPECTRUM_WINDOW + first
        position = np.clip((middles - start) / (end - start), 0, 1)[:, None]
        decibels = at_start * (1 - position) + at_end * position
        gains = (10 ** (decibels / 20)).astype(np.float32)
        filtered = stft_filter(segment, gains)
        result[:, first:last] = filtered[:, SPECTRUM_WINDOW:-SPECTRUM_WINDOW]
    return result


def _matched_boundaries(
    measure: Callable[[NDArray[np.float32], NDArray[np.float32], int], Step | None],
    source: Samples,
    generated: Samples,
    time_ranges: Sequence[TimeRange],
    sample_rate: int,
) -> Iterator[tuple[int, int, Step, Step]]:
    """Compare both sides of the ends of each time range.

    Args:
        measure: Samples outside and inside of an end, sample rate -> by how many dB the outside is
            louder, or None without a match.
        source: [1, N].
        generated: [1, N].
        time_ranges: Ranges in seconds.
        sample_rate: In Hz.

    Yields:
        First and last sample of a range, and what was measured at both. An end without a match
        takes that of the other; a range without any is left out.
    """
    for range_start, range_end in time_ranges:
        start = round(range_start * sample_rate)
        end = min(round(range_end * sample_rate), generated.shape[1])
        num_context = min(round(BOUNDARY_CONTEXT_S * sample_rate), (end - start) // 2)
        at_start = measure(
            source[0, max(0, start - num_context) : start],
            generated[0, start : start + num_context],
            sample_rate,
        )
        at_end = measure(
            source[0, end : end + num_context],
            generated[0, end - num_context : end],
            sample_rate,
        )
        steps = [step for step in (at_start, at_end) if step is not None]
        if steps:
            yield start, end, steps[0], steps[-1]


def _spectrum_step(
    outside: NDArray[np.float32], inside: NDArray[np.float32], sample_rate: int
) -> NDArray[np.float64] | None:
    """Return by how many dB the outside is louder in each bin [K].

    None if a side is short or not stationary. Bands with less than a millionth of the energy of
    their side count as that loud.
    """
    import scipy.signal  # takes half a second, which most commands need not wait for

    if _level_step(outside, inside, sample_rate) is None:
        return None
    levels = []
    for samples in (outside, inside):
        hertz, power = scipy.signal.welch(samples, sample_rate, nperseg=SPECTRUM_WINDOW)
        band = np.searchsorted(BAND_EDGES_HZ, hertz, side="right") - 1
        total = np.bincount(band, power, len(BAND_EDGES_HZ))
        levels.append(10 * np.log10(total + 1e-6 * total.sum()))
    steps = np.clip(levels[0] - levels[1], -MAX_BAND_GAIN_DB, MAX_BAND_GAIN_DB)
    upper_edges = (*BAND_EDGES_HZ[1:], sample_rate / 2)
    centers = (np.array(BAND_EDGES_HZ) + np.array(upper_edges)) / 2
    bins: NDArray[np.float64] = np.interp(hertz, centers, steps)
    return bins


def _level_step(
    outside: NDArray[np.float32], inside: NDArray[np.float32], sample_rate: int
) -> float | None:
    """Return by how many dB the outside is louder, or None.

    None if a side is short, if the outside is not stationary, or if the inside is neither
    stationary nor quieter: an event that is louder than what goes on keeps its level.
    """
    num_frame = round(sample_rate * LEVEL_FRAME_S)
    levels = []
    deviations = []
    for samples in (outside, inside):
        num_frames = len(samples) // num_frame
        frames = samples[: num_frames * num_frame].reshape(-1, num_frame).astype(np.float64)
        power = np.square(frames).mean(axis=1)
        if len(power) < MIN_LEVEL_FRAMES or power.max() <= SILENCE_PEAK**2:
            return None
        levels.append(10 * np.log10(power.mean()))
        deviations.append((10 * np.log10(power + SILENCE_PEAK**2)).std())
    step = levels[0] - levels[1]
    if deviations[0] > STATIONARY_DEVIATION_DB:
        return None
    if deviations[1] > STATIONARY_DEVIATION_DB and step < 0:
        return None
    return float(np.clip(step, MIN_BOUNDARY_GAIN_DB, MAX_BOUNDARY_GAIN_DB))


class _Blender:
    """Blends one pair of signals, block by block."""

    def __init__(
        self, source: Samples, generated: Samples, gains: Gains | None, sample_rate: int
    ) -> None:
        num_samples = source.shape[1]
        generated = generated[:, :num_samples]  # gains are stretched over the length of both
        if generated.shape[1] < num_samples:
            generated = np.pad(generated, ((0, 0), (0, num_samples - generated.shape[1])))
        self.source = source
        self.generated = generated
        self.gains = gains
        self.sample_rate = sample_rate
        self.result = source.copy()

    def terms(self, time_range: TimeRange, block: slice) -> tuple[Samples, Samples]:
        """Return the remaining and the added signal of a block; their sum is the blend."""
        removed = self.result[:, block]
        added = self.generated[:, block]
        if self.gains is not None:
            removed = stft_filter(self.source, self.gains, block.start, block.stop)
            added = stft_filter(self.generated, self.gains, block.start, block.stop)
        positions = np.arange(block.start, block.stop)
        weight = crossfade_weights(time_range, positions, self.sample_rate)
        return self.result[:, block] - weight * removed, weight * added

    def blend(self, time_range: TimeRange) -> None:
        """Put one time range into the result."""
        start = max(0, round((time_range[0] - CROSSFADE_S) * self.sample_rate))
        end = min(self.source.shape[1], round((time_range[1] + CROSSFADE_S) * self.sample_rate))
        blocks = []
        for block_start in range(start, end, BLOCK_SAMPLES):
            blocks.append(slice(block_start, min(block_start + BLOCK_SAMPLES, end)))
        gain = 1.0  # the largest that does not clip
        for block in blocks:
            remaining, added = self.terms(time_range, block)
            clips = (np.abs(remaining + added) > 1.0) & (added != 0.0)
            headroom = (1.0 - np.abs(remaining[clips])) / np.abs(added[clips])
            gain = min(gain, float(headroom.min(initial=1.0)))
        for block in blocks:
            remaining, added = self.terms(time_range, block)
            mixed = remaining + max(MIN_CLIP_GAIN, gain) * added
            self.result[:, block] = np.clip(mixed, -1.0, 1.0)


def blend_into_source(
    source: Samples,
    generated: Samples,
    time_ranges: Sequence[TimeRange],
    gains: Gains | None,
    sample_rate: int,
) -> Samples:
    """Replace time ranges of the source by generated audio.

    Outside the ranges and their crossfades, samples are bit-identical to the source. If the sum
    would clip, the generated audio of that range is attenuated, to half its level at most. Samples
    that still exceed full scale are clipped.

    Args:
        source: Samples [1, N].
        generated: Samples [1, N'], cut or zero-padded to N.
        time_ranges: Ranges in seconds.
        gains: STFT gains of the replaced band (`audio.ops.stft_filter`); None replaces all.
        sample_rate: Sample rate in Hz.

    Returns:
        Samples [1, N].
    """
    blender = _Blender(source, generated, gains, sample_rate)
    for time_range in sorted(time_ranges):
        blender.blend(time_range)
    return blender.result
