"""The JSON files of AudioLDM's training code: dataset_root.json, and lists of sounds.

dataset_root.json names a folder of sounds for each data set, and under metadata.path the list of
each of its splits. A list is {"data": [{"wav": ..., "caption": ...}]}; all keys with "caption" in
their names are captions. A sound without any has labels, whose names become the caption.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import DataError
from .base import Place, Record, SourceFormat, bad_row, normalize_split, repeats_of, split_of_name
from .json_files import begins_with_key, read_json
from .tables import csv_rows

ROOT_FILE = "dataset_root.json"
_LABELS_FILE = "class_labels_indices.csv"
_SPLITS = ("train", "val", "test")


def _root_file(place: Place) -> Path | None:
    """The root file that a place is or has."""
    if place.path.name == ROOT_FILE and place.path.is_file():
        return place.path
    return place.path / ROOT_FILE if ROOT_FILE in place.top_files else None


def _lists(place: Place) -> list[Path]:
    return [file for file in place.json_tables if begins_with_key(file, "wav")]


def _recognizes(place: Place) -> bool:
    return _root_file(place) is not None or bool(_lists(place))


def _read(place: Place) -> Iterator[Record]:
    root_file = _root_file(place)
    if root_file is None:
        for table in _lists(place):
            labels = _label_names(place.folder / _LABELS_FILE)
            yield from _read_list(table, place.folder, split_of_name(table.name), labels)
        return
    root = read_json(root_file)
    if isinstance(root, Record):
        yield root
        return
    try:
        paths = root["metadata"]["path"]
        entries = [(name, root[name], paths[name]) for name in paths]
    except (KeyError, TypeError) as error:
        yield bad_root(root_file, f"it lacks {error}")
        return
    for name, audio, tables in entries:
        if not isinstance(audio, str) or not isinstance(tables, dict):
            yield bad_root(root_file, f"{name} is no folder with lists")
            continue
        folder = _resolve(root_file.parent, audio)
        labels = _label_names(_resolve(root_file.parent, str(tables.get("class_label_indices"))))
        for split in _SPLITS:
            if isinstance(tables.get(split), str):
                table = _resolve(root_file.parent, tables[split])
                yield from _read_list(table, folder, normalize_split(split), labels)


def bad_root(file: Path, reason: str) -> Record:
    """Return the record of a root file that cannot be used.

    Args:
        file: The file.
        reason: The problem.
    """
    problem = f"not a root file of AudioLDM's training code ({reason}); correct the file"
    return Record(position=str(file), problem=problem)


def _resolve(folder: Path, name: str) -> Path:
    """Return a path of a root file: relative to its folder, to one above, or as it stands."""
    for start in (folder, *folder.absolute().parents):
        if (start / name).exists():
            return start / name
    return folder / name


def _label_names(table: Path) -> dict[str, str]:
    """Return the names of AudioSet's labels by identifier; {} if there is no table."""
    if not table.is_file():
        return {}
    names = {}
    try:
        for _, row in csv_rows(table):
            if isinstance(row, dict) and row.get("mid") and row.get("display_name"):
                names[str(row["mid"])] = str(row["display_name"])
    except (DataError, csv.Error):
        return {}
    return names


def _read_list(
    table: Path, folder: Path, split: str, labels: Mapping[str, str]
) -> Iterator[Record]:
    content = read_json(table)
    if isinstance(content, Record):
        yield content
        return
    items = content.get("data")
    if not isinstance(items, list):
        yield bad_row(str(table), "data is no list")
        return
    for number, item in enumerate(items, 1):
        position = f"{table}:{number}"
        try:
            path = folder / item["wav"]
            captions = _captions(item, labels)
            fields = _with_transcript(item)
            yield Record(position, path, captions, split, repeats_of(item), fields)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            yield bad_row(position, f"wav or caption: {error}")


def _captions(item: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[str, ...]:
    captions: list[str] = []
    for key, value in item.items():
        if "caption" in key:
            values = value if isinstance(value, list) else [value]
            captions += [text for text in values if isinstance(text, str) and text.strip()]
    if captions:
        return tuple(captions)
    identifiers = str(item.get("labels") or item.get("label") or "").split(",")
    names = [labels[word.strip()] for word in identifiers if word.strip() in labels]
    return (", ".join(names) + ".",) if names else ()


def _with_transcript(item: Mapping[str, Any]) -> dict[str, Any]:
    """Name the words of speech as metadata.jsonl does."""
    fields = dict(item)
    if "phonemes" in fields and isinstance(fields.get("text"), str):
        fields.setdefault("transcript", fields["text"])
    return fields


FORMAT = SourceFormat(
    name="audioldm",
    description="dataset_root.json of AudioLDM's training code",
    recognizes=_recognizes,
    read=_read,
)
