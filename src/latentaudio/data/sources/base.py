"""What all readers of data sets share: records, places, captions, splits and repeats."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from ...config.parsing import parse_json
from ..stored_sound import AUDIO_ENDINGS

FILE_KEYS = (
    "file_name", "filename", "file", "path", "audio", "audio_file", "audio_path", "audio_filepath",
    "wav", "sound",
)  # fmt: skip
"""Columns with the name of the sound, the first that a table has."""
CAPTION_KEYS = ("captions", "text", "caption", "prompt", "description")
"""Columns with captions, the first that is not empty. `caption_1`, `caption_2` ... also count."""
SPLIT_NAMES = {
    "train": "train", "training": "train", "development": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test", "evaluation": "test", "eval": "test",
}  # fmt: skip
"""Words for the three splits."""
MAX_JSON_BYTES = 2**30
"""Longest JSON file: WavCaps has some 200 MB."""
MAX_REPEATS = 1000
_NUMBERED_CAPTION = re.compile(r"(?:raw_)?caption_?\d{1,3}")
_FOLDER_REPEATS = re.compile(r"([1-9]\d{0,2})_(.+)")
"""A folder whose sounds are repeated, such as 10_door. A number with 0 in front is none."""


@dataclass(frozen=True)
class Record:
    """One sound of a data set, as its files describe it.

    Attributes:
        position: Place of the description, for messages: "file:line", or the sound's own path.
        path: The file that the sound lies in; None: the description cannot be used.
        captions: Captions of the sound.
        split: "train", "validation", "test", another word of the data set, or "".
        repeats: How often an epoch has the sound.
        fields: The whole description.
        problem: Why the description cannot be used, with what to do.
        offset: First byte of the sound in its file.
        num_bytes: Its length in bytes, or None for all of the file.
        name: The sound's own name, for messages, if it lies in a larger file.
    """

    position: str
    path: Path | None = None
    captions: tuple[str, ...] = ()
    split: str = ""
    repeats: int = 1
    fields: dict[str, Any] = field(default_factory=dict, compare=False)
    problem: str = ""
    offset: int = 0
    num_bytes: int | None = None
    name: str = ""


class Place:
    """What a user named as data: a folder, a file, a pattern, an address or a hub id.

    Attributes:
        text: As the user wrote it, without the split.
        path: The same as a path, with ~ expanded.
    """

    def __init__(self, text: str) -> None:
        """Keep the name; nothing is read yet."""
        self.text = text
        self.path = Path(os.path.expanduser(text))  # noqa: PTH111  # Path raises for unknown users

    @cached_property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    @cached_property
    def files(self) -> list[str]:
        """All files below the folder, relative to it and in order; hidden ones are left out."""
        return list(_walk(self.path)) if self.is_folder else []

    @cached_property
    def top_files(self) -> list[str]:
        """The files that lie in the folder itself; the file, if the place is one."""
        if self.path.is_file():
            return [self.path.name]
        return [name for name in self.files if os.sep not in name]

    @property
    def folder(self) -> Path:
        """The folder, or that of the file."""
        return self.path if self.is_folder else self.path.parent

    @cached_property
    def sounds(self) -> list[str]:
        """The sounds among `files`."""
        return [name for name in self.files if is_sound(name)]

    @cached_property
    def sounds_by_stem(self) -> dict[str, Path]:
        """Every sound below the folder by its name without ending; the first of equal names."""
        result: dict[str, Path] = {}
        place = self if self.is_folder else Place(str(self.folder))
        for name in place.sounds:
            result.setdefault(PurePath(name).stem, self.folder / name)
        return result

    @cached_property
    def json_tables(self) -> list[Path]:
        """The .json files of the folder itself that belong to no sound of the same name."""
        beside = {PurePath(name).stem for name in self.sounds}
        return [file for file in self.tables(".json") if file.stem not in beside]

    def tables(self, ending: str) -> list[Path]:
        """Return the files with an ending in the folder itself, or the file that was named."""
        names = [name for name in self.top_files if name.lower().endswith(ending)]
        return [self.folder / name for name in names]


@dataclass(frozen=True)
class SourceFormat:
    """A form in which people keep captioned sounds.

    Attributes:
        name: Its name in messages and in front of a place, as in `tags:FOLDER`.
        description: What such data looks like.
        recognizes: Whether a place has this form.
        read: Yields the records of a place, in a fixed order.
    """

    name: str
    description: str
    recognizes: Callable[[Place], bool]
    read: Callable[[Place], Iterator[Record]]


def is_sound(name: str) -> bool:
    """Return whether a file has the ending of a sound."""
    return PurePath(name).suffix.lower() in AUDIO_ENDINGS


def captioned_sounds(place: Place, caption_of: Callable[[str], str]) -> Iterator[Record]:
    """Yield a record of every sound below a folder.

    Args:
        place: The folder.
        caption_of: Returns the caption of a sound, by its name relative to the folder; "" for none.
    """
    for name in place.sounds:
        path = place.path / name
        caption = caption_of(name)
        captions = (caption,) if caption else ()
        yield Record(str(path), path, captions, split_of_folder(name), repeats_of_folder(name))


def _walk(folder: Path) -> Iterator[str]:
    """Yield all files below a folder, in order. Links are followed, each folder once."""
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = os.path.relpath(parent, folder)
        for name in sorted(files):
            if not name.startswith("."):
                yield name if relative == "." else os.path.join(relative, name)  # noqa: PTH118


def split_of_name(name: str) -> str:
    """Return the split that a file's name or its folders state, or "".

    Args:
        name: Path relative to the data, such as "test/0001.wav" or "captions_val.csv".
    """
    for part in reversed(PurePath(name).parts):
        for word in re.split(r"[^a-zA-Z]+", PurePath(part).stem):
            if word.lower() in SPLIT_NAMES:
                return SPLIT_NAMES[word.lower()]
    return ""


def split_of_folder(name: str) -> str:
    """Return the split that one of a sound's folders is named after, or "".

    Args:
        name: Path of the sound, relative to the data.
    """
    for part in PurePath(name).parts[:-1]:
        if part.lower() in SPLIT_NAMES:
            return SPLIT_NAMES[part.lower()]
    return ""


def normalize_split(value: object) -> str:
    """Return a split's usual name, or the value as it is if it is another word."""
    word = str(value or "").strip().lower()
    return SPLIT_NAMES.get(word, word)


