"""Datasets of the Hugging Face hub: hf:owner/name, downloaded once by the package `datasets`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...errors import DataError, first_line
from .base import Place, Record, SourceFormat
from .saved_dataset import records_of_dataset
from .tables import import_extra

PREFIX = "hf:"
_NAME = re.compile(r"hf:(?P<id>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<config>[\w.-]+))?")


def _read(place: Place) -> Iterator[Record]:
    match = _NAME.fullmatch(place.text)
    if match is None:
        raise DataError(f"{place.text} is no dataset of the hub; write it as hf:owner/name")
    datasets = import_extra("datasets", place.text)
    try:
        loaded = datasets.load_dataset(match["id"], match["config"])
    except Exception as error:  # errors of the hub, of networks and of many formats
        raise DataError(
            f"cannot load {place.text} ({first_line(error)}); "
            "check the name and the connection, or log in with hf auth login"
        ) from None
    for split in loaded:
        yield from records_of_dataset(datasets, loaded[split], split, place)


FORMAT = SourceFormat(
    name="hf",
    description="a dataset of the Hugging Face hub: hf:owner/name (extra hub)",
    recognizes=lambda place: place.text.startswith(PREFIX),
    read=_read,
)
