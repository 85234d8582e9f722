"""An output folder that appears complete or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import OutputError


@dataclass(frozen=True)
class OutputFolder:
    """A folder in progress.

    Attributes:
        target: Absolute path of the finished folder.
        temporary: Folder to write to. It becomes the target.
    """

    target: Path
    temporary: Path


@contextmanager
def new_folder(folder: Path, num_bytes: int) -> Iterator[OutputFolder]:
    """Open a temporary folder beside `folder` that replaces it when the block succeeds.

    On an error or Ctrl-C the temporary folder is removed. Leftovers of killed processes are
    removed at the next call.

    Args:
        folder: The folder to write. It must be new or empty.
        num_bytes: Space that the content needs.

    Yields:
        The target and the temporary folder.

    Raises:
        OutputError: The folder holds files, the disk is too full, or writing failed.
    """
    target = folder.expanduser().resolve()
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise OutputError(f"{target} exists and is not an empty folder: choose another")
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        _remove_leftovers(target)
        temporary.mkdir(parents=True)
        try:
            _require_space(target, temporary, num_bytes)
            yield OutputFolder(target, temporary)
            _move_into_place(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {target} ({error}): free disk space, or choose a folder that you may "
            "write to"
        ) from error


def _require_space(target: Path, temporary: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(temporary).free
    if num_bytes > free:
        raise OutputError(
            f"{target} needs up to {num_bytes / 1e9:.2f} GB, {free / 1e9:.2f} GB are free: use "
            "fewer hours or another disk"
        )


def _move_into_place(temporary: Path, target: Path) -> None:
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    if target.exists():
        raise FileExistsError(errno.EEXIST, "it exists already", str(target))
    temporary.rename(target)


def _remove_leftovers(target: Path) -> None:
    """Remove temporary folders of this target whose process no longer runs."""
    for leftover in target.parent.glob(f".{target.name}.*.part"):
        process_id = leftover.suffixes[-2][1:]
        if process_id.isdecimal() and not _is_running(int(process_id)):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_running(process_id: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs as another user
        return True
    return True
