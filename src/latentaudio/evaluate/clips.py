"""Folders of clips: their files, their names, and which clips belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config.audio_formats import FORMATS
from ..config.parsing import read_bounded
from ..data.sources.base import CAPTION_KEYS, FILE_KEYS, Record, captions_of, is_empty
from ..data.sources.tables import READERS
from ..errors import DataError, first_line
from .subset_lists import SUBSETS

EXTENSIONS = (*FORMATS, ".aif", ".oga")
"""Extensions of files that count as clips."""
NAME_KEYS = (*FILE_KEYS, "name", "youtube_id", "ytid", "audiocap_id")
"""Columns with the name of a clip; a list need not lie beside its sounds."""
_AUDIOSET_NAME = re.compile(r"Y[\w-]{11}")
"""Names of AudioSet's and AudioCaps' files: Y and the YouTube id."""
CLASS_KEYS = ("class", "kind", "label", "category")


@dataclass(frozen=True)
class Folder:
    """The clips of a folder and its subfolders.

    Attributes:
        path: the folder.
        names: path of each clip below the folder, without extension; sorted.
        files: file of each clip.
    """

    path: Path
    names: tuple[str, ...]
    files: tuple[Path, ...]


def find_clips(path: Path) -> Folder:
    """Return the clips of a folder and its subfolders.

    Args:
        path: the folder.

    Raises:
        DataError: It is no folder, has no clips, or two clips of one name.
    """
    if not os.path.isdir(path):  # noqa: PTH112  # a Path raises for long names
        raise DataError(f"there is no folder {path}; check the name")
    clips: dict[str, Path] = {}
    for root, folders, files in os.walk(path):
        folders.sort()
        for file in sorted(files):
            clip = Path(root, file)
            if clip.suffix.lower() not in EXTENSIONS or file.startswith("."):
                continue
            name = clip.relative_to(path).with_suffix("").as_posix()
            if name in clips:
                raise DataError(
                    f"{clips[name]} and {clip.name} have the same name; remove one of them"
                )
            clips[name] = clip
    if not clips:
        raise DataError(f"{path} has no audio files ({', '.join(FORMATS)}); check the name")
    names = tuple(sorted(clips))
    return Folder(path, names, tuple(clips[name] for name in names))


def pair_names(
    generated: Sequence[str], reference: Sequence[str]
) -> tuple[list[tuple[int, int]], list[str]]:
    """Return the pairs of clips with the same name, and the generated names without a partner.

    Args:
        generated: names of the generated clips.
        reference: names of the reference clips.

    Returns:
        Pairs of indices, and names.
    """
    positions = {name: index for index, name in enumerate(reference)}
    pairs = []
    alone = []
    for index, name in enumerate(generated):
        if name in positions:
            pairs.append((index, positions[name]))
        else:
            alone.append(name)
    return pairs, alone


def read_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the captions of clips by name; a clip may have several.

    Args:
        path: A table as data sets have it (.csv, .tsv, .jsonl or .parquet), or a .json with a list
            of objects or an object of names and captions. Columns with the name: `NAME_KEYS`; with
            captions: those of data sets, or else `transcript`.

    Raises:
        DataError: It cannot be read or has no captions.
    """
    rows = _read_rows(path)
    captions: dict[str, list[str]] = {}
    for row in rows:
        captions.setdefault(_name_of(row, path), []).extend(_captions_of(row, path))
    if not captions:
        raise DataError(f"{path} has no captions; each row needs a file name and a caption")
    return {name: tuple(texts) for name, texts in captions.items()}


def read_subset(path: Path) -> tuple[str, ...]:
    """Return the names of a list of clips, each once, in its order.

    Args:
        path: a name of `SUBSETS`, a .txt with a name on each line, or a list as for
            `read_captions`, in which captions may be missing.

    Raises:
        DataError: It cannot be read, or has no names.
    """
    if str(path) in SUBSETS and not path.exists():
        return SUBSETS[str(path)].read()
    if path.suffix.lower() == ".txt":
        try:
            lines = [line.strip() for line in read_bounded(path).splitlines()]
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"cannot read {path} ({reason}); check the name") from None
        except ValueError as error:
            raise DataError(f"{path} is no list of names: {first_line(error)}") from None
        names = [_without_extension(line) for line in lines if line]
    else:
        names = [_name_of(row, path) for row in _read_rows(path)]
    if not names:
        raise DataError(f"{path} has no names of clips")
    return tuple(dict.fromkeys(names))


