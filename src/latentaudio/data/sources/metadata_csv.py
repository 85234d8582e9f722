"""A table metadata.csv or metadata.tsv beside the sounds, with columns file_name and text."""

from collections.abc import Iterator

from .base import Place, Record, SourceFormat
from .tables import metadata_tables, read_metadata

_ENDINGS = (".csv", ".tsv")


def _recognizes(place: Place) -> bool:
    return any(metadata_tables(place, ending) for ending in _ENDINGS)


def _read(place: Place) -> Iterator[Record]:
    for ending in _ENDINGS:
        yield from read_metadata(place, ending)


FORMAT = SourceFormat(
    name="metadata.csv",
    description="metadata.csv with the columns file_name and text",
    recognizes=_recognizes,
    read=_read,
)
