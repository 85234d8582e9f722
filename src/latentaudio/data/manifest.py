"""Folders of captioned sound, checked before the first step of anything that reads them.

Knows `metadata.jsonl` (the AudioFolder convention: one object a line with `file_name` and `text`, other keys kept). Refuses to
know samples; see `dataset`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile

from ..errors import DataError

METADATA = "metadata.jsonl"


@dataclass(frozen=True)
class Clip:
    """One captioned sound file: where it lies, what is said of it, its rate in Hz and its length in samples."""

    path: Path
    captions: tuple[str, ...]
    rate: int
    samples: int
    record: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / self.rate


def read_manifest(*folders: str | Path) -> tuple[Clip, ...]:
    """Every clip of the folders in file order; raises `DataError` naming the first line that cannot be used."""
    clips = [clip for folder in folders for clip in _read_folder(Path(folder))]
    if not clips:
        raise DataError(
            "no data: give at least one folder that has a metadata.jsonl (make one: latentaudio corpus render DIR)"
        )
    return tuple(clips)


def digest(folder: Path) -> str:
    """A fingerprint of a folder's table, the same wherever the folder lies; raises `DataError` where there is none."""
    return hashlib.blake2b(_table(folder).read_bytes(), digest_size=16).hexdigest()


def _table(folder: Path) -> Path:
    table = folder / METADATA
    if not table.is_file():
        raise DataError(
            f"{folder} has no {METADATA}; a data folder needs one line per clip with file_name and text"
        )
    return table


def _read_folder(folder: Path) -> list[Clip]:
    clips, table = [], _table(folder)
    for number, raw in enumerate(table.read_bytes().split(b"\n"), 1):
        try:
            line = raw.decode()
        except UnicodeDecodeError as problem:
            raise DataError(
                f"{table}:{number}: not UTF-8 ({problem.reason}); save the file as UTF-8"
            ) from None
        if line.strip():
            clips.append(_read_line(folder, f"{table}:{number}", line))
    return clips


def _read_line(folder: Path, where: str, line: str) -> Clip:
    try:
        record = json.loads(line)
        path = folder / record["file_name"]
        captions = record.get("captions") or [record["text"]]
        if not (
            isinstance(captions, list) and all(isinstance(caption, str) for caption in captions)
        ):
            raise TypeError("text is a string, captions a list of strings")
        known = (
            (int(record["rate"]), round(record["seconds"] * record["rate"]))
            if {"rate", "seconds"} <= record.keys()
            else None
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as problem:
        raise DataError(f"{where}: not an object with file_name and text ({problem})") from None
    if known:
        if not path.is_file():
            raise DataError(f"{where}: {path} does not exist; render or copy it again")
        return Clip(path, tuple(captions), *known, record)
    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError) as problem:
        raise DataError(f"{where}: {path} cannot be read as sound ({problem})") from None
    return Clip(path, tuple(captions), header.samplerate, header.frames, record)
