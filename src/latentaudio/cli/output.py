"""Files of clips: their paths, found before any work, and the clips written to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..config.audio_formats import FORMATS
from ..errors import DataError, LatentAudioError, UsageError
from ..fileio import created_folder, lock_names, user_path
from . import console

if TYPE_CHECKING:
    from ..audio.io import Audio
    from .flags import DisplayFlags, OutputFlags

HasMade: TypeAlias = Callable[[Mapping[str, str]], bool]

_USUAL_SAMPLE_RATE = 16000
_NOT_IN_JSON = {"duration", "sample_rate", "num_waveforms", "candidates"}
"""Options that the JSON line leaves out, because it has measured values for them."""
DEFAULT_EXTENSION = ".wav"


def output_paths(
    flags: OutputFlags,
    names: Sequence[str],
    *,
    inputs: Sequence[str | Path] = (),
    has_made: HasMade | None = None,
    sample_rate: int = 0,
    extension: str = DEFAULT_EXTENSION,
) -> Iterator[AbstractContextManager[Path]]:
    """Return a path for each clip, to be entered while it is written. No file is ever replaced.

    Several clips of one named file get numbers: `name_1.wav`. Files in a folder are named after
    their prompts and are always new. A folder that does not exist is created with the first clip.

    Args:
        flags: Where to write: a file, a folder (one that exists, or a name that ends in / or has no
            extension), or None for the current folder.
        names: The prompts of the clips.
        inputs: Files that the command reads. They are never replaced.
        has_made: Returns, from the tags of a file, whether the same command has made it. Such a
            file may be replaced.
        sample_rate: Sample rate of the clips in Hz; 0: that of the model.
        extension: Extension of files in a folder.

    Raises:
        UsageError: The name is no file name, the format cannot hold the clips, or a file exists
            that the same command has not made.
        DataError: The folder does not exist or cannot be written.
    """
    output = flags.output
    path = user_path(output or "")
    if output == "" or path.name.lower() in FORMATS:
        raise UsageError(
            f"-o {output!r} is not a file name; give one such as bell.wav, or a folder"
        )
    if output is None or output.endswith(("/", os.sep)) or _is_folder(path):
        _require_writable(path)
        return (_new_path(path, name, extension) for name in names)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"cannot write audio as {path.suffix!r}; end the name in {', '.join(FORMATS)}, "
            "or in / for a folder"
        )
    validate_sample_rate(sample_rate, path.suffix, flags.subtype)
    require_writable_dir(path.parent)
    files = [path]
    if len(names) > 1:
        width = len(str(len(names)))
        numbers = range(1, len(names) + 1)
        files = [path.with_stem(f"{path.stem}_{number:0{width}}") for number in numbers]
    for file in files:
        _reject_replacing(file, flags, inputs, has_made)
    return (nullcontext(file) for file in files)


def _reject_replacing(
    file: Path, flags: OutputFlags, inputs: Sequence[str | Path], has_made: HasMade | None
) -> None:
    """Raise `UsageError` if writing a clip, or its plot, would replace a file of the user."""
    targets = [file, plot_path(file)] if flags.plot else [file]
    for target in targets:
        for source in map(Path, inputs):
            if target.exists() and source.exists() and target.samefile(source):
                raise UsageError(
                    f"-o {flags.output} would overwrite {source}, which the command reads; "
                    "name another file"
                )
    if flags.overwrite or (has_made is not None and is_made_by(file, has_made)):
        return
    for target in targets:
        if target.exists():
            raise UsageError(
                f"{target} exists, and this command has not made it; name another file, "
                "or add --overwrite"
            )


def is_made_by(file: Path, has_made: HasMade) -> bool:
    """Return whether a file is a clip with tags for which `has_made` is true."""
    if not file.is_file():
        return False
    from ..audio.io import info

    try:
        return has_made(info(file)["tags"])
    except LatentAudioError:  # no audio
        return False


def plot_path(path: Path) -> Path:
    """Return the path of a clip's plot."""
    return path.with_name(f"{path.name}.png")


def validate_sample_rate(sample_rate: int, extension: str, subtype: str | None = None) -> None:
    """Raise `UsageError` if a format cannot hold a sample rate; 0, the model's, always fits."""
    if not sample_rate and subtype is None:
        return
    import numpy as np

    from ..audio.encoding import encode

    silence = np.zeros((1, 1), np.float32)
    encode(silence, sample_rate or _USUAL_SAMPLE_RATE, extension, subtype=subtype)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir() or not path.suffix
    except OSError as error:
        raise DataError(
            f"cannot write to a name of {len(path.name)} characters ({error.strerror}); shorten it"
        ) from None


@contextmanager
def _new_path(folder: Path, name: str, extension: str) -> Iterator[Path]:
    """A path in a folder that no file has, and that no other process chooses meanwhile."""
    from ..audio.io import safe_name

    stem = safe_name(name)
    with writable_folder(folder), lock_names(folder):
        number = 1
        path = folder / f"{stem}{extension}"
        while os.path.lexists(path):
            number += 1
            path = folder / f"{stem}_{number}{extension}"
        yield path


def _require_writable(folder: Path) -> None:
    """Raise `DataError` if a folder cannot be written, or cannot be created."""
    existing = folder
    try:
        while not existing.exists():
            existing = existing.parent
    except OSError as error:
        raise DataError(
            f"cannot create the folder {folder} ({error.strerror}); choose another"
        ) from None
    require_writable_dir(existing)


@contextmanager
def writable_folder(folder: Path) -> Iterator[None]:
    """Create a folder to write into; a new one is removed if the block fails and leaves it empty.

    Args:
        folder: The folder; it may exist.

    Raises:
        DataError: It cannot be created or written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(created_folder(folder))
        except FileExistsError:
            pass  # a file of that name, see below
        except OSError as error:
            raise DataError(
                f"cannot create the folder {folder} ({error.strerror}); choose another"
            ) from None
        require_writable_dir(folder)
        yield


def require_writable_dir(folder: Path) -> None:
    """Raise `DataError` if a folder does not exist or cannot be written."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} exists and is not a folder; choose another")
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; create it or choose another")
    if not os.access(folder, os.W_OK):
        raise DataError(f"the folder {folder} cannot be written to; choose another")


def save_clip(clip: Audio, path: Path, display: DisplayFlags) -> None:
    """Write a clip and, with `--plot`, its plot; print a line about it."""
    path = clip.save(path, subtype=display.subtype, dither=display.dither)
    if display.plot:
        from ..audio.plot import save_plot

        save_plot(plot_path(path), clip.samples, clip.sample_rate)
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
