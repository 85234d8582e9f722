"""A list whose values lie on disk, so that a large data set needs hardly any memory."""

from __future__ import annotations

import json
import threading
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from tempfile import TemporaryFile
from typing import Any, Generic, TypeVar, overload

from ..config.parsing import parse_json

T = TypeVar("T")


class DiskList(Sequence[T], Generic[T]):
    """Values in a temporary file; memory holds 8 bytes for each.

    Reading a value makes a new object. The file has no name, and ends with the list or the process.
    """

    def __init__(
        self,
        to_json: Callable[[T], Any],
        from_json: Callable[[Any], T],
        values: Iterable[T] = (),
    ) -> None:
        """Make a list.

        Args:
            to_json: Returns a value as lists, numbers and texts.
            from_json: Makes the value of them.
            values: First values.
        """
        self._to_json = to_json
        self._from_json = from_json
        self._file = TemporaryFile()  # noqa: SIM115  # it lives as long as the list
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._ends = array("Q", [0])
        for value in values:
            self.append(value)

    def append(self, value: T) -> None:
        """Add a value at the end."""
        data = json.dumps(self._to_json(value), default=str).encode()
        with self._lock:
            self._file.seek(self._ends[-1])
            self._file.write(data)
            self._ends.append(self._ends[-1] + len(data))

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...

    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        """Read a value, or several."""
        if isinstance(index, slice):
            return tuple(self._read(position) for position in range(len(self))[index])
        return self._read(range(len(self))[index])

    def __iter__(self) -> Iterator[T]:
        """Read all values in order."""
        for position in range(len(self)):
            yield self._read(position)

    def _read(self, position: int) -> T:
        start = self._ends[position]
        with self._lock:
            self._file.seek(start)
            data = self._file.read(self._ends[position + 1] - start)
        return self._from_json(parse_json(data))
