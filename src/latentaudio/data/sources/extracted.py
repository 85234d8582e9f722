"""Sounds that lie in tables, copied once into one file in the cache, with an index beside it.

Rows of Parquet and Arrow hold encoded sounds. Copies of them can be read at random, and by several
processes, without the table's library.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from ...config.parsing import parse_json
from ...fileio import atomic_write, cache_folder, remove_abandoned_parts
from .base import FILE_KEYS, Record, captions_of, normalize_split, repeats_of

_FOLDER = "extracted"


def extracted_records(
    key: str, rows: Iterable[tuple[str, Any]], split: str, folder: Path
) -> Iterator[Record]:
    """Yield the records of rows with sounds, which are copied if that was not done before.

    Args:
        key: Name of the copy; it changes if the rows do.
        rows: Position and content of each row, or a `Record` with a problem.
        split: Split of the rows, unless a row states its own.
        folder: Folder of sounds that rows name and do not hold.
    """
    cache = cache_folder() / _FOLDER
    copy = cache / f"{key}.sounds"
    index = cache / f"{key}.jsonl"
    if not (copy.is_file() and index.is_file()):
        _extract(rows, copy, index)
    with index.open("rb") as file:
        for line in file:
            values = parse_json(line)
            yield _record(values, copy, split, folder)


def _extract(rows: Iterable[tuple[str, Any]], copy: Path, index: Path) -> None:
    if copy.parent.is_dir():
        remove_abandoned_parts(copy.parent)
    with (
        atomic_write(index) as index_part,
        atomic_write(copy) as copy_part,
        index_part.open("w", encoding="utf-8") as lines,
        copy_part.open("wb") as sounds,
    ):
        for position, row in rows:
            values: dict[str, Any] = {"position": position}
            if isinstance(row, Record):
                values["problem"] = row.problem
            else:
                fields, sound, name = _split_row(row)
                values |= {"fields": fields, "name": name}
                if sound is not None:
                    values |= {"offset": sounds.tell(), "num_bytes": len(sound)}
                    sounds.write(sound)
            lines.write(json.dumps(values, default=str) + "\n")


def _split_row(row: dict[str, Any]) -> tuple[dict[str, Any], bytes | None, str | None]:
    """Return a row without its sound, the sound, and its name."""
    fields = {}
    sound = None
    name = None
    for column, value in row.items():
        is_sound = isinstance(value, dict) and {"bytes", "path"} & value.keys()
        if is_sound and sound is None and name is None:
            sound = value.get("bytes")
            name = value.get("path")
        elif not is_sound and not isinstance(value, bytes):
            fields[column] = value
    if name is None and sound is None:
        lowered = {str(key).lower(): value for key, value in row.items()}
        names = [lowered[key] for key in FILE_KEYS if isinstance(lowered.get(key), str)]
        name = names[0] if names else None
    return fields, sound, name


def _record(values: dict[str, Any], copy: Path, split: str, folder: Path) -> Record:
    position = values["position"]
    if "problem" in values:
        return Record(position=position, problem=values["problem"])
    fields = {str(key).lower(): value for key, value in values["fields"].items()}
    name = values["name"]
    try:
        captions = captions_of(fields)
        repeats = repeats_of(fields)
        if "offset" not in values and name is None:
            raise ValueError("it has no sound")
    except (TypeError, ValueError, OverflowError) as error:
        return Record(position=position, problem=f"not a sound with captions ({error})")
    own_split = normalize_split(fields.get("split")) or split
    if "offset" not in values:
        path = folder / str(name)
        return Record(position, path, captions, own_split, repeats, values["fields"])
    return Record(
        position,
        copy,
        captions,
        own_split,
        repeats,
        values["fields"],
        offset=values["offset"],
        num_bytes=values["num_bytes"],
        name=f"{position} {PurePath(str(name)).name}" if name else position,
    )
