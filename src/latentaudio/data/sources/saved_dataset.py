"""A folder that `save_to_disk` of Hugging Face's datasets wrote, with one split or several.

Its Arrow files hold the encoded sounds. They are read with pyarrow alone: the package `datasets`
needs torchcodec and FFmpeg for sounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import first_line
from ...fileio import file_key
from .base import Place, Record, SourceFormat, normalize_split, split_of_name
from .extracted import extracted_records
from .json_files import read_json
from .tables import Row, import_extra

_DICT_FILE = "dataset_dict.json"
_STATE_FILE = "state.json"
_INFO_FILE = "dataset_info.json"


def _recognizes(place: Place) -> bool:
    names = set(place.top_files)
    return _DICT_FILE in names or {_STATE_FILE, _INFO_FILE} <= names


def _read(place: Place) -> Iterator[Record]:
    import_extra("pyarrow", place.text)
    if _DICT_FILE not in place.top_files:
        yield from _read_split(place.path, split_of_name(place.path.name))
        return
    content = read_json(place.path / _DICT_FILE)
    if isinstance(content, Record):
        yield content
        return
    for name in content.get("splits", []):
        yield from _read_split(place.path / str(name), normalize_split(name))


def _read_split(folder: Path, split: str) -> Iterator[Record]:
    """Yield the records of one split: those of its Arrow files, in their order."""
    state = read_json(folder / _STATE_FILE)
    if isinstance(state, Record):
        yield state
        return
    files = state.get("_data_files", [])
    for entry in files if isinstance(files, list) else []:
        file = folder / str(entry.get("filename") if isinstance(entry, dict) else entry)
        if not file.is_file():
            yield Record(position=str(file), problem="the file does not exist; save it again")
            continue
        yield from extracted_records(file_key(file), _rows(file), split, folder)


def _rows(file: Path) -> Iterator[Row]:
    """Yield the rows of an Arrow file, a few at a time."""
    pyarrow = import_extra("pyarrow", file)
    number = 0
    try:
        with pyarrow.memory_map(str(file)) as source, pyarrow.ipc.open_stream(source) as stream:
            for batch in stream:
                for row in batch.to_pylist():
                    number += 1
                    yield f"{file}:{number}", row
    except (OSError, ValueError) as error:  # errors of pyarrow derive from these
        position = f"{file}:{number + 1}"
        problem = f"the file cannot be read ({first_line(error)}); save it again"
        yield position, Record(position=position, problem=problem)


FORMAT = SourceFormat(
    name="saved_dataset",
    description="a folder that save_to_disk of datasets wrote",
    recognizes=_recognizes,
    read=_read,
)
