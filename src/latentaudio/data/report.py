"""The check of a data set: the clips that can be trained on, and the problems of all others.

Training and `latentaudio dataset check` do the same. Results are remembered by the content of each
sound, so that a check of unchanged data is quick.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.parsing import parse_json, read_bounded
from ..errors import DataError
from ..fileio import atomic_write
from .cache import cache_folder, text_key
from .clip import Clip, DataSource, as_source, make_clip, open_source, read_records
from .file_hashes import FileHashes
from .problems import PROBLEM_KINDS, Problem
from .sound_check import check_sound

CHECK_VERSION = 1
"""Raised when a check changes: results of another version are not used."""
_FOLDER = "checks"
_MAX_BYTES = 2**30
_NUM_SHOWN = 3  # names in a line
_COMMON_CLIPS = 10  # that one caption may stand for in any data set
_COMMON_FRACTION = 0.02  # of a large data set

Progress = Callable[[int, int], None]
"""Called with (sounds done, sounds in all)."""


@dataclass(frozen=True)
class DatasetReport:
    """What a data set holds.

    Attributes:
        clips: The clips to train on, in order. A clip with repeats stands there as often.
        problems: All problems, in the order of the data.
        formats: The form of each data set.
    """

    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...]
    formats: tuple[str, ...]

    @property
    def num_sounds(self) -> int:
        """Number of different sounds to train on."""
        return len({id(clip) for clip in self.clips})

    @property
    def minutes(self) -> float:
        """Minutes of different sounds to train on."""
        return sum(clip.duration for clip in _distinct(self.clips)) / 60

    def by_kind(self) -> dict[str, list[Problem]]:
        """Return the problems by kind, in the order of `PROBLEM_KINDS`."""
        groups: dict[str, list[Problem]] = {kind: [] for kind in PROBLEM_KINDS}
        for problem in self.problems:
            groups[problem.kind].append(problem)
        return {kind: problems for kind, problems in groups.items() if problems}

    def lines(self) -> list[str]:
        """Return one line for each kind of problem, with the first names."""
        lines = []
        for kind, problems in self.by_kind().items():
            facts = PROBLEM_KINDS[kind]
            count = len(problems)
            noun = facts.one if count == 1 else facts.several
            fate = "left out" if facts.is_left_out else "used all the same"
            names = []
            for problem in problems[:_NUM_SHOWN]:
                names.append(f"{_short(problem.name)} ({_short(problem.detail, 160)})")
            shown = "; ".join(names)
            more = f"; and {count - _NUM_SHOWN} more" if count > _NUM_SHOWN else ""
            lines.append(f"{count} {noun}, {fate}: {shown}{more}")
        return lines

    def raise_for_problems(self) -> None:
        """Raise `DataError` if there is any problem."""
        if self.problems:
            raise DataError(
                f"{self.lines()[0]}; {len(self.problems)} problems in all: correct them, "
                "or repeat the command without --strict"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON has."""
        problems = {}
        for kind, members in self.by_kind().items():
            problems[kind] = {
                "count": len(members),
                "left_out": PROBLEM_KINDS[kind].is_left_out,
                "items": [{"name": each.name, "detail": each.detail} for each in members],
            }
        return {
            "formats": list(self.formats),
            "sounds": self.num_sounds,
            "clips": len(self.clips),
            "minutes": round(self.minutes, 3),
            "problems": problems,
        }


def _short(name: str, max_chars: int = 80) -> str:
    """Return the end of a long name, on one line."""
    line = " ".join(name.split())
    return line if len(line) <= max_chars else f"...{line[-max_chars:]}"


def _distinct(clips: Iterable[Clip]) -> Iterator[Clip]:
    """Yield clips without their repeats."""
    return iter({id(clip): clip for clip in clips}.values())


