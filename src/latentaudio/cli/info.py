"""`latentaudio info`: format of an audio file and, from its tags, the request of its clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from . import console
from .flags import JSONRecordFlag


def info(
    file: Annotated[Path, Parameter(help="WAV, FLAC, AIFF, OGG, MP3 or Opus file.")],
    *,
    json: JSONRecordFlag = False,
) -> None:
    """Show the format of an audio file and the options that generated it."""
    from ..audio import io

    facts = io.info(file)
    tags = facts.pop("tags")
    if json:
        console.print_record({**facts, "tags": tags}, as_json=True)
        return
    if "chosen_of" in tags:  # the clip is the best of this many candidates; its own request has 1
        tags["candidates"] = tags.pop("chosen_of")
    console.print_record({**facts, **tags, **facts}, as_json=False)
