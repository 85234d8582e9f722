"""Hashes of the content of sounds, remembered so that unchanged files are read once."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from ..config.parsing import parse_json, read_bounded
from ..errors import DataError
from ..fileio import atomic_write, sha256_of_file
from .stored_sound import open_part

_MAX_BYTES = 2**30
"""Longest file of hashes that is read: some million sounds."""
_SETTLE_S = 2.0
"""A file that was changed in the last 2 s may change again within the resolution of its times."""


class FileHashes:
    """SHA-256 of files and of parts of files, remembered by path, size and times.

    A file is read again if its size, its modification time or its status change time differs.
    """

    def __init__(self, path: Path, settle_s: float = _SETTLE_S) -> None:
        """Read the hashes of earlier runs.

        Args:
            path: JSON file to remember hashes in. A damaged file is written anew.
            settle_s: Files that changed in so many last seconds are not remembered.
        """
        self.path = path
        self.settle_s = settle_s
        self._entries: dict[str, list[Any]] = {}
        self._is_changed = False
        try:
            entries = parse_json(read_bounded(path, _MAX_BYTES))
        except (OSError, ValueError):
            return
        if isinstance(entries, dict):
            self._entries = entries

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
            entry = self._entries.get(name)
            if isinstance(entry, list) and entry[:-1] == identity:
                return str(entry[-1])
            checksum = _sha256(file, offset, num_bytes)
        except OSError as error:
            raise DataError(
                f"cannot read {file} ({error.strerror or error}); "
                "replace the file or remove its line from the manifest"
            ) from None
        if time.time() - max(state.st_mtime, state.st_ctime) > self.settle_s:
            self._entries[name] = [*identity, checksum]
            self._is_changed = True
        return checksum

    def save(self) -> None:
        """Remember the hashes for later runs."""
        if not self._is_changed:
            return
        with atomic_write(self.path) as temporary:
            temporary.write_text(json.dumps(self._entries), encoding="utf-8")
        self._is_changed = False


def _sha256(file: Path, offset: int, num_bytes: int | None) -> str:
    if num_bytes is None:
        return sha256_of_file(file)
    with open_part(file, offset, num_bytes) as part:
        return hashlib.file_digest(part, "sha256").hexdigest()
