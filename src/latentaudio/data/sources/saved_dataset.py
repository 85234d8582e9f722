"""A folder that `save_to_disk` of Hugging Face's datasets wrote, with one split or several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import DataError, first_line
from ..cache import text_key
from .base import Place, Record, SourceFormat, normalize_split
from .extracted import extracted_records
from .tables import import_extra

_DICT_FILE = "dataset_dict.json"
_STATE_FILE = "state.json"
_INFO_FILE = "dataset_info.json"


def _recognizes(place: Place) -> bool:
    names = set(place.top_files)
    return _DICT_FILE in names or {_STATE_FILE, _INFO_FILE} <= names


def _read(place: Place) -> Iterator[Record]:
    datasets = import_extra("datasets", place.text)
    try:
        loaded = datasets.load_from_disk(str(place.path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{place.text} cannot be opened as a saved dataset ({first_line(error)}); save it again"
        ) from None
    splits = loaded if hasattr(loaded, "keys") else {"": loaded}
    for name in splits:
        yield from records_of_dataset(datasets, splits[name], name, place)


def records_of_dataset(datasets: Any, dataset: Any, split: str, place: Place) -> Iterator[Record]:
    """Yield the records of one split of a dataset.

    Args:
        datasets: The package.
        dataset: The split.
        split: Its name.
        place: Where it comes from.
    """
    for column, feature in dataset.features.items():
        if isinstance(feature, datasets.Audio):
            # bytes as they are stored: soundfile decodes them, no FFmpeg is needed
            dataset = dataset.cast_column(column, datasets.Audio(decode=False))
    files = [entry["filename"] for entry in dataset.cache_files]
    key = text_key(f"{place.text} {split} {files} {len(dataset)} {_state_of(files)}")
    label = f"{place.text}:{split}" if split else place.text
    rows = ((f"{label}:{number}", row) for number, row in enumerate(dataset, 1))
    yield from extracted_records(key, rows, normalize_split(split), place.folder)


def _state_of(files: list[str]) -> list[tuple[int, int]]:
    """Sizes and times of a dataset's files, which change with it."""
    states = []
    for file in files:
        state = Path(file).stat()
        states.append((state.st_size, state.st_mtime_ns))
    return states


FORMAT = SourceFormat(
    name="saved_dataset",
    description="a folder that save_to_disk of Hugging Face's datasets wrote (extra hub)",
    recognizes=_recognizes,
    read=_read,
)
