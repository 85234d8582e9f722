"""Files of clips: their paths, found before any work, and the clips written to them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.audio_formats import FORMATS
from ..errors import DataError, UsageError
from . import console

if TYPE_CHECKING:
    from ..audio.io import Audio
    from .flags import DisplayFlags

_NOT_IN_JSON = {"duration", "sample_rate", "num_waveforms", "candidates"}
"""Options that the JSON line leaves out, because it has measured values for them."""
DEFAULT_EXTENSION = ".wav"


def output_paths(
    output: str | None,
    names: Sequence[str],
    extension: str = DEFAULT_EXTENSION,
    sample_rate: int = 0,
) -> Iterator[Path]:
    """Return a path for each clip.

    A file is overwritten; several clips get numbers: `name_1.wav`. Files in a folder are named
    after their prompts and replace nothing.

    Args:
        output: A file, a folder (one that exists, or a name that ends in / or has no extension),
            or None for the current folder.
        names: The prompts of the clips.
        extension: Extension of files in a folder.
        sample_rate: Sample rate of the clips in Hz; 0: that of the model.

    Raises:
        UsageError: The name is no file name, or the format cannot hold the clips.
        DataError: The folder does not exist or cannot be written.
    """
    path = Path(output or "")
    if output == "" or path.name.lower() in FORMATS:
        raise UsageError(
            f"-o {output!r} is not a file name; give one such as bell.wav, or a folder"
        )
    if output is None or output.endswith(("/", os.sep)) or _is_folder(path):
        return _paths_in_folder(ensure_writable_dir(path, create=True), names, extension)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"cannot write audio as {path.suffix!r}; end the name in {', '.join(FORMATS)}, "
            "or in / for a folder"
        )
    validate_sample_rate(sample_rate, path.suffix)
    ensure_writable_dir(path.parent, create=False)
    if len(names) == 1:
        return iter([path])
    width = len(str(len(names)))
    numbers = range(1, len(names) + 1)
    return (path.with_stem(f"{path.stem}_{number:0{width}}") for number in numbers)


def validate_sample_rate(sample_rate: int, extension: str) -> None:
    """Raise `UsageError` if a format cannot hold a sample rate; 0, the model's, always fits."""
    if not sample_rate:
        return
    import numpy as np

    from ..audio.encoding import encode

    encode(np.zeros((1, 1), np.float32), sample_rate, extension)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir() or not path.suffix
    except OSError as error:
        raise DataError(
            f"cannot write to a name of {len(path.name)} characters ({error.strerror}); shorten it"
        ) from None


def _paths_in_folder(folder: Path, names: Sequence[str], extension: str) -> Iterator[Path]:
    from ..audio.io import safe_name

    for name in names:
        stem = safe_name(name)
        number = 1
        path = folder / f"{stem}{extension}"
        while path.exists():
            number += 1
            path = folder / f"{stem}_{number}{extension}"
        yield path


def ensure_writable_dir(folder: Path, create: bool) -> Path:
    """Return a folder that files can be written to.

    Args:
        folder: The folder.
        create: Whether to create it.

    Raises:
        DataError: It does not exist, cannot be created or cannot be written.
    """
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise DataError(f"{folder} exists and is not a folder; choose another") from None
    except OSError as error:
        raise DataError(
            f"cannot create the folder {folder} ({error.strerror}); choose another"
        ) from None
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; create it or choose another")
    if not os.access(folder, os.W_OK):
        raise DataError(f"the folder {folder} cannot be written to; choose another")
    return folder


def save_clip(clip: Audio, path: Path, display: DisplayFlags) -> None:
    """Write a clip and, with `--plot`, its plot; print a line about it."""
    path = clip.save(path)
    if display.plot:
        from ..audio.plot import save_plot

        save_plot(path.with_name(f"{path.name}.png"), clip.samples, clip.sample_rate)
    if display.json:
        record = {
            "path": path,
            "duration": clip.duration,
            "sample_rate": clip.sample_rate,
            "score": clip.score,
            **clip.options.model_dump(exclude=_NOT_IN_JSON),
        }
        console.print_record(record, as_json=True)
    elif not display.quiet:
        score = "" if clip.score is None else f"  CLAP score {clip.score:.2f}"
        console.print_result(f"{path}  {clip.duration:g} s  seed {clip.seed}{score}")