def repeats_of_folder(name: str) -> int:
    """Return the number in front of a sound's folder, as in 10_door; else 1.

    Args:
        name: Path of the sound, relative to the data.
    """
    for part in reversed(PurePath(name).parts[:-1]):
        match = _FOLDER_REPEATS.fullmatch(part)
        if match:
            return int(match[1])
    return 1


def without_repeats(folder: str) -> str:
    """Return a folder's name without the number of repeats in front."""
    match = _FOLDER_REPEATS.fullmatch(folder)
    return match[2] if match else folder


def captions_of(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the captions of a description.

    Args:
        fields: The description; keys in small letters.

    Raises:
        TypeError: A caption is not text.
    """
    for key in CAPTION_KEYS:
        captions = _texts(fields.get(key))
        if captions:
            return captions
    captions = ()
    for key, value in fields.items():
        if _NUMBERED_CAPTION.fullmatch(key):
            captions += _texts(value)
    return captions


def _texts(value: object) -> tuple[str, ...]:
    """Return a text, a list of texts, or a list that a cell of a table states, as a tuple."""
    if is_empty(value):
        return ()
    if isinstance(value, str):
        if value.startswith('["'):
            try:
                return _texts(parse_json(value))
            except ValueError:
                return (value,)
        return (value,) if value.strip() else ()
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(item for item in value if item.strip())
    raise TypeError("text must be a string, captions a list of strings")


def is_empty(value: object) -> bool:
    """Return whether a cell of a table holds nothing."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def repeats_of(fields: Mapping[str, Any]) -> int:
    """Return how often an epoch has a sound, from the key `repeats`.

    Raises:
        ValueError: It is not a whole number in the range.
    """
    value = fields.get("repeats")
    if is_empty(value):
        return 1
    repeats = float(str(value))
    if repeats != int(repeats) or not 1 <= repeats <= MAX_REPEATS:
        raise ValueError(f"repeats must be a whole number from 1 to {MAX_REPEATS}")
    return int(repeats)


def record_of_row(
    fields: object, folder: Path, position: str, split: str = "", file_keys: tuple[str, ...] = ()
) -> Record:
    """Return the record of one row of a table that names its sounds.

    Args:
        fields: The row.
        folder: Folder that names are relative to.
        position: "file:line".
        split: Split of the table, unless the row states its own.
        file_keys: Other columns with the name, before the usual ones.
    """
    try:
        if not isinstance(fields, dict):
            raise TypeError(f"it is {type_name(fields)}")
        row = {str(key).strip().lower(): value for key, value in fields.items()}
        name = next(row[key] for key in (*file_keys, *FILE_KEYS) if not is_empty(row.get(key)))
        if not isinstance(name, str) or "\0" in name:
            raise TypeError("the name of the file must be text")
        own_split = normalize_split(row.get("split") or row.get("subset"))
        return Record(
            position=position,
            path=folder / name,
            captions=captions_of(row),
            split=own_split or split or split_of_folder(name),
            repeats=repeats_of(row),
            fields=fields,
        )
    except StopIteration:
        reason = "it names no file"
    except (TypeError, ValueError, OverflowError) as error:
        reason = str(error)
    return bad_row(position, reason)


def bad_row(position: str, reason: object) -> Record:
    """Return the record of a description that cannot be used.

    Args:
        position: "file:line".
        reason: The problem.
    """
    problem = f"not an object with file_name and text ({reason}); correct the line"
    return Record(position=position, problem=problem)


def type_name(value: object) -> str:
    """Return the JSON name of a value's type, for messages."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")


def merge_captions(records: Iterator[Record]) -> Iterator[Record]:
    """Join the captions of rows about one sound, which captioning tables have.

    Args:
        records: Records of one table.
    """
    merged: dict[Path, Record] = {}
    for record in records:
        if record.path is None:
            yield record
        elif record.path in merged:
            first = merged[record.path]
            new = [text for text in record.captions if text not in first.captions]
            values = {**vars(first), "captions": (*first.captions, *new)}
            merged[record.path] = Record(**values)
        else:
            merged[record.path] = record
    yield from merged.values()
