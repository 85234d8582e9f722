"""What readers of published captioning tables share: tables by header, sounds by stem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .base import (
    Place,
    Record,
    bad_row,
    captions_of,
    is_empty,
    merge_captions,
    normalize_split,
    repeats_of,
    split_of_name,
)
from .tables import csv_header, csv_rows


def tables_with(place: Place, *columns: str) -> list[Path]:
    """Return the CSV tables of a place whose header has all columns.

    Args:
        place: The folder, or one table.
        *columns: Names of columns.
    """
    tables = []
    for table in place.tables(".csv"):
        if set(columns) <= set(csv_header(table)):
            tables.append(table)
    return tables


def read_tables(
    place: Place,
    tables: Iterable[Path],
    stems: Callable[[Mapping[str, Any]], list[str]],
    split: Callable[[Mapping[str, Any]], str] = lambda row: "",
) -> Iterator[Record]:
    """Yield the records of tables that identify sounds by a number or an address.

    Args:
        place: The folder, or one table.
        tables: The tables.
        stems: Names that the sound of a row can have, without ending, the likeliest first.
        split: The split that a row states, or "".
    """
    for table in tables:
        rows = _rows(place, table, stems, split)
        yield from merge_captions(rows)


def _rows(
    place: Place,
    table: Path,
    stems: Callable[[Mapping[str, Any]], list[str]],
    split: Callable[[Mapping[str, Any]], str],
) -> Iterator[Record]:
    table_split = split_of_name(table.name)
    for position, row in csv_rows(table):
        if isinstance(row, Record):
            yield row
            continue
        fields = {str(key).strip().lower(): value for key, value in row.items()}
        try:
            yield Record(
                position=position,
                path=sound_of(place, stems(fields)),
                captions=captions_of(fields),
                split=normalize_split(fields.get("split")) or split(fields) or table_split,
                repeats=repeats_of(fields),
                fields=row,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            yield bad_row(position, error)


def sound_of(place: Place, stems: Iterable[str]) -> Path:
    """Return the sound of a row: the first name that exists below the folder, or the first.

    Args:
        place: The folder, or one table.
        stems: Names without ending, the likeliest first.

    Raises:
        ValueError: There is no name.
    """
    names = [stem for stem in stems if not is_empty(stem)]
    if not names:
        raise ValueError("it names no sound")
    for stem in names:
        if stem in place.sounds_by_stem:
            return place.sounds_by_stem[stem]
    return place.folder / f"{names[0]}.wav"