def select_clips(folder: Folder, names: Sequence[str]) -> tuple[Folder, tuple[str, ...]]:
    """Return the clips of a list, and the names of the list that the folder lacks.

    Args:
        folder: the clips.
        names: names of clips, with their subfolder or without it. A YouTube id is also the name
            of the file Y<id>, and the other way round.

    Raises:
        DataError: The folder has none of them.
    """
    places = {name.rpartition("/")[2]: index for index, name in enumerate(folder.names)}
    places |= {name: index for index, name in enumerate(folder.names)}
    names = [_known_name(name, places) for name in names]
    chosen = sorted({places[name] for name in names if name in places})
    if not chosen:
        raise DataError(
            f"{folder.path} has none of the {len(names)} clips of the subset, such as "
            f"{names[0]:.60}; check the names"
        )
    missing = tuple(name for name in names if name not in places)
    files = tuple(folder.files[index] for index in chosen)
    return Folder(folder.path, tuple(folder.names[index] for index in chosen), files), missing


def _known_name(name: str, places: Mapping[str, int]) -> str:
    """The name that a folder has: with or without the Y before a YouTube id."""
    other = name[1:] if _AUDIOSET_NAME.fullmatch(name) else f"Y{name}"
    return other if name not in places and other in places else name


def read_rows(path: Path) -> dict[str, Mapping[str, object]]:
    """Return the first row of every clip by name, with all columns.

    Args:
        path: a list as for `read_captions`.

    Raises:
        DataError: It cannot be read.
    """
    rows: dict[str, Mapping[str, object]] = {}
    for row in _read_rows(path):
        rows.setdefault(_name_of(row, path), row)
    return rows


def read_classes(path: Path) -> dict[str, str]:
    """Return the classes of clips by name; {} if the list of captions has no such column.

    Args:
        path: a list as for `read_captions`. Columns and keys: class, kind, label or category.

    Raises:
        DataError: It cannot be read.
    """
    classes = {}
    for row in _read_rows(path):
        label = next((row[key] for key in CLASS_KEYS if row.get(key)), None)
        if isinstance(label, str):
            classes[_name_of(row, path)] = label
    return classes


def short_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the last parts of paths, as many as tell them apart.

    Args:
        paths: unlike paths.
    """
    resolved = [path.resolve() for path in paths]
    for num_parts in range(1, max(len(path.parts) for path in resolved) + 1):
        names = tuple("/".join(path.parts[-num_parts:]) for path in resolved)
        if len(set(names)) == len(names):
            return names
    raise AssertionError("unlike paths differ somewhere")


def _read_rows(path: Path) -> list[Mapping[str, object]]:
    """The rows of a list of captions, with the names of columns in small letters."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path} is no list of captions that can be read; give a .csv, .jsonl or .json file"
        )
    rows: list[Mapping[str, object]] = []
    for position, row in reader(path):
        if isinstance(row, Record):
            raise DataError(f"{position}: {row.problem}")
        if not isinstance(row, dict):
            raise DataError(f"{position} is no object with a name and a caption; correct the line")
        for value in row.values():
            if isinstance(value, str | list) and _has_surrogates("".join(map(str, value))):
                raise DataError(f"{position} has bytes that are not UTF-8; save the file as UTF-8")
        rows.append({str(key).strip().lower(): value for key, value in row.items()})
    return rows


def _has_surrogates(text: str) -> bool:
    """Whether a text has bytes that are not UTF-8, which tables keep as lone surrogates."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _name_of(row: Mapping[str, object], path: Path) -> str:
    """Name of a row, without extension."""
    name = next((row[key] for key in NAME_KEYS if not is_empty(row.get(key))), None)
    if not isinstance(name, str | int):
        raise _missing("name", NAME_KEYS, row, path)
    return _without_extension(str(name))


def _captions_of(row: Mapping[str, object], path: Path) -> list[str]:
    """Captions of a row, as training reads them; without any, the words that are spoken."""
    try:
        captions = captions_of(row) or captions_of({"text": row.get("transcript")})
    except TypeError as error:
        raise DataError(f"a row of {path} has no captions ({error}); correct it") from None
    if not captions:
        raise _missing("caption", CAPTION_KEYS, row, path)
    return list(captions)


def _missing(what: str, keys: Sequence[str], row: Mapping[str, object], path: Path) -> DataError:
    columns = ", ".join(str(key) for key in list(row)[:8])
    return DataError(
        f"a row of {path} has no {what}; it has {columns or 'nothing'}, and needs one of "
        f"{', '.join(keys)}"
    )


def _without_extension(name: str) -> str:
    """The name of a clip, from that of its file."""
    text = name.replace("\\", "/")
    suffix = Path(text).suffix
    return text.removesuffix(suffix) if suffix.lower() in EXTENSIONS else text
