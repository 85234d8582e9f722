"""Cache of features on disk: one SQLite file, in which an interrupted evaluation goes on.

The key of an entry is the SHA-256 of the audio file and a hash of all that changes the features:
backbone, its weights, rate, resampler, and the version of our code. The name and the folder of a
file have no influence. An entry begins with a checksum, so that a damaged one is not used.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from ..config.parsing import parse_json
from ..errors import DataError
from ..fileio import cache_folder
from .clip_facts import ClipFacts
from .features import ClipFeatures

FILE_NAME = "features.sqlite"
COMMIT_EVERY = 64  # entries; an interruption loses at most so many
FACTS_KEY = "facts"
_CHECKSUM_BYTES = 4
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS checked (audio TEXT, key TEXT, data BLOB, PRIMARY KEY (audio, key))"
    " WITHOUT ROWID"
)


def default_cache_folder() -> Path:
    """Return the folder of the cache, below that of data sets."""
    return cache_folder() / "evaluate"


def key_of(settings: Mapping[str, Any]) -> str:
    """Return the hash of settings that change features."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


class EmbeddingsCache:
    """Features and facts by audio file and settings. Use it as a context manager."""

    def __init__(self, folder: Path | None) -> None:
        """Open or create the cache.

        Args:
            folder: its folder; None: a temporary one, which is deleted at the end.

        Raises:
            DataError: The folder cannot be written, or its file is damaged.
        """
        self._temporary = TemporaryDirectory() if folder is None else None
        self.folder = Path(self._temporary.name) if self._temporary else Path(folder or "")
        self.file = self.folder / FILE_NAME
        self._num_waiting = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                self._database = sqlite3.connect(self.file, timeout=60)
                stack.callback(self._database.close)
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=NORMAL")
                self._database.execute(_SCHEMA)
                stack.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from None

    def __enter__(self) -> EmbeddingsCache:
        """Return the cache."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what waits, and close, also after Ctrl-C."""
        try:
            with closing(self._database):
                self._database.commit()
        except sqlite3.Error as failure:
            if error is None:
                raise self._error(failure) from None
        finally:
            if self._temporary:
                self._temporary.cleanup()

    def has(self, audio: str, key: str) -> bool:
        """Return whether there is an undamaged entry of an audio file."""
        return self._get(audio, key) is not None

    def get_features(self, audio: str, key: str) -> ClipFeatures | None:
        """Return the features of an audio file; None if there are none or they are damaged."""
        data = self._get(audio, key)
        if data is None:
            return None
        try:
            arrays = load_arrays(data)
            embeddings = arrays["embeddings"]
        except (SafetensorError, KeyError, ValueError):
            return None
        return ClipFeatures(embeddings, arrays.get("logits"))

    def put_features(self, audio: str, key: str, features: ClipFeatures) -> None:
        """Store the features of an audio file."""
        arrays = {"embeddings": np.ascontiguousarray(features.embeddings, np.float32)}
        if features.logits is not None:
            arrays["logits"] = np.ascontiguousarray(features.logits, np.float32)
        self._put(audio, key, save_arrays(arrays))

    def get_facts(self, audio: str, key: str) -> ClipFacts | None:
        """Return the facts about an audio file; None if there are none or they are damaged."""
        data = self._get(audio, key)
        if data is None:
            return None
        try:
            return ClipFacts(**parse_json(data))
        except (TypeError, ValueError):
            return None

    def put_facts(self, audio: str, key: str, facts: Mapping[str, Any]) -> None:
        """Store the facts about an audio file."""
        self._put(audio, key, json.dumps(facts).encode())

    def damaged(self) -> DataError:
        """Return the error of an entry that cannot be read back."""
        return self._error(ValueError("an entry is damaged"))

    def _get(self, audio: str, key: str) -> bytes | None:
        query = "SELECT data FROM checked WHERE audio = ? AND key = ?"
        row = self._execute(query, (audio, key)).fetchone()
        entry = row[0] if row and isinstance(row[0], bytes) else b""
        digest = entry[:_CHECKSUM_BYTES]
        data = entry[_CHECKSUM_BYTES:]
        return data if digest == _checksum(data) else None

    def _put(self, audio: str, key: str, data: bytes) -> None:
        entry = _checksum(data) + data
        self._execute("INSERT OR REPLACE INTO checked VALUES (?, ?, ?)", (audio, key, entry))
        self._num_waiting += 1
        if self._num_waiting >= COMMIT_EVERY:
            self._num_waiting = 0
            try:
                self._database.commit()
            except sqlite3.Error as error:
                raise self._error(error) from None

    def _execute(self, query: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        try:
            return self._database.execute(query, values)
        except sqlite3.Error as error:
            raise self._error(error) from None

    def _error(self, error: Exception) -> DataError:
        return DataError(
            f"the cache {self.file} cannot be used ({error}); delete it or name another folder "
            "with --cache"
        )


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "little")
