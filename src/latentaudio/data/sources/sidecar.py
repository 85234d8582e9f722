"""A .txt or .json file beside each sound, with the same name.

Each line of the .txt is one caption. The .json is an object with the keys of a row of
metadata.jsonl, without the name. If both exist, the .txt has the captions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...config.parsing import parse_json, read_bounded
from ...errors import first_line
from .base import (
    Place,
    Record,
    SourceFormat,
    captions_of,
    normalize_split,
    repeats_of,
    repeats_of_folder,
    split_of_folder,
    type_name,
)

_MAX_BYTES = 2**22


def _beside(name: str, ending: str) -> str:
    return os.path.splitext(name)[0] + ending  # noqa: PTH122  # names, not paths


def _recognizes(place: Place) -> bool:
    files = set(place.files)
    for name in place.sounds:
        if _beside(name, ".txt") in files or _beside(name, ".json") in files:
            return True
    return False


def _read(place: Place) -> Iterator[Record]:
    files = set(place.files)
    for name in place.sounds:
        path = place.path / name
        text_file = _beside(name, ".txt")
        fields_file = _beside(name, ".json")
        fields: dict[str, Any] = {}
        captions: tuple[str, ...] = ()
        repeats = repeats_of_folder(name)
        file = fields_file
        try:
            if fields_file in files:
                fields = _read_fields(place.path / fields_file)
                captions = captions_of(fields)
                repeats = repeats_of(fields) if "repeats" in fields else repeats
            if text_file in files:
                file = text_file
                captions = read_captions(place.path / text_file)
        except (OSError, ValueError, TypeError) as error:
            reason = f"not captions ({first_line(error)}); correct the file"
            yield Record(position=str(place.path / file), problem=reason)
            continue
        split = normalize_split(fields.get("split")) or split_of_folder(name)
        yield Record(str(path), path, captions, split, repeats, fields)


def _read_fields(file: Path) -> dict[str, Any]:
    fields = parse_json(read_bounded(file, _MAX_BYTES))
    if not isinstance(fields, dict):
        raise TypeError(f"it is {type_name(fields)}, not an object")
    return {str(key).lower(): value for key, value in fields.items()}


def read_captions(file: Path) -> tuple[str, ...]:
    """Return the lines of a text file that are not empty.

    Args:
        file: The file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too long, or not UTF-8.
    """
    text = read_bounded(file, _MAX_BYTES).removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    return tuple(line.strip() for line in text.split("\n") if line.strip())


FORMAT = SourceFormat(
    name="sidecar",
    description="a .txt or .json beside each sound",
    recognizes=_recognizes,
    read=_read,
)
