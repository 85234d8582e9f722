"""The one door to the clips of data sets in any form of `data.sources`.

`Clip.record` holds all that the data says about a sound.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import DataError
from .clip import Clip, DataSource, DataSources, as_source, open_source, read_records
from .clip_list import ClipList
from .report import check_dataset
from .sources.base import Place, Record
from .sources.metadata_jsonl import FORMAT as METADATA_JSONL

METADATA = "metadata.jsonl"

__all__ = ["METADATA", "Clip", "DataSource", "DataSources", "manifest_fingerprint", "read_manifest"]


def read_manifest(*sources: DataSource | Path | str) -> ClipList:
    """Return the clips of data sets that can be trained on, in the order of the data.

    Sounds with a problem are left out, and a warning names them: see `report.check_dataset`. A clip
    with repeats stands there as often.

    Args:
        *sources: Folders, files, patterns of tars or hub ids.

    Raises:
        DataError: There is no such data, its form is not known, or no clip can be used.
    """
    report = check_dataset(*sources)
    lines = report.lines()
    if not report.clips:
        reason = f"no sound can be trained on: {lines[0]}" if lines else "no training data"
        raise DataError(
            f"{reason}; name at least one folder of captioned sounds "
            "(latentaudio dataset render DIR makes one)"
        )
    for line in lines:
        warnings.warn(line, stacklevel=2)
    return report.clips


def manifest_fingerprint(source: DataSource | Path | str) -> str:
    """Return a hash of the descriptions of a data set, which does not depend on its place.

    Args:
        source: The data set.

    Raises:
        DataError: There is no such data, or its form is not known.
    """
    data = as_source(source)
    form, place, split = open_source(data)
    table = place.path / METADATA
    if form is METADATA_JSONL and not data.trigger and not split and table.is_file():
        return hashlib.blake2b(table.read_bytes(), digest_size=16).hexdigest()
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([data.trigger, split]).encode())
    for line in _described(read_records(data), place):
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _described(records: Iterable[Record], place: Place) -> Iterator[str]:
    """Yield the facts of each record that do not depend on the place of the data."""
    for record in records:
        path = str(record.path or "").removeprefix(str(place.folder))
        if record.name:  # in the cache
            path = record.name.removeprefix(place.text)
        yield json.dumps([path, record.captions, record.split, record.repeats, record.problem])
