"""Clips and uploaded files on disk: each is there complete, or not at all, after any kill.

A job is a folder that gets its name when all its clips are in it. Names are random ids; nothing
that a client sends becomes part of a path.

    jobs/ID/record.json, clip_000.npy, content_000, ...     files/ID/record.json, data
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.ops import Samples
from ..config.parsing import parse_json, read_bounded
from ..errors import DataError
from ..fileio import atomic_directory, remove_abandoned_parts

JOB_PREFIX = "gen_"
FILE_PREFIX = "file_"
_ID = re.compile(r"(?:gen|file)_[0-9a-f]{32}")
_RECORD = "record.json"
_DATA = "data"


def new_id(prefix: str) -> str:
    """Return a name that nobody can guess."""
    return f"{prefix}{secrets.token_hex(16)}"


def is_id(text: str) -> bool:
    """Return whether a text has the form of an id."""
    return _ID.fullmatch(text) is not None


class Store:
    """A folder of finished jobs and uploaded files.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder, and remove what a killed server left half-written.

        Raises:
            DataError: The folder cannot be written.
        """
        self.folder = folder
        try:
            for part in (self._jobs, self._files):
                part.mkdir(parents=True, exist_ok=True)
                remove_abandoned_parts(part)
        except OSError as error:
            raise DataError(
                f"cannot write {folder} ({error.strerror or error}); choose another --store"
            ) from None

    @property
    def _jobs(self) -> Path:
        return self.folder / "jobs"

    @property
    def _files(self) -> Path:
        return self.folder / "files"

    @contextmanager
    def write_job(self, job: str) -> Iterator[JobFolder]:
        """Yield a folder for the clips of a job, which appears with its record in it.

        Args:
            job: Its id.

        Raises:
            DataError: The disk is full or cannot be written.
        """
        try:
            with atomic_directory(self._jobs / job) as temporary:
                yield JobFolder(temporary)
        except OSError as error:
            raise DataError(f"the server cannot store clips ({error.strerror or error})") from None

    def read_clip(self, job: str, index: int) -> Samples:
        """Return the samples [C, N] of a stored clip."""
        path = _clip_path(self._jobs / job, index)
        samples: Samples = np.load(path, allow_pickle=False)
        return samples

    def read_content(self, job: str, index: int) -> bytes:
        """Return the bytes of a clip in the format of its job."""
        return _content_path(self._jobs / job, index).read_bytes()

    def copy_clips(self, job: str, target: JobFolder, num_clips: int) -> None:
        """Give another job the same clips. They share the disk's blocks where it can."""
        for index in range(num_clips):
            for path_of in (_clip_path, _content_path):
                source = path_of(self._jobs / job, index)
                copy = path_of(target.folder, index)
                try:
                    os.link(source, copy)
                except OSError:
                    shutil.copyfile(source, copy)

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield id and record of all stored jobs."""
        yield from _records(self._jobs)

    def remove_job(self, job: str) -> None:
        """Remove a job and its clips."""
        _remove(self._jobs / job)

    def job_bytes(self, job: str) -> int:
        """Return the size of a stored job on disk."""
        return _folder_bytes(self._jobs / job)

    def add_file(self, file: str, source: Path, record: Mapping[str, Any]) -> None:
        """Keep an uploaded file.

        Args:
            file: Its id.
            source: Where its bytes are; they are moved.
            record: What is known of it.

        Raises:
            DataError: The disk is full or cannot be written.
        """
        try:
            with atomic_directory(self._files / file) as temporary:
                shutil.move(source, temporary / _DATA)
                (temporary / _RECORD).write_text(json.dumps(record))
        except OSError as error:
            raise DataError(f"the server cannot store files ({error.strerror or error})") from None

    def file_path(self, file: str) -> Path:
        """Return where the bytes of an uploaded file are."""
        return self._files / file / _DATA

    def file_records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield id and record of all uploaded files."""
        yield from _records(self._files)

    def remove_file(self, file: str) -> None:
        """Remove an uploaded file."""
        _remove(self._files / file)

    def new_path(self) -> Path:
        """Return a random path for bytes that arrive."""
        return self._files / f".{secrets.token_hex(8)}.{os.getpid()}.part"


class JobFolder:
    """The folder of a job that is being written.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add_clip(self, index: int, samples: Samples) -> None:
        """Write the samples [C, N] of a clip."""
        path = _clip_path(self.folder, index)
        with path.open("wb") as file:
            np.save(file, np.ascontiguousarray(samples, np.float32), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())

    def add_content(self, index: int, data: bytes) -> None:
        """Write the bytes of a clip in the format of the job."""
        with _content_path(self.folder, index).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Write the record, the last file of a job."""
        with (self.folder / _RECORD).open("w") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())


def _clip_path(folder: Path, index: int) -> Path:
    return folder / f"clip_{index:03}.npy"


def _content_path(folder: Path, index: int) -> Path:
    return folder / f"content_{index:03}"


def _records(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield id and record of each member of a folder; a damaged one is passed over."""
    for place in sorted(folder.iterdir()):
        if not is_id(place.name):
            continue
        with suppress(OSError, ValueError):
            record = parse_json(read_bounded(place / _RECORD))
            if isinstance(record, dict):
                yield place.name, record


def _remove(place: Path) -> None:
    """Remove a folder: first its name, so that a kill leaves no half of it."""
    hidden = place.with_name(f".{secrets.token_hex(8)}.{os.getpid()}.part")
    with suppress(OSError):
        place.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def _folder_bytes(folder: Path) -> int:
    total = 0
    with suppress(OSError):
        for path in folder.iterdir():
            total += path.stat().st_size
    return total
