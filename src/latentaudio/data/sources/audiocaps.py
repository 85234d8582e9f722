"""The tables of AudioCaps (Kim et al. 2019): audiocap_id, youtube_id, start_time, caption.

Downloaders name the sounds in different forms; all of these are tried.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Place, SourceFormat
from .captioning import read_tables, tables_with

_CLIP_SECONDS = 10
_COLUMNS = ("youtube_id", "start_time", "caption")


def _stems(row: Mapping[str, Any]) -> list[str]:
    video = str(row["youtube_id"] or "")
    start = int(float(row["start_time"] or 0))
    end = start + _CLIP_SECONDS
    names = [f"{video}_{start}", video, f"Y{video}", f"{video}_{start}_{end}", f"{video}_{start}.0"]
    names += [f"{video}_{1000 * start}_{1000 * end}", f"Y{video}_{start}", f"{video}_{start:03d}"]
    return [*names, str(row.get("audiocap_id") or "")] if video else []


def _tables(place: Place) -> list[Path]:
    return tables_with(place, *_COLUMNS)


FORMAT = SourceFormat(
    name="audiocaps",
    description="the tables of AudioCaps",
    recognizes=lambda place: bool(_tables(place)),
    read=lambda place: read_tables(place, _tables(place), _stems),
)
