"""Tags inside audio files: text in, text out, for every format that is written.

All tags are one JSON object in the comment field, the only field that every format keeps
whole. The JSON is ASCII, because ID3 as libsndfile writes it is Latin-1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..config.parsing import parse_json

_SIGNATURE = '{"made":"AI generated"'  # how the comment of every generated file begins
_SEARCHED_BYTES = 2**20  # at both ends of a file
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")  # ID3 has all three


def pack_tags(tags: Mapping[str, str]) -> str:
    """Return the comment that holds all tags."""
    return json.dumps(dict(tags), separators=(",", ":"))


def unpack_tags(comment: str) -> dict[str, str]:
    """Return the tags in a comment; a comment of another program becomes the tag "comment"."""
    try:
        values = parse_json(comment)
    except ValueError:
        return {"comment": comment} if comment else {}
    if not isinstance(values, dict):
        return {"comment": comment}
    return {str(name): str(value) for name, value in values.items()}


def find_tags(path: Path) -> dict[str, str]:
    """Return the tags of a generated file that another program has moved to another field.

    ffmpeg, for example, writes a comment as DESCRIPTION or TXXX, which libsndfile does not read.

    Args:
        path: An audio file.

    Returns:
        The tags; empty if the first and the last megabyte have none.
    """
    with path.open("rb") as file:
        ends = file.read(_SEARCHED_BYTES)
        size = file.seek(0, 2)
        file.seek(max(len(ends), size - _SEARCHED_BYTES))
        ends += file.read()
    for encoding in _ENCODINGS:
        place = ends.find(_SIGNATURE.encode(encoding))
        if place >= 0:
            text = ends[place:].decode(encoding, "replace")
            try:
                values, _ = json.JSONDecoder().raw_decode(text)
            except (ValueError, RecursionError):
                continue
            return {str(name): str(value) for name, value in values.items()}
    return {}
