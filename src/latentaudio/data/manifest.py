"""Manifests of captioned audio folders, checked before training starts.

A folder holds audio files and `metadata.jsonl`, as in the AudioFolder convention of Hugging Face
datasets: one JSON object per line with `file_name` and `text`. `Clip.record` keeps all other keys.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile

from ..config.parsing import parse_json
from ..errors import DataError

METADATA = "metadata.jsonl"
_MAX_RATE = 2**20
_MAX_SAMPLES = 2**40


@dataclass(frozen=True)
class Clip:
    """One captioned audio file.

    Attributes:
        path: The audio file.
        captions: One or more captions of the whole clip.
        sample_rate: Sample rate of the file in Hz.
        num_samples: Length of the file in samples per channel.
        record: The whole line of the manifest.
    """

    path: Path
    captions: tuple[str, ...]
    sample_rate: int
    num_samples: int
    record: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


def read_manifest(*folders: str | Path) -> tuple[Clip, ...]:
    """Return every clip of the folders, in the order of the manifests' lines.

    Args:
        *folders: Folders that hold a `metadata.jsonl`.

    Raises:
        DataError: A manifest is missing or empty, or one of its lines cannot be used.
    """
    clips: list[Clip] = []
    for folder in folders:
        clips += _read_folder(Path(folder))
    if not clips:
        raise DataError(
            f"no training data; name at least one folder that has a {METADATA} "
            "(latentaudio dataset render DIR makes one)"
        )
    return tuple(clips)


def manifest_fingerprint(folder: Path) -> str:
    """Return a hash of a folder's manifest, which does not depend on the folder's path.

    Args:
        folder: Folder that holds a `metadata.jsonl`.

    Raises:
        DataError: The folder has no manifest.
    """
    return hashlib.blake2b(_manifest_path(folder).read_bytes(), digest_size=16).hexdigest()


def _manifest_path(folder: Path) -> Path:
    path = folder / METADATA
    if not path.is_file():
        raise DataError(
            f"{folder} has no {METADATA}; add one with a line per clip, with file_name and text"
        )
    return path


def _read_folder(folder: Path) -> list[Clip]:
    manifest = _manifest_path(folder)
    clips = []
    for number, raw in enumerate(manifest.read_bytes().split(b"\n"), 1):
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{manifest}:{number}: not UTF-8 ({error.reason}); save the file as UTF-8"
            ) from None
        if line.strip():
            clips.append(_read_line(folder, f"{manifest}:{number}", line))
    return clips


def _read_line(folder: Path, position: str, line: str) -> Clip:
    """Return the clip of one line; `position` is "file:line" for error messages."""
    try:
        record = parse_json(line)
        path = folder / record["file_name"]
        captions = _captions(record)
        header = _stored_header(record)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{position}: not an object with file_name and text ({error}); correct the line"
        ) from None
    if header is None:
        try:
            info = soundfile.info(str(path))
        except (soundfile.SoundFileError, OSError) as error:
            raise DataError(
                f"{position}: cannot read {path} as audio ({error}); "
                "replace the file or remove the line"
            ) from None
        header = (info.samplerate, info.frames)
    elif not path.is_file():
        raise DataError(f"{position}: {path} does not exist; render or copy it again")
    sample_rate, num_samples = header
    return Clip(path, captions, sample_rate, num_samples, record)


def _captions(record: dict[str, Any]) -> tuple[str, ...]:
    captions = record.get("captions") or [record["text"]]
    if not isinstance(captions, list) or not all(isinstance(c, str) for c in captions):
        raise TypeError("text must be a string, captions a list of strings")
    return tuple(captions)


def _stored_header(record: dict[str, Any]) -> tuple[int, int] | None:
    """Return (sample rate, number of samples) if the line has both: opening files is slow."""
    if "rate" not in record or "seconds" not in record:
        return None
    sample_rate = int(record["rate"])
    num_samples = round(record["seconds"] * record["rate"])
    if not (0 < sample_rate <= _MAX_RATE and 0 <= num_samples <= _MAX_SAMPLES):
        raise ValueError("rate or seconds is out of range")
    return sample_rate, num_samples