class _KnownChecks:
    """Results of earlier checks, by the hash of a sound's content and its description."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._results: dict[str, Any] = {}
        self._is_changed = False
        try:
            stored = parse_json(read_bounded(path, _MAX_BYTES))
            if stored["version"] == CHECK_VERSION:
                self._results = dict(stored["results"])
        except (OSError, ValueError, KeyError, TypeError):
            return

    def get(self, clip: Clip, checksum: str) -> tuple[str, str] | None:
        """Return the kind and the detail of a sound's problem, or None."""
        key = f"{checksum} {clip.sample_rate} {clip.num_samples}"
        result = self._results.get(key, 0)
        is_known = result is None or (isinstance(result, list) and result[0] in PROBLEM_KINDS)
        if not is_known:
            result = check_sound(clip)
            self._results[key] = result
            self._is_changed = True
        return (str(result[0]), str(result[1])) if result else None

    def save(self) -> None:
        """Remember the results; a full disk does not stop the work."""
        if self._is_changed:
            content = {"version": CHECK_VERSION, "results": self._results}
            with atomic_write(self.path) as temporary:
                temporary.write_text(json.dumps(content), encoding="utf-8")


def check_dataset(
    *sources: DataSource | Path | str, progress: Progress | None = None
) -> DatasetReport:
    """Listen to every sound of data sets and return what can be trained on.

    Args:
        *sources: Folders, files, patterns of tars or hub ids.
        progress: Called while sounds are checked.

    Raises:
        DataError: There is no such data, or its form is not known.
    """
    data = [as_source(source) for source in sources]
    problems: list[Problem] = []
    described: list[tuple[Clip, int]] = []
    for source in data:
        for record in read_records(source):
            clip = make_clip(record, source.trigger)
            if isinstance(clip, Problem):
                problems.append(clip)
            else:
                described.append((clip, record.repeats))
    clips: list[Clip] = []
    seen: dict[str, str] = {}
    for (clip, repeats), (checksum, result) in zip(
        described, _check_all([clip for clip, _ in described], data, progress), strict=True
    ):
        first = seen.setdefault(checksum, clip.label) if checksum else clip.label
        problem = None if result is None else Problem(result[0], clip.label, result[1])
        if first != clip.label and (problem is None or not problem.is_left_out):
            problem = Problem("duplicated", clip.label, f"it is a copy of {first}")
        if problem is not None:
            problems.append(problem)
        if problem is None or not problem.is_left_out:
            clips += [clip] * repeats
    problems += _common_captions(clips)
    formats = tuple(open_source(source)[0].name for source in data)
    return DatasetReport(tuple(clips), tuple(problems), formats)


def _check_all(
    clips: list[Clip], sources: list[DataSource], progress: Progress | None
) -> Iterator[tuple[str, tuple[str, str] | None]]:
    """Yield the hash of each sound and its problem, in order."""
    names = [os.path.abspath(source.name) for source in sources]  # noqa: PTH100  # may be no path
    stem = text_key(json.dumps(names))
    folder = cache_folder() / _FOLDER
    hashes = FileHashes(folder / f"{stem}_hashes.json")
    known = _KnownChecks(folder / f"{stem}.json")

    def check(clip: Clip) -> tuple[str, tuple[str, str] | None]:
        try:
            checksum = hashes.get(clip.path, clip.offset, clip.num_bytes)
        except DataError as error:
            return "", ("unreadable", str(error))
        return checksum, known.get(clip, checksum)

    # libsndfile and NumPy work without the interpreter's lock
    with ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as pool:
        for number, result in enumerate(pool.map(check, clips), 1):
            if progress is not None:
                progress(number, len(clips))
            yield result
    try:
        hashes.save()
        known.save()
    except DataError as error:
        warnings.warn(f"the check is not remembered: {error}", stacklevel=2)


def _common_captions(clips: Iterable[Clip]) -> list[Problem]:
    """Return the captions that stand for many different sounds."""
    distinct = list(_distinct(clips))
    counts = Counter(caption for clip in distinct for caption in clip.captions)
    limit = max(_COMMON_CLIPS, _COMMON_FRACTION * len(distinct))
    problems = []
    for caption, count in counts.most_common():
        if count <= limit:
            break
        problems.append(Problem("common_caption", caption, f"it stands for {count} sounds"))
    return problems
