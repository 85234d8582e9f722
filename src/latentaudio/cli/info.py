"""`latentaudio info`: what a sound file is and, from its tags, how it was made."""

from __future__ import annotations

from pathlib import Path

from . import console


def info(file: Path, *, json: bool = False) -> None:
    """Tell what a sound file is and how it was made.

    Parameters
    ----------
    file
        A WAV, FLAC, OGG, MP3 or Opus file.
    json
        Print one line of JSON.
    """
    from ..audio import io

    facts = io.info(file)
    tags = facts.pop("tags")
    if not json and "chosen_of" in tags:  # the request of a file is that of the one which won
        tags["candidates"] = tags.pop("chosen_of")
    console.tell({**facts, "tags": tags} if json else {**facts, **tags, **facts}, json)
