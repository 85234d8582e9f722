"""Large JSON files: recognized by their beginning or end, read whole."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ...config.parsing import parse_json, read_bounded
from ...errors import first_line
from .base import MAX_JSON_BYTES, Record, type_name

_BYTES_TRIED = 2**12


def begins_with_key(file: Path, key: str) -> bool:
    """Return whether a JSON file has a key near its beginning or its end.

    Args:
        file: The file.
        key: Name of a key.
    """
    pattern = re.compile(rf'"{key}"\s*:'.encode())
    try:
        with file.open("rb") as opened:
            start = opened.read(_BYTES_TRIED)
            opened.seek(max(0, file.stat().st_size - _BYTES_TRIED), os.SEEK_SET)
            end = opened.read(_BYTES_TRIED)
    except OSError:
        return False
    return bool(pattern.search(start) or pattern.search(end))


def read_json(file: Path) -> dict[str, Any] | Record:
    """Return the object of a JSON file, or a record with the problem.

    Args:
        file: The file.
    """
    try:
        content = parse_json(read_bounded(file, MAX_JSON_BYTES))
        if not isinstance(content, dict):
            raise ValueError(f"it is {type_name(content)}, not an object")
    except (OSError, ValueError) as error:
        problem = f"cannot be read as JSON ({first_line(error)}); correct the file"
        return Record(position=str(file), problem=problem)
    return content
