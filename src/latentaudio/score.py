"""What is heard when: cues of a score as shares of every cell of time, and score files.

Knows seconds and cells. Refuses to know what a cue says and who hears it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from .errors import DataError, UsageError
from .options import Cue


def shares(cues: Sequence[Cue], crossfade: float, seconds: float, cells: int, cell: float) -> NDArray[np.float32]:
    """How much of each cue every cell hears, [K, cells]; a cell's shares add up to 1. cell: its length in seconds.

    At the time of a cue, the one before fades into it over `crossfade` seconds, half before and half behind it, or as much as
    reaches neither a neighbouring change nor an end of the clip. Cues of one time are heard together, by their `share`.
    """
    times = sorted({cue.at for cue in cues})
    middles = (np.arange(cells) + 0.5) * cell
    rising = [np.ones(cells)]
    for before, at, behind in zip([0.0, *times[1:]], times[1:], [*times[2:], seconds], strict=False):
        room = min(at - before if before == 0.0 else (at - before) / 2, behind - at if behind == seconds else (behind - at) / 2)
        half = max(min(crossfade / 2, room), 1e-9)
        rising.append(np.clip((middles - (at - half)) / (2 * half), 0.0, 1.0))
    falling = [1.0 - up for up in rising[1:]] + [np.ones(cells)]
    loud = {at: up * down for at, up, down in zip(times, rising, falling, strict=True)}
    total = {at: sum(cue.share for cue in cues if cue.at == at) for at in times}
    return np.stack([loud[cue.at] * (cue.share / total[cue.at]) for cue in cues]).astype(np.float32)


def within(cues: Sequence[Cue], begin: float, end: float) -> list[Cue]:
    """What is heard between two times, in seconds from the first of them; what has begun before begins with it."""
    now = max((cue.at for cue in cues if cue.at <= begin), default=0.0)
    return [cue.model_copy(update={"at": max(0.0, cue.at - begin)}) for cue in cues if now <= cue.at < end]


def is_sound(what: object) -> bool:
    """Whether something is a sound rather than words: text is one where it names a file."""
    return not isinstance(what, str) or (len(what) < 4096 and "\0" not in what and Path(what).is_file())


def read_score(file: Path) -> dict[str, Any]:
    """The wishes of a score file (YAML): `score`, a list of cues in order of time, each {at: seconds, text: words} with what
    else a `Cue` has, and any other option. Raises DataError for what cannot be read, UsageError for what it cannot say."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"cannot read {file} ({getattr(problem, 'strerror', None) or 'it is not UTF-8'})") from None
    except yaml.YAMLError as problem:
        raise DataError(f"{file} is no YAML ({' '.join(str(problem).split())[:120]})") from None
    found = {"score": found} if isinstance(found, list) else found
    if not isinstance(found, dict) or not isinstance(found.get("score"), list) or not found["score"]:
        raise UsageError(f"{file} holds no score; write a list of cues such as - {{at: 0, text: light rain}}")
    cues = []
    for number, cue in enumerate(found.pop("score"), 1):
        if not isinstance(cue, dict):
            raise UsageError(f"{file}, cue {number} is {cue!r:.40}; write it as {{at: 0, text: light rain}}")
        try:
            cues.append(Cue(**cue))
        except (UsageError, TypeError) as problem:
            raise UsageError(f"{file}, cue {number}: {problem}") from None
        if not (cues[-1].text.strip() or cues[-1].sounding):
            raise UsageError(f"{file}, cue {number} says nothing; give it a text or a sound")
    for before, after in pairwise(cues):
        if after.at < before.at:
            raise UsageError(f"{file}: the cue at {after.at:g} s stands behind one at {before.at:g} s; put them in order")
    return {**found, "cues": tuple(cues)}
