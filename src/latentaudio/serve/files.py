"""Uploaded files: checked when they arrive, read when a request names them, deleted in time."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..audio.io import Audio, info
from ..editing.drawn_mask import MaskPixels, load_mask
from ..editing.inputs import RequestInputs, SourceAudio
from ..errors import DataError, LatentAudioError, UsageError
from ..fileio import sha256_of_file
from .limits import Limits
from .problems import Problem, problem_of
from .schemas import UploadedFile
from .store import FILE_PREFIX, Store, new_id

PART_PREFIX = "part:"
_CLIP_REFERENCE = re.compile(r"(gen_[0-9a-f]{32})/(\d{1,3})")
_BLOCK_FRAMES = 1 << 14
_MAX_CHANNELS = 16
_MAX_NAME_CHARS = 100
_IMAGE_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8", b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class Upload:
    """An uploaded file and who sent it."""

    owner: str
    file: UploadedFile

    def renewed(self, lifetime_s: float) -> Upload:
        """Return the same file with its full lifetime before it."""
        changes = {"expires": time.time() + lifetime_s}
        return Upload(self.owner, self.file.model_copy(update=changes))


class Uploads:
    """The uploaded files of all owners. Its methods may be called from any thread.

    Attributes:
        store: Where their bytes are.
        limits: Limits of files.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.RLock()
        for file, record in store.file_records():
            try:
                upload = Upload(str(record["client"]), UploadedFile(**record["file"]))
            except (KeyError, TypeError, ValueError):
                store.remove_file(file)
                continue
            self._uploads[file] = upload.renewed(limits.file_lifetime_s)

    def add(self, owner: str, path: Path, name: str) -> UploadedFile:
        """Check a file that has arrived and keep it; it takes time.

        Args:
            owner: Who sent it.
            path: Where its bytes are; they are moved.
            name: The name that the client gave.

        Raises:
            Problem: It is neither audio nor an image, or too large, or there are too many.
        """
        num_bytes = path.stat().st_size
        self._check_room(owner, num_bytes)
        shown = _safe_name(name)
        facts = inspect(path, shown, self.limits)
        now = time.time()
        file = UploadedFile(
            id=new_id(FILE_PREFIX),
            name=shown,
            size=num_bytes,
            sha256=sha256_of_file(path),
            created=now,
            expires=now + self.limits.file_lifetime_s,
            **facts,
        )
        with self._lock:
            self._check_room(owner, num_bytes)  # others may have come meanwhile
            self.store.add_file(file.id, path, {"client": owner, "file": file.model_dump()})
            self._uploads[file.id] = Upload(owner, file)
        return file

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        with self._lock:
            return sum(upload.file.size for upload in self._uploads.values())

    def get(self, owner: str, file: str) -> UploadedFile:
        """Return a file and renew its lifetime.

        Raises:
            Problem: The owner has no such file.
        """
        with self._lock:
            upload = self._uploads.get(file)
            if upload is None or upload.owner != owner or upload.file.expires < time.time():
                raise Problem("not_found", f"there is no file {file!r:.60}; it may have expired")
            self._uploads[file] = upload.renewed(self.limits.file_lifetime_s)
            return self._uploads[file].file

    def of_owner(self, owner: str) -> list[UploadedFile]:
        """Return the files of an owner, the newest first."""
        with self._lock:
            files = [upload.file for upload in self._uploads.values() if upload.owner == owner]
        return sorted(files, key=lambda file: -file.created)

    def remove(self, owner: str, file: str) -> None:
        """Delete a file.

        Raises:
            Problem: The owner has no such file.
        """
        with self._lock:
            self.get(owner, file)
            del self._uploads[file]
        self.store.remove_file(file)

    def remove_expired(self) -> None:
        """Delete the files whose time is over."""
        now = time.time()
        with self._lock:
            expired = [name for name, each in self._uploads.items() if each.file.expires < now]
            for file in expired:
                del self._uploads[file]
        for file in expired:
            self.store.remove_file(file)

    def _check_room(self, owner: str, num_bytes: int) -> None:
        """Raise Problem if a file of some bytes has no place."""
        if len(self.of_owner(owner)) >= self.limits.max_files:
            raise Problem(
                "too_large", f"you have {self.limits.max_files} files here; delete some first"
            )
        if self.num_bytes + num_bytes > self.limits.max_uploads_bytes:
            raise Problem(
                "too_large", "the server has no room for more files; delete some, or try later"
            )


class ClipReader(Protocol):
    """Reads clips of finished jobs."""

    def read_audio(self, owner: str, job: str, index: int) -> Audio:
        """Return a clip of a finished job of an owner."""


