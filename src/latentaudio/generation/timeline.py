"""What is heard when: cues of a score as shares of every cell of time, and score files.

Knows seconds and cells. Refuses to know what a cue says and who hears it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ..config.options import Cue, Options
from ..errors import DataError, UsageError

_UNHEARD = 1e-6  # of a share: not worth a call of the network


def shares(
    cues: Sequence[Cue], crossfade: float, seconds: float, cells: int, cell: float
) -> NDArray[np.float32]:
    """How much of each cue every cell hears, [K, cells]; a cell's shares add up to 1. cell: its length in seconds.

    At the time of a cue, the one before fades into it over `crossfade` seconds, half before and half behind it, or as much as
    reaches neither a neighbouring change nor an end of the clip. Cues of one time are heard together, by their `share`.
    """
    times = sorted({cue.at for cue in cues})
    middles = (np.arange(cells) + 0.5) * cell
    rising = [np.ones(cells)]
    for before, at, behind in zip(
        [0.0, *times[1:]], times[1:], [*times[2:], seconds], strict=False
    ):
        room = min(
            at - before if before == 0.0 else (at - before) / 2,
            behind - at if behind == seconds else (behind - at) / 2,
        )
        half = max(min(crossfade / 2, room), 1e-9)
        rising.append(np.clip((middles - (at - half)) / (2 * half), 0.0, 1.0))
    falling = [1.0 - up for up in rising[1:]] + [np.ones(cells)]
    loud = {at: up * down for at, up, down in zip(times, rising, falling, strict=True)}
    total = {at: sum(cue.share for cue in cues if cue.at == at) for at in times}
    found = np.stack([loud[cue.at] * (cue.share / total[cue.at]) for cue in cues])
    found[found < _UNHEARD] = 0.0
    return np.asarray(found / found.sum(axis=0), np.float32)


def within(cues: Sequence[Cue], begin: float, end: float, crossfade: float = 0.0) -> list[Cue]:
    """What is heard between two times, in seconds from the first of them; what has begun before goes on from where it is."""
    now, kept = max((cue.at for cue in cues if cue.at <= begin), default=0.0), []
    for cue in cues:
        if now <= cue.at < end:
            since = max(0.0, begin - max(0.0, cue.at - crossfade / 2)) if cue.at <= begin else 0.0
            kept.append(
                cue.model_copy(update={"at": max(0.0, cue.at - begin), "since": cue.since + since})
            )
    return kept


def turned(cues: Sequence[Cue], half: float, seconds: float) -> list[Cue]:
    """Cues of a clip that is turned by so many seconds: what was at its ends meets in it."""
    later = [
        cue.model_copy(update={"at": cue.at + seconds - half}) for cue in cues if cue.at < half
    ]
    return [*within(cues, half, seconds), *later]


def morphing(first: object, second: object, seconds: float) -> dict[str, Any]:
    """The wishes of a clip that begins as one thing and ends as another, each words or a sound; UsageError where one is
    empty."""
    if not all(one.strip() for one in (first, second) if isinstance(one, str)):
        raise UsageError("what becomes what? Say both, in words or as sounds")
    cues = [
        {"sound" if is_sound(one) else "text": one, "at": at}
        for one, at in ((first, 0.0), (second, seconds / 2))
    ]
    return {"cues": cues, "crossfade": seconds, "seconds": seconds}


def is_sound(what: object) -> bool:
    """Whether something is a sound rather than words: text is one where it names a file."""
    return not isinstance(what, str) or os.path.isfile(what)  # noqa: PTH113  # a Path raises for long texts


def read_score(file: Path) -> dict[str, Any]:
    """The wishes of a score file (YAML): `score`, a list of cues in order of time, each {at: seconds, text: words} with what
    else a `Cue` has, and any other option. Raises DataError for what cannot be read, UsageError for what it cannot say."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(
            f"cannot read {file} ({getattr(problem, 'strerror', None) or 'it is not UTF-8'})"
        ) from None
    except yaml.YAMLError as problem:
        raise DataError(f"{file} is no YAML ({' '.join(str(problem).split())[:120]})") from None
    found = {"score": found} if isinstance(found, list) else found
    if (
        not isinstance(found, dict)
        or not isinstance(found.get("score"), list)
        or not found["score"]
    ):
        raise UsageError(
            f"{file} holds no score; write a list of cues such as - {{at: 0, text: light rain}}"
        )
    cues = []
    for number, cue in enumerate(found.pop("score"), 1):
        if not isinstance(cue, dict):
            raise UsageError(
                f"{file}, cue {number} is {cue!r:.40}; write it as {{at: 0, text: light rain}}"
            )
        try:
            cues.append(Cue(**cue))
        except (UsageError, TypeError) as problem:
            raise UsageError(f"{file}, cue {number}: {problem}") from None
        if not (cues[-1].text.strip() or cues[-1].sounding):
            raise UsageError(f"{file}, cue {number} says nothing; give it a text or a sound")
    for before, after in pairwise(cues):
        if after.at < before.at:
            raise UsageError(
                f"{file}: the cue at {after.at:g} s stands behind one at {before.at:g} s; put them in order"
            )
    foreign = [
        key
        for key in found
        if key not in Options.model_fields or key in ("cues", "edit", "transcript")
    ]
    if foreign:
        raise UsageError(
            f"{file}: {foreign[0]!r} is no option that stands beside a score; leave it out"
        )
    return {**found, "cues": tuple(cues)}
