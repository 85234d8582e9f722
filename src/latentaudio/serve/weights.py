"""Which weights a server computes with, so that no clip of other weights is taken for an answer."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..fileio import sha256_of_file
from ..loaders.model_folder import base_folder

if TYPE_CHECKING:
    from ..loaders.layouts import ModelSource


class WeightHashes:
    """Hashes of the files that models are read from. Its methods may be called from any thread.

    A hash is kept until `forget`, because a loaded model keeps its weights if its files change.
    """

    def __init__(self) -> None:
        self._hashes: dict[Hashable, str] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, source: ModelSource, adapter: Path | None) -> str:
        """Return the hash of a model's files; the first call reads all of them.

        Args:
            key: What the hash is kept for.
            source: The model.
            adapter: File of an adapter, or None.

        Raises:
            OSError: A file cannot be read.
        """
        with self._lock:
            if key not in self._hashes:
                digest = hashlib.sha256()
                for file in _files_of(source, adapter):
                    digest.update(f"{file.name} {sha256_of_file(file)}\n".encode())
                self._hashes[key] = digest.hexdigest()
            return self._hashes[key]

    def forget(self) -> None:
        """Read the files again at the next call."""
        with self._lock:
            self._hashes.clear()


def _files_of(source: ModelSource, adapter: Path | None) -> Iterator[Path]:
    """Yield all files that decide the weights: also shapes, tokenizers and single components."""
    places = [source.path, *_base_of(source)]
    places += [source.component_files[name] for name in sorted(source.component_files)]
    if adapter is not None:
        places.append(adapter)
    for place in places:
        if place.is_dir():
            yield from sorted(file for file in place.rglob("*") if file.is_file())
        else:
            yield place


def _base_of(source: ModelSource) -> list[Path]:
    """Return the folder of the components that a model folder lacks, if there is one."""
    base = base_folder(source.path) if source.layout == "latentaudio" else None
    return [] if base is None else [base]
