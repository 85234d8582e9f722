"""A table metadata.jsonl beside the sounds: one JSON object per line, with file_name and text."""

from .base import SourceFormat
from .tables import metadata_tables, read_metadata

FORMAT = SourceFormat(
    name="metadata.jsonl",
    description="metadata.jsonl: each line has file_name and text",
    recognizes=lambda place: bool(metadata_tables(place, ".jsonl")),
    read=lambda place: read_metadata(place, ".jsonl"),
)
