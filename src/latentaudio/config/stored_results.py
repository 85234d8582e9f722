"""Results that this package wrote as JSON and reads again."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import DataError, first_line
from .parsing import parse_json, read_bounded
from .validation import format_validation_error

T = TypeVar("T")


def read_results(path: Path, kind: type[T], description: str) -> T:
    """Read a JSON file that holds the fields of a dataclass.

    Args:
        path: The file.
        kind: The dataclass.
        description: What the file should be, for the message.

    Raises:
        DataError: The file does not exist or has other content.
    """
    from pydantic import TypeAdapter, ValidationError

    dataclass: Any = kind
    try:
        stored = parse_json(read_bounded(path))
        if not isinstance(stored, dict) or set(stored) != {f.name for f in fields(dataclass)}:
            raise ValueError("it has other keys")
        return TypeAdapter(kind).validate_python(stored)
    except ValidationError as error:
        reason = format_validation_error(error, ())
    except (OSError, ValueError) as error:
        reason = first_line(error)
    raise DataError(f"{path} is not {description}: {reason}")
