"""Clips of a data set, on disk."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from .clip import Clip
from .disk_list import DiskList


def clip_to_json(clip: Clip) -> list[Any]:
    """Return a clip as lists, numbers and texts."""
    return [
        str(clip.path),
        clip.captions,
        clip.sample_rate,
        clip.num_samples,
        clip.record,
        clip.offset,
        clip.num_bytes,
        clip.name,
    ]


def clip_from_json(values: list[Any]) -> Clip:
    """Return the clip of `clip_to_json`."""
    path, captions, *others = values
    return Clip(Path(path), tuple(captions), *others)


class ClipList(Sequence[Clip]):
    """Clips in order, where a clip with repeats stands as often, one beside the other.

    They are read when they are needed. Repeats that are read one after the other are one object.

    Attributes:
        distinct: The clips without repeats.
    """

    def __init__(self, distinct: DiskList[Clip] | None = None) -> None:
        """Make an empty list.

        Args:
            distinct: Clips that `add_known` may add.
        """
        self.distinct = DiskList(clip_to_json, clip_from_json) if distinct is None else distinct
        self._order = array("I")
        self._last: tuple[int, Clip] | None = None

    def add(self, clip: Clip, repeats: int = 1) -> None:
        """Add a clip at the end, as often as an epoch has it."""
        self.distinct.append(clip)
        self.add_known(len(self.distinct) - 1, repeats)

    def add_known(self, number: int, repeats: int = 1) -> None:
        """Add the clip of a number in `distinct` at the end."""
        self._order.extend([number] * repeats)

    def filtered(self, keep: Callable[[Clip], bool]) -> ClipList:
        """Return the clips for which a function returns true.

        Args:
            keep: The function, called once for each clip.
        """
        result = ClipList(self.distinct)
        number = -1
        is_kept = False
        for each in self._order:
            if each != number:
                number = each
                is_kept = keep(self.distinct[number])
            if is_kept:
                result.add_known(number)
        return result

    def each_once(self) -> Iterator[tuple[Clip, int]]:
        """Yield each clip with its repeats."""
        start = 0
        while start < len(self._order):
            number = self._order[start]
            end = start + 1
            while end < len(self._order) and self._order[end] == number:
                end += 1
            yield self.distinct[number], end - start
            start = end

    @property
    def num_distinct(self) -> int:
        """Number of different clips."""
        return len(np.unique(np.frombuffer(self._order, np.uint32)))

    def __len__(self) -> int:
        """Return the number of clips, with repeats."""
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> Clip: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Clip, ...]: ...

    def __getitem__(self, index: int | slice) -> Clip | tuple[Clip, ...]:
        """Return a clip, or several."""
        if isinstance(index, slice):
            return tuple(self[position] for position in range(len(self))[index])
        number = self._order[index]
        last = self._last
        if last is None or last[0] != number:
            last = (number, self.distinct[number])
            self._last = last
        return last[1]

    def __eq__(self, other: object) -> bool:
        """Return whether another sequence has the same clips."""
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]
