"""Hashes of the content of sounds, remembered so that unchanged files are read once."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from ..errors import DataError
from ..fileio import sha256_of_file
from .remembered import Remembered
from .stored_sound import open_part

_SETTLE_S = 2.0
"""A file that was changed in the last 2 s may change again within the resolution of its times."""


class FileHashes:
    """SHA-256 of files and of parts of files, remembered by path, size and times.

    A file is read again if its size, its modification time or its status change time differs.
    """

    def __init__(self, path: Path, settle_s: float = _SETTLE_S) -> None:
        """Find the hashes of earlier runs.

        Args:
            path: File to remember hashes in. A damaged file is written anew.
            settle_s: Files that changed in so many last seconds are not remembered.
        """
        self.path = path
        self.settle_s = settle_s
        self._remembered = Remembered(path)

    def get(self, file: Path, offset: int = 0, num_bytes: int | None = None) -> str:
        """Return the SHA-256 of the bytes of a file, or of a part of it.

        Args:
            file: The file.
            offset: First byte of the part.
            num_bytes: Length of the part, or None for all of the file.

        Raises:
            DataError: The file cannot be read.
        """
        name = str(file.absolute())
        if num_bytes is not None:
            name = f"{name}@{offset}+{num_bytes}"
        try:
            state = file.stat()
            identity = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
            entry = self._remembered.get(name)
            if isinstance(entry, list) and entry[:-1] == identity:
                return str(entry[-1])
            checksum = _sha256(file, offset, num_bytes)
        except OSError as error:
            raise DataError(
                f"cannot read {file} ({error.strerror or error}); "
                "replace the file or remove its line from the manifest"
            ) from None
        if time.time() - max(state.st_mtime, state.st_ctime) > self.settle_s:
            self._remembered.set(name, [*identity, checksum])
        return checksum

    def save(self) -> None:
        """Remember the hashes for later runs.

        Raises:
            DataError: The file cannot be written.
        """
        self._remembered.save()


def _sha256(file: Path, offset: int, num_bytes: int | None) -> str:
    if num_bytes is None:
        return sha256_of_file(file)
    with open_part(file, offset, num_bytes) as part:
        return hashlib.file_digest(part, "sha256").hexdigest()
