"""Handwritten captions of every sound class, for wordings that a grammar cannot produce.

They are in `handwritten.txt`. They name no measured property, so each is true of every take of
its class.
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def handwritten_captions() -> dict[str, tuple[str, ...]]:
    """Return the captions by name of the sound class, in the order of the file."""
    path = resources.files("procedural_audio.captions").joinpath("handwritten.txt")
    captions: dict[str, list[str]] = {}
    section: list[str] = []
    for raw_line in path.read_text(encoding="utf-8").splitlines():
        line = raw_line.strip()
        if line.startswith("["):
            section = []
            captions[line.strip("[]")] = section
        elif line and not line.startswith("#"):
            section.append(line)
    return {name: tuple(texts) for name, texts in captions.items()}
