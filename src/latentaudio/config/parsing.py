"""JSON and YAML from files that nobody here wrote: bounded, and with one kind of error.

`json` and `yaml` end in RecursionError for deep nesting, and YAML expands aliases without limit.
Everything that reads JSON or YAML calls this module; tests/test_architecture.py enforces it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MAX_TEXT_BYTES = 2**26
"""Longest text file that is read: 64 MB."""
_PIECE_BYTES = 2**20
_MAX_YAML_CHARS = 2**18
"""Longest YAML text. PyYAML reads some 100,000 characters a second."""
_MAX_YAML_DEPTH = 100
"""Most levels of lists and mappings in YAML."""


def read_bounded(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a file.

    Args:
        path: A UTF-8 file.
        max_bytes: Longest file, so that an endless one ends in an error.

    Raises:
        OSError: It cannot be read.
        ValueError: It is longer, or not UTF-8.
    """
    pieces = []
    num_left = max_bytes + 1
    with path.open("rb") as file:
        # `read` allocates as much as it may return
        while num_left and (piece := file.read(min(num_left, _PIECE_BYTES))):
            pieces.append(piece)
            num_left -= len(piece)
    if not num_left:
        raise ValueError(f"it is longer than {max_bytes / 2**20:g} MB")
    return b"".join(pieces).decode("utf-8")


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: It is not JSON, or it is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text; no code is executed.

    Aliases (`*name`) are refused: a few lines of them expand to gigabytes.

    Raises:
        ValueError: It is not YAML, has an alias, an impossible date or number, or it is nested too
            deeply. The message has the line, if it is known.
    """
    import yaml

    flow = (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)
    opening = (*flow, yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken)
    closing = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
    if len(text) > _MAX_YAML_CHARS:
        raise ValueError(f"it is longer than {_MAX_YAML_CHARS} characters")
    try:
        depth = 0
        for token in yaml.scan(text):  # its time grows with the square of the depth
            if isinstance(token, yaml.AliasToken):
                raise ValueError("aliases (*name) are not supported; write the value again")
            depth += isinstance(token, opening)
            depth -= isinstance(token, closing)
            if depth > _MAX_YAML_DEPTH:
                raise ValueError("it is nested too deeply")
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, AttributeError, TypeError, OverflowError) as error:
        # PyYAML raises the latter for values such as `!!timestamp x`
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(lines[0]) from None
