"""The forms in which people keep captioned sounds, one reader each.

`SOURCES` is the table. A reader yields plain records; `data.manifest` makes clips of them. To add a
form, write a file with a `FORMAT` and add it to the table.
"""

from __future__ import annotations

from ...errors import DataError
from . import (
    audiocaps,
    audioldm,
    clotho,
    file_names,
    hub,
    metadata_csv,
    metadata_jsonl,
    metadata_parquet,
    musiccaps,
    parquet,
    saved_dataset,
    sidecar,
    tags,
    wavcaps,
    webdataset,
)
from .base import Place, SourceFormat

_MODULES = (
    metadata_jsonl,
    metadata_csv,
    metadata_parquet,
    saved_dataset,
    audioldm,
    audiocaps,
    clotho,
    musiccaps,
    wavcaps,
    parquet,
    webdataset,
    sidecar,
    tags,
    file_names,
)
SOURCES: dict[str, SourceFormat] = {module.FORMAT.name: module.FORMAT for module in _MODULES}
"""Every form by its name. The first that recognizes a place reads it."""


def find_source(text: str) -> tuple[SourceFormat, Place]:
    """Return the form of what a user named as data, and its place.

    Args:
        text: A folder, file, pattern, address or hub id. FORMAT: in front of it, such as "names:",
            chooses one of `SOURCES`.

    Raises:
        DataError: It does not exist, or has none of the forms.
    """
    prefix, colon, rest = text.partition(":")
    place = Place(text)
    if text.startswith(hub.PREFIX) and not place.path.exists():
        place = hub.download(text)
    if colon and prefix in SOURCES and not place.path.exists():
        return SOURCES[prefix], _existing(Place(rest))
    for source in SOURCES.values():
        if source.recognizes(place):
            return source, place
    _existing(place)
    forms = "; ".join([source.description for source in SOURCES.values()] + [hub.DESCRIPTION])
    raise DataError(
        f"{text} holds no captioned sounds that can be read; it may be one of these: {forms}"
    )


def _existing(place: Place) -> Place:
    """Return the place.

    Raises:
        DataError: There is neither a folder nor a file of that name.
    """
    if not place.path.exists():
        raise DataError(
            f"there is no folder {place.text}; check the name "
            "(latentaudio dataset render DIR makes a folder of captioned sounds)"
        )
    return place
