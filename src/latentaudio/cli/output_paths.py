"""Where clips go: from -o and the prompts to paths that can be written, found wrong before any work. Knows no sound."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..audio.io import FORMATS, encode, safe_name
from ..errors import DataError, UsageError

DEFAULT_ENDING = ".wav"


def targets(
    output: str | None, names: Sequence[str], ending: str = DEFAULT_ENDING, rate: int = 0
) -> Iterator[Path]:
    """A path for each clip; `names` are their prompts. ending: of files in a folder. rate: of the clips, where it is known.

    A file: that very path (it may be overwritten), or `name_1.wav` and so on for several clips. A folder (one that is there, or
    a name that ends in / or has no ending), or nothing for the current one: named by prompt, never overwriting. Raises
    UsageError or DataError at once.
    """
    path = Path(output or "")
    if output == "" or path.name.lower() in FORMATS:
        raise UsageError(f"-o {output!r} is no name; give a file such as bell.wav, or a folder")
    if output is None or output.endswith(("/", os.sep)) or _is_folder(path):
        return _in_folder(writable(path, create=True), names, ending)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"cannot write sound as {path.suffix!r}; end the name in {', '.join(FORMATS)}, or in / if it is a folder"
        )
    check_rate(rate, path.suffix)
    writable(path.parent, create=False)
    if len(names) == 1:
        return iter([path])
    width = len(str(len(names)))
    return (path.with_stem(f"{path.stem}_{k:0{width}}") for k in range(1, len(names) + 1))


def check_rate(rate: int, ending: str) -> None:
    """UsageError where a format cannot hold a rate; 0 is the model's, which all can."""
    if rate:
        encode(np.zeros((1, 1), np.float32), rate, ending)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir() or not path.suffix
    except OSError as problem:
        raise DataError(
            f"cannot write to a name of {len(path.name)} letters ({problem.strerror}); take another"
        ) from None


def _in_folder(folder: Path, names: Sequence[str], ending: str) -> Iterator[Path]:
    for name in names:
        stem, k = safe_name(name), 1
        path = folder / f"{stem}{ending}"
        while path.exists():
            k += 1
            path = folder / f"{stem}_{k}{ending}"
        yield path


def writable(folder: Path, create: bool) -> Path:
    """The folder; DataError where nothing can be put there."""
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise DataError(f"{folder} exists and is not a folder; choose another") from None
    except OSError as problem:
        raise DataError(
            f"cannot make the folder {folder} ({problem.strerror}); choose another"
        ) from None
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; create it or choose another")
    if not os.access(folder, os.W_OK):
        raise DataError(f"the folder {folder} cannot be written to; choose another")
    return folder
