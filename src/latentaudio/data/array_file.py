"""Files of tensors that are written a few rows at a time, so that they need not fit into memory.

The layout is that of safetensors: 8 bytes with the size of a header, the header as JSON, the data.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

_HEADER_BYTES = 2**16  # the header is written last, into room that is left for it
_DTYPES = {
    torch.float16: "F16",
    torch.float32: "F32",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.bool: "BOOL",
}


class ArrayFileWriter:
    """Writes arrays of known sizes into one file, by any number of rows at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Args:
            path: The file, which is written over.
        """
        self._file = path.open("wb")
        self._header: dict[str, dict[str, Any]] = {}
        self._cursors: dict[str, int] = {}
        self._end = 0

    def __enter__(self) -> ArrayFileWriter:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the header, unless there was an error, and close the file."""
        try:
            if kind is None:
                self._write_header()
        finally:
            self._file.close()

    def reserve(self, name: str, dtype: torch.dtype, shape: Sequence[int]) -> None:
        """Leave room for an array behind those before.

        Args:
            name: Name of the array.
            dtype: Type of its values.
            shape: Its shape, with all of its rows.
        """
        num_bytes = torch.Size(shape).numel() * dtype.itemsize
        offsets = [self._end, self._end + num_bytes]
        self._header[name] = {
            "dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": offsets
        }  # fmt: skip
        self._cursors[name] = self._end
        self._end += num_bytes

    def reserve_all(self, arrays: Mapping[str, tuple[torch.dtype, Sequence[int]]]) -> None:
        """Leave room for several arrays, those of larger values first, as safetensors does.

        Args:
            arrays: Type and shape by name.
        """
        for name in sorted(arrays, key=lambda name: (-arrays[name][0].itemsize, name)):
            self.reserve(name, *arrays[name])

    def append(self, name: str, rows: Tensor) -> None:
        """Write the next rows of an array.

        Args:
            name: Name of the array.
            rows: Rows of its type.
        """
        data = memoryview(rows.contiguous().numpy()).cast("B") if rows.numel() else b""
        self._file.seek(8 + _HEADER_BYTES + self._cursors[name])
        self._file.write(data)
        self._cursors[name] += len(data)

    def _write_header(self) -> None:
        for name, entry in self._header.items():
            assert self._cursors[name] == entry["data_offsets"][1], f"rows of {name} are missing"
        text = json.dumps(self._header).encode()
        assert len(text) <= _HEADER_BYTES, "too many arrays for one file"
        self._file.seek(0)
        self._file.write(struct.pack("<Q", _HEADER_BYTES) + text.ljust(_HEADER_BYTES))
        self._file.truncate(8 + _HEADER_BYTES + self._end)
