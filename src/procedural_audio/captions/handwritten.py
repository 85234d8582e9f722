"""Captions in free wording, written by hand for every kind, so that training hears more English than a grammar can make.

Knows `wordings.txt`. Refuses to know facts: what is said here holds for every take of its kind.
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def wordings() -> dict[str, tuple[str, ...]]:
    """Captions by name of kind, in file order."""
    found: dict[str, list[str]] = {}
    text = (
        resources.files("procedural_audio.captions")
        .joinpath("handwritten.txt")
        .read_text(encoding="utf-8")
    )
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("["):
            found[line.strip("[]")] = captions = []
        elif not line.startswith("#"):
            captions.append(line)
    return {kind: tuple(captions) for kind, captions in found.items()}
