"""Clips, and how records of `data.sources` become clips, without listening to them.

What a user names as data is a folder, a file, a pattern of tars or a hub id; `:test` behind it
selects a split.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import DataError
from .disk_list import DiskList
from .problems import Problem, caption_problem
from .sources import SOURCES, find_source
from .sources.base import Place, Record, SourceFormat, normalize_split
from .stored_sound import open_sound

ALL_SPLITS = "all"
TRAIN = "train"
_MAX_RATE = 2**20
_MAX_SAMPLES = 2**40


@dataclass(frozen=True)
class Clip:
    """One captioned sound.

    Attributes:
        path: The file that the sound lies in.
        captions: One or more captions of all of the sound.
        sample_rate: Sample rate in Hz.
        num_samples: Length in samples per channel.
        record: All that the data says about the sound.
        offset: First byte of the sound in its file.
        num_bytes: Its length in bytes, or None for all of the file.
        name: The sound's own name, if it lies in a larger file.
    """

    path: Path
    captions: tuple[str, ...]
    sample_rate: int
    num_samples: int
    record: dict[str, Any] = field(default_factory=dict, compare=False)
    offset: int = 0
    num_bytes: int | None = None
    name: str = ""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate

    @property
    def label(self) -> str:
        """The sound's name for messages."""
        return self.name or str(self.path)


@dataclass(frozen=True)
class DataSource:
    """A data set as a user names it.

    Attributes:
        name: Folder, file, pattern of tars or hub id, perhaps with ":SPLIT" behind it.
        trigger: Word that is put before every caption, or "".
    """

    name: str
    trigger: str = ""

    def __str__(self) -> str:
        """Return the name."""
        return self.name


DataSources: TypeAlias = "tuple[DataSource | Path | str, ...]"
"""Data sets of a training."""


def as_source(source: DataSource | Path | str) -> DataSource:
    """Return a data set that may be named by its path alone."""
    return source if isinstance(source, DataSource) else DataSource(str(source))


def read_records(source: DataSource | Path | str) -> Iterator[Record]:
    """Yield the records of one data set: those of its split, and all that cannot be used.

    Without a split in the name, those for training are taken if the data has splits.

    Args:
        source: The data set.

    Raises:
        DataError: There is no such data or split, or its form is not known.
    """
    form, place, split = open_source(as_source(source))
    records = DiskList(_record_to_json, _record_from_json)
    split_names = set()
    for record in form.read(place):
        records.append(record)
        split_names.add(record.split)
    splits = sorted(split_names - {""})
    if split == ALL_SPLITS or (not split and TRAIN not in splits):
        yield from records
        return
    wanted = split or TRAIN
    if wanted not in splits:
        present = ", ".join(splits) if splits else "none"
        raise DataError(f"{source} has no split {wanted!r}; its splits are: {present}")
    for record in records:
        if record.problem or record.split == wanted:
            yield record


def _record_to_json(record: Record) -> list[Any]:
    return [
        record.position,
        None if record.path is None else str(record.path),
        record.captions,
        record.split,
        record.repeats,
        record.fields,
        record.problem,
        record.offset,
        record.num_bytes,
        record.name,
    ]


def _record_from_json(values: list[Any]) -> Record:
    position, path, captions, *others = values
    return Record(position, None if path is None else Path(path), tuple(captions), *others)


def open_source(source: DataSource) -> tuple[SourceFormat, Place, str]:
    """Return the form, the place and the split of a data set.

    Args:
        source: The data set.

    Raises:
        DataError: There is no such data, or its form is not known.
    """
    text = source.name
    head, colon, tail = text.rpartition(":")
    is_split = bool(colon and tail) and not set(tail) & set("/\\") and head not in SOURCES
    if not is_split or Place(text).path.exists():
        return (*find_source(text), "")
    return (*find_source(head), normalize_split(tail))


def make_clip(record: Record, trigger: str = "") -> Clip | Problem:
    """Return the clip of a record, or why it is none. Opens the file for its length, if needed.

    Args:
        record: Record of a reader.
        trigger: Word before every caption, or "".
    """
    if record.path is None:
        return Problem("description", record.position, record.problem)
    place = record.position
    captions = record.captions
    if not captions and not trigger:
        detail = "it has no caption; add one, or give all sounds a --trigger word"
        return Problem("captionless", place, detail)
    for caption in captions:
        detail = caption_problem(caption)
        if detail:
            return Problem("caption", place, detail)
    if trigger:
        captions = tuple(f"{trigger}, {caption}" for caption in captions) or (trigger,)
    try:
        header = _stored_header(record.fields)
    except (ValueError, TypeError, OverflowError) as error:
        return Problem("description", place, f"{error}; correct the line")
    if not _exists(record.path):
        return Problem("missing", place, f"{record.path} does not exist; copy it again")
    if header is None:
        try:
            header = _read_header(record)
        except DataError as error:
            label = record.name or record.path
            detail = f"cannot read {label} as audio ({error}); replace it or remove its line"
            return Problem("unreadable", place, detail)
    sample_rate, num_samples = header
    return Clip(
        record.path,
        captions,
        sample_rate,
        num_samples,
        record.fields,
        record.offset,
        record.num_bytes,
        record.name,
    )


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long
        return False


def _read_header(record: Record) -> tuple[int, int]:
    """Return (sample rate, number of samples) of a record's sound.

    Raises:
        DataError: It cannot be read. The message has the reason alone.
    """
    assert record.path is not None
    with open_sound(record.path, record.offset, record.num_bytes) as sound:
        header = (sound.samplerate, sound.frames)
    if not 0 < header[0] <= _MAX_RATE:
        raise DataError(f"its rate is {header[0]} Hz")
    if not 0 <= header[1] <= _MAX_SAMPLES:
        raise DataError("its header states no length")
    return header


def _stored_header(fields: dict[str, Any]) -> tuple[int, int] | None:
    """Return (sample rate, number of samples) if the record has both: opening files is slow."""
    if "rate" not in fields or "seconds" not in fields:
        return None
    seconds = float(fields["seconds"])
    sample_rate = int(fields["rate"])
    if not (0 < sample_rate <= _MAX_RATE and math.isfinite(seconds)):
        raise ValueError("rate or seconds is out of range")
    num_samples = round(seconds * sample_rate)
    if not 0 <= num_samples <= _MAX_SAMPLES:
        raise ValueError("rate or seconds is out of range")
    return sample_rate, num_samples
