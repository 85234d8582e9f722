"""Timelines: prompts and audio prompts that change over the clip, and timeline files.

Letters: K cues, T' latent frames.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config.options import GenerationOptions, PromptCue
from ..config.parsing import parse_yaml, read_bounded
from ..errors import DataError, UsageError, first_line

DEFAULT_MORPH_DURATION_S = 10.0
MIN_WEIGHT = 1e-6
"""A cue with a smaller weight is left out: it changes nothing and would cost a call of the UNet."""

_EXAMPLE = "- {start: 0, text: light rain}"
_NOT_IN_FILES = ("timeline", "edit", "transcript")


def cue_weights(
    cues: Sequence[PromptCue],
    crossfade: float,
    duration: float,
    num_latent_frames: int,
    frame_duration: float,
) -> NDArray[np.float32]:
    """Return the weight of every cue in every latent frame.

    Two cues crossfade for `crossfade` seconds, centered on the start. The crossfade is shortened so
    that it does not reach the next change or the end of the clip. Cues that start together share
    each frame by their `weight`.

    Args:
        cues: Cues in order of time.
        crossfade: Duration of a crossfade in seconds.
        duration: Duration of the clip in seconds.
        num_latent_frames: Latent frames T' of the clip.
        frame_duration: Duration of a latent frame in seconds.

    Returns:
        Weights [K, T'] float32 that add up to 1 in every frame.
    """
    starts = sorted({cue.start for cue in cues})
    centers = (np.arange(num_latent_frames) + 0.5) * frame_duration
    fade_in = [np.ones(num_latent_frames)]
    previous_starts = [0.0, *starts[1:]]
    next_starts = [*starts[2:], duration]
    for previous, start, following in zip(previous_starts, starts[1:], next_starts, strict=False):
        # between two changes each crossfade gets half of the time; at the ends of the clip all
        room_before = start - previous if previous == 0.0 else (start - previous) / 2
        is_last = following == duration
        room_after = following - start if is_last else (following - start) / 2
        half = max(min(crossfade / 2, min(room_before, room_after)), 1e-9)
        fade_in.append(np.clip((centers - (start - half)) / (2 * half), 0.0, 1.0))
    fade_out = [1.0 - fade for fade in fade_in[1:]]
    fade_out.append(np.ones(num_latent_frames))
    envelopes: dict[float, NDArray[np.float64]] = {}
    totals: dict[float, float] = {}
    for start, rise, fall in zip(starts, fade_in, fade_out, strict=True):
        envelopes[start] = rise * fall
        totals[start] = sum(cue.weight for cue in cues if cue.start == start)
    rows = []
    for cue in cues:
        rows.append(envelopes[cue.start] * (cue.weight / totals[cue.start]))
    weights = np.stack(rows)
    weights[weights < MIN_WEIGHT] = 0.0
    return np.asarray(weights / weights.sum(axis=0), np.float32)


def crop_cues(
    cues: Sequence[PromptCue], start: float, end: float, crossfade: float = 0.0
) -> list[PromptCue]:
    """Return the cues between two times, with starts in seconds from the first of them.

    A cue that began before `start` continues from its current position.
    """
    current = max((cue.start for cue in cues if cue.start <= start), default=0.0)
    cropped = []
    for cue in cues:
        if not current <= cue.start < end:
            continue
        elapsed = 0.0
        if cue.start <= start:
            elapsed = max(0.0, start - max(0.0, cue.start - crossfade / 2))
        changes = {
            "start": max(0.0, cue.start - start),
            "audio_prompt_offset": cue.audio_prompt_offset + elapsed,
        }
        cropped.append(cue.model_copy(update=changes))
    return cropped


def rotate_cues(cues: Sequence[PromptCue], shift: float, duration: float) -> list[PromptCue]:
    """Return the cues of a clip that is rotated by `shift` seconds, so that its ends meet."""
    rotated = crop_cues(cues, shift, duration)
    for cue in cues:
        if cue.start < shift:
            rotated.append(cue.model_copy(update={"start": cue.start + duration - shift}))
    return rotated


def morph_request(
    first: PromptCue, second: PromptCue, overrides: Mapping[str, Any]
) -> GenerationOptions:
    """Return the request of a clip that begins as one thing and ends as another.

    Args:
        first: The cue at the start.
        second: The cue at the end.
        overrides: Other options. The crossfade takes the whole clip by default.

    Raises:
        UsageError: A cue is empty, an option is wrong, or there is a timeline or an edit.
    """
    if overrides.get("timeline") or overrides.get("edit"):
        raise UsageError("morph excludes edit and timeline; leave out one of them")
    for cue in (first, second):
        if not (cue.text.strip() or cue.has_audio):
            raise UsageError("morph needs two prompts or sounds; one is empty")
    defaults = {"prompt": "", "duration": DEFAULT_MORPH_DURATION_S}
    options = GenerationOptions(**{**defaults, **overrides, "timeline": (first, second)})
    is_set = "crossfade" in overrides
    second = second.model_copy(update={"start": options.duration / 2})
    changes = {
        "crossfade": options.crossfade if is_set else options.duration,
        "timeline": (first, second),
    }
    return options.model_copy(update=changes)


def is_audio(item: object) -> bool:
    """Return whether an item is audio: anything but a text, or a text that names a file."""
    if not isinstance(item, str):
        return True
    return os.path.isfile(item)  # noqa: PTH113  # a Path raises for long texts


def read_timeline(file: Path) -> dict[str, Any]:
    """Read a timeline file (YAML).

    It holds `timeline`, a list of cues in order of time. Each is {start: seconds, text: words},
    with other fields of `PromptCue` if needed. Other keys of the file are options.

    Args:
        file: The file.

    Returns:
        Options by name, with the cues under "timeline".

    Raises:
        DataError: The file cannot be read.
        UsageError: A cue or an option is wrong.
    """
    try:
        content = parse_yaml(read_bounded(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DataError(f"cannot read {file} ({reason})") from None
    except ValueError as error:
        raise DataError(f"{file} is not valid YAML ({first_line(error)})") from None
    if isinstance(content, list):
        content = {"timeline": content}
    rows = content.pop("timeline", None) if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise UsageError(f"{file} has no timeline; write a list of cues such as {_EXAMPLE}")
    cues = [_read_cue(file, number, row) for number, row in enumerate(rows, 1)]
    for cue, next_cue in pairwise(cues):
        if next_cue.start < cue.start:
            raise UsageError(
                f"{file}: the cue at {next_cue.start:g} s comes after one at {cue.start:g} s; "
                "put the cues in order of time"
            )
    for name in content:
        if name not in GenerationOptions.model_fields or name in _NOT_IN_FILES:
            raise UsageError(f"{file}: {name!r} is not an option of timeline files; leave it out")
    return {**content, "timeline": tuple(cues)}


def _read_cue(file: Path, number: int, row: object) -> PromptCue:
    if not isinstance(row, dict):
        raise UsageError(f"{file}, cue {number} is {row!r:.40}; write it like {_EXAMPLE}")
    try:
        cue = PromptCue(**row)
    except (UsageError, TypeError) as error:
        raise UsageError(f"{file}, cue {number}: {error}") from None
    if not (cue.text.strip() or cue.has_audio):
        raise UsageError(f"{file}, cue {number} is empty; give it a text or an audio_prompt")
    return cue
