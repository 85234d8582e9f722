"""Captions in the tags of the sounds: the description of broadcast WAV, the comment or the title.

The tags of clips that this package generated hold their prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...audio.containers import read_bext_description, read_riff_comment
from ...audio.metadata import unpack_tags
from ...errors import DataError
from ..stored_sound import open_sound
from .base import Place, Record, SourceFormat, captioned_sounds

_NUM_TRIED = 20  # sounds that are opened to recognize the format


def caption_in_tags(path: Path) -> str:
    """Return the caption that a sound's tags hold, or "".

    Args:
        path: The sound.
    """
    try:
        with open_sound(path, 0, None) as sound:
            comment = sound.comment.strip()
            title = sound.title.strip()
        with path.open("rb") as file:
            description = read_bext_description(file)
        with path.open("rb") as file:
            comment = read_riff_comment(file).strip() or comment
    except (DataError, OSError):
        return ""  # the check of the sounds names the problem
    tags = unpack_tags(comment)
    if tags:
        return tags.get("prompt", "")
    return description or comment or title


def _recognizes(place: Place) -> bool:
    return any(caption_in_tags(place.path / name) for name in place.sounds[:_NUM_TRIED])


def _read(place: Place) -> Iterator[Record]:
    return captioned_sounds(place, lambda name: caption_in_tags(place.path / name))


FORMAT = SourceFormat(
    name="tags",
    description="sounds with captions in their tags",
    recognizes=_recognizes,
    read=_read,
)
