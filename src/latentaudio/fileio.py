"""Files and folders that are whole or not there. Knows nothing of what they hold."""

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
def replacing(target: Path, create: bool = True) -> Iterator[Path]:
    """A temporary path beside `target` that takes its place when the block ends well and vanishes when it does not.

    Neither Ctrl-C nor a full disk leaves half a file. create: make the folder where it is missing. Raises DataError for a
    folder that is missing or cannot be written to and for whatever the system says against writing in the block.
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
    except OSError as problem:
        raise DataError(
            f"cannot write {target} ({problem.strerror or problem}); choose another place or free some"
        ) from None


@contextmanager
def filling(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that becomes it when the block ends well and vanishes when it does not.

    What processes that were killed left of theirs is swept. Errors are the system's own: what fills a folder knows better what
    to say. FileExistsError if `target` holds something by then.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    for left in target.parent.glob(f".{target.name}.*.part"):
        number = left.suffixes[-2][1:]
        if number.isdecimal() and not _alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)
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


def _alive(process: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, as somebody else
        return True
    return True
