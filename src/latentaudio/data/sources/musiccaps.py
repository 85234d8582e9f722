"""The table of MusicCaps (Agostinelli et al. 2023): ytid, start_s, end_s, caption and others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Place, SourceFormat
from .captioning import read_tables, tables_with


def _stems(row: Mapping[str, Any]) -> list[str]:
    video = str(row["ytid"] or "")
    start = int(float(row["start_s"] or 0))
    end = int(float(row["end_s"] or 0))
    names = [video, f"[{video}]-[{start}-{end}]", f"{video}_{start}_{end}", f"{video}_{start}"]
    return names if video else []


def _split(row: Mapping[str, Any]) -> str:
    """Sounds of AudioSet's evaluation split are those for tests."""
    is_test = str(row.get("is_audioset_eval") or "").strip().lower() in ("true", "1")
    return "test" if is_test else "train"


def _tables(place: Place) -> list[Path]:
    return tables_with(place, "ytid", "start_s", "end_s", "caption")


FORMAT = SourceFormat(
    name="musiccaps",
    description="the table of MusicCaps",
    recognizes=lambda place: bool(_tables(place)),
    read=lambda place: read_tables(place, _tables(place), _stems, _split),
)
