"""Parquet files that hold the sounds, as the Hugging Face hub has them: data/train-00000.parquet.

A column is a struct of `bytes` and `path`; the others are captions and other facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...fileio import file_key
from .base import Place, Record, SourceFormat, split_of_name
from .extracted import extracted_records
from .tables import opened, parquet_rows


def _files(place: Place) -> list[Path]:
    if place.path.is_file():
        return [place.path] if place.path.suffix == ".parquet" else []
    return [place.path / name for name in place.files if name.endswith(".parquet")]


def _read(place: Place) -> Iterator[Record]:
    for file in _files(place):
        opened(file).close()
        split = split_of_name(str(file.relative_to(place.folder)))
        yield from extracted_records(file_key(file), parquet_rows(file), split, place.folder)


FORMAT = SourceFormat(
    name="parquet",
    description="Parquet files that hold the sounds",
    recognizes=lambda place: bool(_files(place)),
    read=_read,
)
