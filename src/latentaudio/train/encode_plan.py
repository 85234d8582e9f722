"""Which rows a pre-encoded data set has: clips by length, and windows of those that are long.

A clip over 10.24 s gives several rows, one window after the other. The last window ends where the
clip ends. A rest under a tenth of a window makes no window of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..config.architecture import ModelConfig
from ..data.clip import Clip
from ..data.clip_list import clip_from_json, clip_to_json
from ..data.disk_list import DiskList
from ..data.file_hashes import FileHashes
from .fingerprints import row_key
from .pre_encoder import ClipRow

_FRAME_STEP = 128  # mel frames: lengths of clips are rounded up to multiples
_MAX_FRAMES = 1024  # mel frames of the longest window, 10.24 s
_SHORTEST_REST = 0.1  # of a window


def frame_step(config: ModelConfig) -> int:
    """Return the mel frames that every length is a multiple of.

    They hold a whole number of tokens of the language of audio, however it is pooled.

    Args:
        config: Architecture of the model.
    """
    if config.audiomae is None or config.translator is None:
        return _FRAME_STEP
    return math.lcm(_FRAME_STEP, config.audiomae.patch_size * config.translator.time_pool)


def window_frames(config: ModelConfig) -> int:
    """Return the mel frames of the longest rows: 1024, or the multiple of `frame_step` below.

    Args:
        config: Architecture of the model.
    """
    step = frame_step(config)
    return max(step, _MAX_FRAMES // step * step)


def window_starts(clip: Clip, config: ModelConfig) -> list[int]:
    """Return the first sample of each window of a clip, at the clip's own rate.

    Args:
        clip: The clip.
        config: Architecture of the model.
    """
    seconds = window_frames(config) * config.mel.hop_length / config.mel.sample_rate
    samples = seconds * clip.sample_rate
    last_start = clip.num_samples - math.ceil(samples)
    num_windows = math.ceil(clip.num_samples / samples - _SHORTEST_REST)
    if last_start <= 0 or num_windows < 2:
        return [0]
    starts = [math.floor(index * samples) for index in range(num_windows - 1)]
    return [*starts, last_start]


def bucket_by_length(clips: Sequence[Clip], config: ModelConfig) -> dict[int, list[Clip]]:
    """Return the clip of each row by length in mel frames, as a pre-encoded data set has them.

    Lengths are rounded up and limited to 10.24 s. A long clip stands there once for each window, a
    clip with repeats once.

    Args:
        clips: Clips of the data set.
        config: Architecture of the model.
    """
    buckets: dict[int, list[Clip]] = {}
    for clip, _, _ in _rows(clips, config):
        buckets.setdefault(_num_frames(clip, config), []).append(clip)
    return buckets


def plan_rows(
    clips: Sequence[Clip], config: ModelConfig, hashes: FileHashes
) -> list[tuple[int, Sequence[ClipRow]]]:
    """Return mel frames and rows of every bucket, the shortest first. The rows are on disk.

    Args:
        clips: Clips of the data set.
        config: Architecture of the model.
        hashes: Hashes of the sounds.

    Raises:
        DataError: A sound cannot be read.
    """
    captions_per_clip = max(len(clip.captions) for clip in clips)
    buckets: dict[int, DiskList[ClipRow]] = {}
    for clip, start, repeats in _rows(clips, config):
        # clips with fewer captions repeat theirs
        captions = (clip.captions * captions_per_clip)[:captions_per_clip]
        row = ClipRow(clip, captions, start, repeats)
        checksum = hashes.get(clip.path, clip.offset, clip.num_bytes)
        row = replace(row, key=row_key(row, checksum))
        num_frames = _num_frames(clip, config)
        if num_frames not in buckets:
            buckets[num_frames] = DiskList(_row_to_json, _row_from_json)
        buckets[num_frames].append(row)
    hashes.save()
    return sorted(buckets.items())


def _row_to_json(row: ClipRow) -> list[Any]:
    return [clip_to_json(row.clip), row.captions, row.start, row.repeats, row.key]


def _row_from_json(values: list[Any]) -> ClipRow:
    clip, captions, *others = values
    return ClipRow(clip_from_json(clip), tuple(captions), *others)


def _num_frames(clip: Clip, config: ModelConfig) -> int:
    """Length of a clip's rows in mel frames."""
    step = frame_step(config)
    frames = clip.duration * config.mel.sample_rate / config.mel.hop_length
    num_steps = max(1, math.ceil(frames / step - 1e-6))
    return min(window_frames(config), step * num_steps)


def _rows(clips: Sequence[Clip], config: ModelConfig) -> Iterator[tuple[Clip, int, int]]:
    """Yield clip, first sample and repeats of each row."""
    previous: Clip | None = None
    repeats = 0
    for clip in clips:
        if clip is previous:  # the manifest repeats the clip itself, not an equal one
            repeats += 1
            continue
        if previous is not None:
            yield from _windows(previous, repeats, config)
        previous = clip
        repeats = 1
    if previous is not None:
        yield from _windows(previous, repeats, config)


def _windows(clip: Clip, repeats: int, config: ModelConfig) -> Iterator[tuple[Clip, int, int]]:
    for start in window_starts(clip, config):
        yield clip, start, repeats