@dataclass(frozen=True)
class FileReader:
    """Reads the files that one request names.

    Attributes:
        owner: Who sent the request.
        uploads: Uploaded files.
        jobs: Finished jobs, whose clips can be named.
        parts: Paths of the file parts of the request, and their names, by name of the part.
    """

    owner: str
    uploads: Uploads
    jobs: ClipReader
    parts: Mapping[str, tuple[Path, str]] = field(default_factory=dict)

    def read_audio(self, reference: str, inputs: RequestInputs) -> SourceAudio:
        """Decode a sound and keep it in the inputs of a request.

        Args:
            reference: See `schemas`.
            inputs: Where it is kept.

        Raises:
            Problem: There is no such sound.
        """
        match = _CLIP_REFERENCE.fullmatch(reference)
        if match is not None:
            return inputs.load_audio(self.jobs.read_audio(self.owner, match[1], int(match[2])))
        with self._named(reference) as path:
            return inputs.load_audio(str(path))

    def read_mask(self, reference: str) -> MaskPixels:
        """Decode a mask.

        Raises:
            Problem: There is no such image.
        """
        with self._named(reference) as path:
            return load_mask(str(path))

    @contextmanager
    def _named(self, reference: str) -> Iterator[Path]:
        """Yield the path of a file; errors in the block name the file as the client knows it."""
        if reference.startswith(PART_PREFIX):
            part = reference.removeprefix(PART_PREFIX)
            if part not in self.parts:
                raise Problem("invalid_request", f"the request has no file part named {part!r:.60}")
            path, name = self.parts[part]
            shown = _safe_name(name)
            inspect(path, shown, self.uploads.limits)
        else:
            try:
                shown = self.uploads.get(self.owner, reference).name
            except Problem as problem:
                raise Problem("invalid_request", problem.info.message) from None
            path = self.uploads.store.file_path(reference)
        try:
            yield path
        except LatentAudioError as error:
            raise problem_of(error, {str(path): shown}) from None


def inspect(path: Path, shown: str, limits: Limits) -> dict[str, Any]:
    """Return the facts about a file; decode audio once, within limits.

    Args:
        path: The file.
        shown: Its name in errors.
        limits: Most that it may hold.

    Raises:
        Problem: It is neither audio nor an image, or too large.
    """
    with path.open("rb") as file:
        start = file.read(12)
    is_image = start.startswith(_IMAGE_SIGNATURES) or (
        start.startswith(b"RIFF") and start[8:] == b"WEBP"
    )
    examine: Callable[[Path, Limits], dict[str, Any]] = _image_facts if is_image else _audio_facts
    try:
        return examine(path, limits)
    except LatentAudioError as error:
        raise problem_of(error, {str(path): shown}) from None


def _image_facts(path: Path, limits: Limits) -> dict[str, Any]:
    pixels = load_mask(str(path))
    if pixels.size > limits.max_mask_pixels:
        raise UsageError(f"the image has {pixels.size} pixels; at most {limits.max_mask_pixels}")
    return {"kind": "image", "width": pixels.shape[1], "height": pixels.shape[0]}


def _audio_facts(path: Path, limits: Limits) -> dict[str, Any]:
    header = info(path)
    channels = int(header["channels"])
    if channels > _MAX_CHANNELS:
        raise UsageError(f"{path} has {channels} channels; this server takes {_MAX_CHANNELS}")
    rate = int(header["sample_rate"])
    max_frames = min(limits.max_source_duration_s * rate, limits.max_source_samples / channels)
    if header["samples"] > max_frames or _count_frames(path, max_frames) > max_frames:
        raise UsageError(f"{path} is longer than {max_frames / rate:.0f} s; cut out what is needed")
    duration = float(header["duration"])
    return {"kind": "audio", "duration": duration, "sample_rate": rate, "channels": channels}


def _count_frames(path: Path, max_frames: float) -> int:
    """Return the frames of a file, or some number above the limit; its header may be wrong."""
    import soundfile

    num_frames = 0
    try:
        with soundfile.SoundFile(path) as file:
            while block := len(file.read(_BLOCK_FRAMES, dtype="float32")):
                num_frames += block
                if num_frames > max_frames:
                    break
    except (RuntimeError, TypeError, ValueError, OSError) as error:
        raise DataError(f"cannot read {path} as audio; give a file that plays") from error
    return num_frames


def _safe_name(name: str) -> str:
    """Return the last part of a name that a client gave, as one printable line."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(letter for letter in last if letter.isprintable())
    return printable[:_MAX_NAME_CHARS] or "file"
