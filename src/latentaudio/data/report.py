"""The check of a data set: the clips that can be trained on, and the problems of all others.

Training and `latentaudio dataset check` do the same. Results are remembered by the content of each
sound, so that a check of unchanged data is quick.
"""

from __future__ import annotations

import json
import os
import warnings
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..fileio import cache_folder, text_key
from .clip import Clip, DataSource, as_source, make_clip, open_source, read_records
from .clip_list import ClipList
from .file_hashes import FileHashes
from .problems import PROBLEM_KINDS, Problem
from .remembered import Remembered
from .sound_check import check_sound

Result = TypeVar("Result")

CHECK_VERSION = 1
"""Raised when a check changes: results of another version are not used."""
_FOLDER = "checks"
_NUM_SHOWN = 3  # names in a line
_NUM_AHEAD = 64  # sounds that are checked before their turn
_CHECKSUM_BYTES = 32
_COMMON_CLIPS = 10  # that one caption may stand for in any data set
_COMMON_FRACTION = 0.02  # of a large data set

Progress = Callable[[int, int], None]
"""Called with (sounds done, sounds in all)."""


@dataclass(frozen=True)
class DatasetReport:
    """What a data set holds.

    Attributes:
        clips: The clips to train on, in order, on disk. A clip with repeats stands there as often.
        problems: All problems, in the order of the data.
        formats: The form of each data set.
    """

    clips: ClipList
    problems: tuple[Problem, ...]
    formats: tuple[str, ...]

    @property
    def num_sounds(self) -> int:
        """Number of different sounds to train on."""
        return self.clips.num_distinct

    @property
    def minutes(self) -> float:
        """Minutes of different sounds to train on."""
        return sum(clip.duration for clip, _ in self.clips.each_once()) / 60

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


class _KnownChecks:
    """Results of earlier checks, by the hash of a sound's content and its description."""

    def __init__(self, path: Path) -> None:
        self._remembered = Remembered(path)

    def get(self, clip: Clip, checksum: str) -> tuple[str, str] | None:
        """Return the kind and the detail of a sound's problem, or None."""
        key = f"{CHECK_VERSION} {checksum} {clip.sample_rate} {clip.num_samples}"
        result = self._remembered.get(key)
        is_known = result is None or (isinstance(result, list) and result[0] in PROBLEM_KINDS)
        if not is_known:
            result = check_sound(clip)
            self._remembered.set(key, result)
        return (str(result[0]), str(result[1])) if result else None

    def save(self) -> None:
        """Remember the results."""
        self._remembered.save()


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
    described = ClipList()
    all_repeats = array("I")
    for source in data:
        for record in read_records(source):
            clip = make_clip(record, source.trigger)
            if isinstance(clip, Problem):
                problems.append(clip)
            else:
                described.add(clip)
                all_repeats.append(record.repeats)
    checks = _check_all(described, data, progress)
    clips = ClipList(described.distinct)
    for number, clip in enumerate(described):
        problem = checks.problem(described, number, clip)
        if problem is not None:
            problems.append(problem)
        if problem is None or not problem.is_left_out:
            clips.add_known(number, all_repeats[number])
    problems += _common_captions(clips)
    formats = tuple(open_source(source)[0].name for source in data)
    return DatasetReport(clips, tuple(problems), formats)


@dataclass(frozen=True)
class _Checks:
    """Results of the check of all sounds.

    Attributes:
        problems: Kind and detail of each problem, by the number of the sound.
        first_copies: Number of the first sound with the same content, for every sound.
    """

    problems: Mapping[int, tuple[str, str]]
    first_copies: NDArray[np.int64]

    def problem(self, clips: Sequence[Clip], number: int, clip: Clip) -> Problem | None:
        """Return the problem of a sound, or None."""
        result = self.problems.get(number)
        problem = None if result is None else Problem(result[0], clip.label, result[1])
        first = int(self.first_copies[number])
        if first != number and (problem is None or not problem.is_left_out):
            label = clips[first].label
            if label != clip.label:
                return Problem("duplicated", clip.label, f"it is a copy of {label}")
        return problem


def _check_all(
    clips: Sequence[Clip], sources: list[DataSource], progress: Progress | None
) -> _Checks:
    """Listen to all sounds."""
    names = [os.path.abspath(source.name) for source in sources]  # noqa: PTH100  # may be no path
    stem = text_key(json.dumps(names))
    folder = cache_folder() / _FOLDER
    hashes = FileHashes(folder / f"{stem}_hashes.sqlite")
    known = _KnownChecks(folder / f"{stem}.sqlite")

    def check(clip: Clip) -> tuple[str, tuple[str, str] | None]:
        try:
            checksum = hashes.get(clip.path, clip.offset, clip.num_bytes)
        except DataError as error:
            return "", ("unreadable", str(error))
        return checksum, known.get(clip, checksum)

    problems: dict[int, tuple[str, str]] = {}
    checksums = bytearray()
    # libsndfile and NumPy work without the interpreter's lock
    with ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as pool:
        for number, (checksum, result) in enumerate(_in_order(pool, check, clips)):
            # a sound that cannot be read is a copy of none
            own = number.to_bytes(_CHECKSUM_BYTES, "big")
            checksums += bytes.fromhex(checksum) if checksum else own
            if result is not None:
                problems[number] = result
            if progress is not None:
                progress(number + 1, len(clips))
    try:
        hashes.save()
        known.save()
    except DataError as error:
        warnings.warn(f"the check is not remembered: {error}", stacklevel=2)
    return _Checks(problems, _first_copies(checksums))


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Clip], Result], clips: Iterable[Clip]
) -> Iterator[Result]:
    """Yield the results of a function in order; few are computed ahead."""
    pending: deque[Future[Result]] = deque()
    for clip in clips:
        pending.append(pool.submit(function, clip))
        if len(pending) == _NUM_AHEAD:
            yield pending.popleft().result()
    for future in pending:
        yield future.result()


def _first_copies(checksums: bytearray) -> NDArray[np.int64]:
    """Return for each checksum the number of the first one that is equal."""
    keys = np.frombuffer(bytes(checksums), f"V{_CHECKSUM_BYTES}")
    _, first, places = np.unique(keys, return_index=True, return_inverse=True)
    result: NDArray[np.int64] = first[places]
    return result


def _common_captions(clips: ClipList) -> list[Problem]:
    """Return the captions that stand for many different sounds."""
    hashes = array("q")
    num_clips = 0
    for clip, _ in clips.each_once():
        num_clips += 1
        hashes.extend([hash(caption) for caption in clip.captions])
    limit = max(_COMMON_CLIPS, _COMMON_FRACTION * num_clips)
    values, numbers = np.unique(np.frombuffer(hashes, np.int64), return_counts=True)
    common = set(values[numbers > limit].tolist())
    if not common:
        return []
    counts: Counter[str] = Counter()
    for clip, _ in clips.each_once():
        counts.update(caption for caption in clip.captions if hash(caption) in common)
    problems = []
    for caption, count in counts.most_common():
        if count > limit:
            problems.append(Problem("common_caption", caption, f"it stands for {count} sounds"))
    return problems
