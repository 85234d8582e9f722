"""Where clips go: from -o and the prompts to paths that can be written, found wrong before any work. Knows no sound."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..audio.io import FORMATS, safe_name
from ..errors import DataError, UsageError

DEFAULT_ENDING = ".wav"


def targets(output: str | None, names: Sequence[str]) -> Iterator[Path]:
    """A path for each clip; `names` are their prompts.

    A file: that very path (it may be overwritten), or `name_1.wav` and so on for several clips. A folder (one that is there, or
    a name that ends in / or has no ending), or nothing for the current one: named by prompt, never overwriting. Raises
    UsageError or DataError at once.
    """
    path = Path(output or "")
    if output == "" or path.name.lower() in FORMATS:
        raise UsageError(f"-o {output!r} is no name; give a file such as bell.wav, or a folder")
    if output is None or output.endswith(("/", os.sep)) or _is_folder(path):
        return _in_folder(_writable(path, create=True), names)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"cannot write sound as {path.suffix!r}; end the name in {', '.join(FORMATS)}, or in / if it is a folder"
        )
    _writable(path.parent, create=False)
    if len(names) == 1:
        return iter([path])
    width = len(str(len(names)))
    return (path.with_stem(f"{path.stem}_{k:0{width}}") for k in range(1, len(names) + 1))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir() or not path.suffix
    except OSError as problem:
        raise DataError(f"cannot write to a name of {len(path.name)} letters ({problem.strerror}); take another") from None


def _in_folder(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        stem, k = safe_name(name), 1
        path = folder / f"{stem}{DEFAULT_ENDING}"
        while path.exists():
            k += 1
            path = folder / f"{stem}_{k}{DEFAULT_ENDING}"
        yield path


def _writable(folder: Path, create: bool) -> Path:
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise DataError(f"{folder} exists and is not a folder; choose another with -o") from None
    except OSError as problem:
        raise DataError(f"cannot make the folder {folder} ({problem.strerror}); choose another with -o") from None
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; create it or choose another with -o")
    if not os.access(folder, os.W_OK):
        raise DataError(f"the folder {folder} cannot be written to; choose another with -o")
    return folder
