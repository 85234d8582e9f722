"""The JSON files of WavCaps (Mei et al. 2023): num_captions_per_audio, and data as a list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from .base import Place, Record, SourceFormat, bad_row, captions_of, repeats_of, split_of_name
from .captioning import sound_of
from .json_files import begins_with_key, read_json

_KEY = "num_captions_per_audio"


def _tables(place: Place) -> list[Path]:
    return [file for file in place.json_tables if begins_with_key(file, _KEY)]


def _read(place: Place) -> Iterator[Record]:
    for table in _tables(place):
        content = read_json(table)
        if isinstance(content, Record):
            yield content
            continue
        items = content.get("data")
        if not isinstance(items, list):
            yield bad_row(str(table), "data is no list")
            continue
        for number, item in enumerate(items, 1):
            yield _record(place, table, number, item)


def _record(place: Place, table: Path, number: int, item: Any) -> Record:
    position = f"{table}:{number}"
    try:
        identifier = str(item["id"])
        audio = PurePath(str(item.get("audio") or "")).stem
        names = [identifier, identifier.removesuffix(PurePath(identifier).suffix), audio]
        return Record(
            position=position,
            path=sound_of(place, names),
            captions=captions_of(item),
            split=split_of_name(table.name),
            repeats=repeats_of(item),
            fields=item,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return bad_row(position, error)


FORMAT = SourceFormat(
    name="wavcaps",
    description="the JSON files of WavCaps",
    recognizes=lambda place: bool(_tables(place)),
    read=_read,
)
