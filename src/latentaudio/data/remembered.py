"""Small values that a later run needs again, by key, in an SQLite file.

Values stay on disk: memory does not grow with their number. Several processes may use a file.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import weakref
from pathlib import Path
from typing import Any

from ..config.parsing import parse_json
from ..errors import DataError
from ..fileio import created_folder

MISSING = object()
"""What `get` returns for an unknown key."""
_MAX_NEW = 1000  # values in memory
_TIMEOUT_S = 60.0  # for another process that writes
_DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
_CREATE = "CREATE TABLE IF NOT EXISTS remembered (key BLOB PRIMARY KEY, value TEXT) WITHOUT ROWID"


class Remembered:
    """Values that JSON has, by key."""

    def __init__(self, path: Path) -> None:
        """Open a file if it exists; `save` makes it.

        Args:
            path: The file. A damaged one is written anew.
        """
        self.path = path
        self._new: dict[bytes, str] = {}
        self._failure = ""
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def get(self, key: str) -> Any:
        """Return the value of a key, or `MISSING`."""
        digest = _digest(key)
        with self._lock:
            text = self._new.get(digest)
            if text is None:
                text = self._stored(digest)
        try:
            return MISSING if text is None else parse_json(text)
        except ValueError:
            return MISSING

    def set(self, key: str, value: Any) -> None:
        """Remember a value. If the file cannot be written, only `save` says so."""
        with self._lock:
            self._new[_digest(key)] = json.dumps(value)
            if len(self._new) >= _MAX_NEW:
                self._flush()

    def save(self) -> None:
        """Write all values.

        Raises:
            DataError: The file cannot be written, now or when memory was full.
        """
        with self._lock:
            if self._new:
                self._flush()
            failure = self._failure
            self._failure = ""
        if failure:
            raise DataError(
                f"cannot write {self.path} ({failure}); choose another place or free some space"
            )

    def _flush(self) -> None:
        """Write the new values, or note why they are lost."""
        try:
            with created_folder(self.path.parent):
                self._write()
        except (OSError, sqlite3.Error) as error:
            self._failure = str(error)
        self._new.clear()

    def _stored(self, digest: bytes) -> str | None:
        """Return a value of the file; None if there is none, or if the file is damaged."""
        try:
            if self._connection is None:
                if not self.path.is_file():
                    return None
                self._open()
            assert self._connection is not None
            rows = self._connection.execute(
                "SELECT value FROM remembered WHERE key = ?", (digest,)
            ).fetchall()
        except (OSError, sqlite3.Error):
            return None
        return rows[0][0] if rows else None

    def _open(self) -> None:
        """Open the file, and make it if there is none."""
        connection = sqlite3.connect(self.path, timeout=_TIMEOUT_S, check_same_thread=False)
        weakref.finalize(self, connection.close)
        self._connection = connection

    def _write(self) -> None:
        """Write the new values; a damaged file gives way to a new one."""
        for is_last in (False, True):
            if self._connection is None or not self.path.is_file():
                self._open()
            assert self._connection is not None
            try:
                with self._connection as connection:
                    connection.execute(_CREATE)
                    connection.executemany(
                        "INSERT OR REPLACE INTO remembered VALUES (?, ?)", self._new.items()
                    )
                return
            except sqlite3.Error as error:
                if is_last or getattr(error, "sqlite_errorname", "") not in _DAMAGED:
                    raise
                self._connection.close()
                self._connection = None
                self.path.unlink()


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()
