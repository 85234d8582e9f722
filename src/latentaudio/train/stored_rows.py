"""Rows that earlier encodings have made: they are copied, not encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config.parsing import parse_json, read_bounded
from ..data.pre_encoded import (
    CAPTION_PREFIX,
    INDEX_FILE,
    Arrays,
    Bucket,
    PreEncodedDataset,
)
from ..errors import DataError
from .fingerprints import SOUND_KEY_CHARS

KEYS_FILE = "keys.txt"
"""File in a folder of encoded clips: the key of each clip, in the order of the rows."""

_KEY_CHARS = 32
_KEY_TYPE = f"S{_KEY_CHARS}"


class StoredSound(NamedTuple):
    """The place of a row whose sound was encoded before, perhaps with other captions."""

    folder: Path
    num_frames: int
    row: int


class StoredRows(Mapping[str, tuple[Bucket, int]]):
    """Bucket and index of rows of one length, by key; 48 bytes for each row."""

    def __init__(self) -> None:
        """Make an empty map."""
        self._buckets: list[Bucket] = []
        self._folders: list[Path] = []
        self._keys = np.zeros(0, _KEY_TYPE)  # in order
        self._places = np.zeros((0, 2), np.int64)  # number of the bucket, index of the row

    def add(self, bucket: Bucket, keys: list[str], folder: Path) -> None:
        """Add the rows of a bucket; they take the place of older ones of the same key.

        Args:
            bucket: The bucket.
            keys: Key of each row.
            folder: Folder of the data set with the bucket.
        """
        number = np.full(len(keys), len(self._buckets))
        places = np.stack([number, np.arange(len(keys))], axis=1)
        all_keys = np.concatenate([self._keys, np.array(keys, _KEY_TYPE)])
        order = np.argsort(all_keys, kind="stable")
        self._buckets.append(bucket)
        self._folders.append(folder)
        self._keys = all_keys[order]
        self._places = np.concatenate([self._places, places])[order]

    def __getitem__(self, key: str) -> tuple[Bucket, int]:
        """Return the bucket and the index of a row."""
        position = int(np.searchsorted(self._keys, key.encode(), side="right")) - 1
        if position < 0 or self._keys[position] != key.encode():
            raise KeyError(key)
        number, index = self._places[position].tolist()
        return self._buckets[number], index

    def sound(self, key: str) -> StoredSound | None:
        """Return a row with the sound of a key, whatever its captions are; None: there is none."""
        start = key[:SOUND_KEY_CHARS].encode()
        position = int(np.searchsorted(self._keys, start))
        if position == len(self._keys) or not self._keys[position].startswith(start):
            return None
        number, index = self._places[position].tolist()
        return StoredSound(self._folders[number], self._buckets[number].num_frames, index)

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        for key in np.unique(self._keys).tolist():
            yield key.decode()

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(np.unique(self._keys))


def stored_rows(root: Path, encoder: str) -> dict[int, StoredRows]:
    """Return the rows of earlier folders that the same encoders made, by mel frames.

    Args:
        root: Folder of all pre-encoded data.
        encoder: Fingerprint of the encoders.
    """
    stored: dict[int, StoredRows] = {}
    for index_file in sorted(root.glob(f"[!.]*/{INDEX_FILE}")):
        try:
            index = parse_json(read_bounded(index_file))
            if index.get("encoder") != encoder:
                continue
            dataset = PreEncodedDataset(index_file.parent)
            keys = index_file.with_name(KEYS_FILE).read_text(encoding="utf-8").split()
        except (DataError, OSError, ValueError, AttributeError):
            continue  # damaged, or of another format: its clips are encoded again
        are_keys = all(len(key) == _KEY_CHARS and key.isascii() for key in keys)
        if not are_keys or len(keys) != sum(bucket.num_clips for bucket in dataset.buckets):
            continue
        start = 0
        for bucket in dataset.buckets:
            end = start + bucket.num_clips
            stored.setdefault(bucket.num_frames, StoredRows()).add(
                bucket, keys[start:end], index_file.parent
            )
            start = end
    return stored


def read_sound(place: StoredSound) -> Arrays:
    """Return the stored arrays of one sound, without those of its captions.

    Args:
        place: Its place.

    Raises:
        DataError: The data set was removed or damaged since.
    """
    [bucket] = [b for b in _buckets(place.folder) if b.num_frames == place.num_frames]
    arrays: Arrays = {}
    for name, rows in bucket.arrays.items():
        if not name.startswith(CAPTION_PREFIX):
            arrays[name] = rows[place.row : place.row + 1]
    return arrays


def close_stored_sounds() -> None:
    """Close the data sets that `read_sound` keeps open."""
    _buckets.cache_clear()


@lru_cache(maxsize=8)
def _buckets(folder: Path) -> list[Bucket]:
    return PreEncodedDataset(folder).buckets
