"""Atomic writes: a file or folder appears complete or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import DataError


@contextmanager
def atomic_write(target: Path, create: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `target` that replaces it if the block succeeds.

    Neither Ctrl-C nor a full disk leaves a partial file: if the block fails, the temporary file is
    deleted.

    Args:
        target: The file to write.
        create: Whether to create its folder.

    Raises:
        DataError: If the folder is missing or not writable, or for any `OSError` in the block.
    """
    folder = target.parent
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        elif not folder.is_dir():
            raise DataError(
                f"there is no folder {folder}; create it or choose another place for {target.name}"
            )
        temporary = folder / f".{secrets.token_hex(8)}.part"
        try:
            temporary.touch()
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"cannot write {target} ({reason}); choose another place or free some space"
        ) from None


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that becomes it if the block succeeds.

    Temporary folders of processes that were killed are deleted first.

    Args:
        target: The folder to create; it may exist if it is empty.

    Raises:
        FileExistsError: If `target` holds something when the block ends.
        OSError: As the system raises it; the caller can add the cause.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    for abandoned in target.parent.glob(f".{target.name}.*.part"):
        process = abandoned.suffixes[-2][1:]
        if process.isdecimal() and not _is_running(int(process)):
            shutil.rmtree(abandoned, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        if target.exists():
            raise FileExistsError(errno.EEXIST, "it exists already", str(target))
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_running(process: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is of another user
        return True
    return True
