"""Captions from the names of folders and files: Doors/old_wooden_door_03.wav is a caption, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from .base import (
    SPLIT_NAMES,
    Place,
    Record,
    SourceFormat,
    captioned_sounds,
    without_repeats,
)

_SEPARATORS = re.compile(r"[\s_.,;+()\[\]{}-]+")
_CAPITAL_INSIDE = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")


def words_of_name(name: str) -> str:
    """Return the words of a name, without numbers and marks.

    Args:
        name: Name of a file without its ending, or of a folder.
    """
    words = []
    for word in _SEPARATORS.split(_CAPITAL_INSIDE.sub(" ", name)):
        if any(letter.isalpha() for letter in word):
            words.append(word)
    return " ".join(words)


def caption_of_path(name: str) -> str:
    """Return a sound's folders and name as words, or "" if they hold no word.

    Args:
        name: Path of the sound, relative to the data.
    """
    path = PurePath(name)
    folders = [part for part in path.parts[:-1] if part.lower() not in SPLIT_NAMES]
    phrases: list[str] = []
    for part in (*map(without_repeats, folders), path.stem):
        phrase = words_of_name(part)
        if phrase and phrase not in phrases:
            phrases.append(phrase)
    return ", ".join(phrases)


def _read(place: Place) -> Iterator[Record]:
    return captioned_sounds(place, caption_of_path)


FORMAT = SourceFormat(
    name="names",
    description="sounds whose file names are captions",
    recognizes=lambda place: bool(place.sounds),
    read=_read,
)
