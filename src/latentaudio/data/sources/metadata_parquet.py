"""A table metadata.parquet beside the sounds, with columns file_name and text."""

from .base import SourceFormat
from .tables import metadata_tables, read_metadata

FORMAT = SourceFormat(
    name="metadata.parquet",
    description="metadata.parquet with the same columns",
    recognizes=lambda place: bool(metadata_tables(place, ".parquet")),
    read=lambda place: read_metadata(place, ".parquet"),
)
