"""The tables of Clotho (Drossos et al. 2020): file_name and caption_1 to caption_5."""

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from .base import Place, SourceFormat
from .captioning import read_tables, tables_with


def _stems(row: Mapping[str, Any]) -> list[str]:
    name = str(row["file_name"] or "").strip()
    return [PurePath(name).stem] if name else []


def _tables(place: Place) -> list[Path]:
    return tables_with(place, "file_name", "caption_1")


FORMAT = SourceFormat(
    name="clotho",
    description="those of Clotho",
    recognizes=lambda place: bool(_tables(place)),
    read=lambda place: read_tables(place, _tables(place), _stems),
)
