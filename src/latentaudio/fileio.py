"""Atomic writes, locks and the folder of caches.

A file or folder appears complete, or not at all, and once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .errors import DataError, LatentAudioError, UsageError

_PART_NAME = re.compile(r"\.[0-9a-f]{16}(?:\.(\d+))?(?:\.([0-9a-f]{8}))?\.part")
"""A temporary name: groups are the process and a hash of its machine's name."""
_CLEANED: set[Path] = set()
"""Folders from which this process has removed what killed processes left."""
_LOCK_FILE = ".lock"
CACHE_VARIABLE = "LATENTAUDIO_CACHE"
"""Environment variable with another folder of caches."""
_HOLDER_FILE = ".lock_holder"  # whose process holds the lock


@contextmanager
def created_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its parents, and remove those again if the block fails.

    Only folders that did not exist before and are empty are removed, so a refused command leaves
    nothing behind.

    Args:
        folder: The folder; it may exist.

    Raises:
        OSError: As the system raises it.
    """
    created = []
    level = folder
    while not level.exists():
        created.append(level)
        level = level.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):  # one that is not empty, and those above it, stay
            for level in created:
                if level.exists():
                    level.rmdir()
        raise


@contextmanager
def emptied_if_refused(folder: Path, has_result: Callable[[], bool]) -> Iterator[None]:
    """Delete what the block writes into a new or empty folder if the block is refused.

    Ctrl-C and SIGTERM delete nothing, because the same command goes on with it.

    Args:
        folder: The folder; whoever creates it deletes it, as `created_folder` does.
        has_result: Whether it holds something that is worth keeping.
    """
    try:
        yield
    except LatentAudioError:
        if folder.is_dir() and not has_result():
            for path in folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        raise


def is_new_or_empty(folder: Path) -> bool:
    """Whether a folder does not exist, or holds only the lock of the calling process."""
    names = {_LOCK_FILE, _HOLDER_FILE}
    return not folder.is_dir() or all(path.name in names for path in folder.iterdir())


@contextmanager
def atomic_write(target: Path, create: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `target` that replaces it if the block succeeds.

    Neither Ctrl-C nor a full disk leaves a partial file: if the block fails, the temporary file is
    deleted. The content is on the disk before the name is, so a power failure leaves none either.
    Temporary files of processes that were killed are deleted at the first write into a folder.

    Args:
        target: The file to write.
        create: Whether to create its folder.

    Raises:
        DataError: If the folder is missing or not writable, or for any `OSError` in the block.
    """
    folder = target.parent
    try:
        if not create and not folder.is_dir():
            raise DataError(
                f"there is no folder {folder}; create it or choose another place for {target.name}"
            )
        with created_folder(folder):
            _clean_once(folder)
            temporary = _temporary_path(folder)
            try:
                temporary.touch()
                yield temporary
                _flush_to_disk(temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"cannot write {target} ({reason}); choose another place or free some space"
        ) from None


def user_path(name: str | Path) -> Path:
    """Return a path as a user names it; `~` is the home folder. `~name` of nobody is a file."""
    return Path(os.path.expanduser(name))  # noqa: PTH111  # a Path raises for unknown users


def cache_folder() -> Path:
    """Return the folder of what is computed again if it is deleted.

    It is $LATENTAUDIO_CACHE, or latentaudio in the user's folder of caches.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    user_caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user_caches).expanduser() / "latentaudio"


def file_key(path: Path) -> str:
    """Return a hash of a file's place, size and times: it changes if the file does.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    state = path.stat()
    return text_key(f"{path.absolute()} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}")


def text_key(text: str) -> str:
    """Return a hash of a text, which can be the name of a file."""
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()


def remove_abandoned_parts(folder: Path) -> None:
    """Remove the temporary files and folders in a folder that killed processes left.

    Those of other machines stay, because a shared drive may hold files that one of them writes.

    Args:
        folder: The folder.
    """
    for part in folder.glob(".*.part"):
        match = _PART_NAME.fullmatch(part.name)
        if match is None or (match[2] and match[2] != _host()):
            continue
        if match[1] and _is_running(int(match[1])):
            continue
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


@contextmanager
def temporary_directory(folder: Path) -> Iterator[Path]:
    """Yield a new hidden folder in a folder, which is deleted after the block.

    Args:
        folder: The folder; it is created. What killed processes left there is deleted first.
    """
    with created_folder(folder):
        _clean_once(folder)
        temporary = _temporary_path(folder)
        temporary.mkdir()
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that becomes it if the block succeeds.

    Args:
        target: The folder to create; it may exist if it is empty.

    Raises:
        FileExistsError: If `target` holds something when the block ends.
        OSError: As the system raises it; the caller can add the cause.
    """
    with temporary_directory(target.parent) as temporary:
        yield temporary
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        if target.exists():
            raise FileExistsError(errno.EEXIST, "it exists already", str(target))
        temporary.rename(target)


@contextmanager
def lock_folder(folder: Path, work: str) -> Iterator[None]:
    """Keep other processes from the same work in a folder; a killed process holds no lock.

    Args:
        folder: The folder; it is created.
        work: What is done there, for the error, such as "training".

    Raises:
        UsageError: Another process holds the lock.
        DataError: The folder cannot be written.
    """
    from filelock import FileLock, Timeout

    holder = folder / _HOLDER_FILE
    lock = FileLock(folder / _LOCK_FILE)
    with ExitStack() as stack:
        try:
            stack.enter_context(created_folder(folder))
            lock.acquire(timeout=0)
        except Timeout:
            name = "another process"
            if holder.is_file():
                name = holder.read_text(errors="replace").strip()
            raise UsageError(
                f"{name} is {work} in {folder}; wait until it ends, or choose another folder"
            ) from None
        except OSError as error:
            raise DataError(
                f"cannot write {folder} ({error.strerror or error}); choose another folder"
            ) from None
        try:
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


@contextmanager
def locked(file: Path, work: str) -> Iterator[None]:
    """Wait until no other process is inside such a block, and say so if it takes time.

    Args:
        file: The lock; it and its folder are created, and stay.
        work: What the others do until then, for the message, such as "encoded all clips".

    Raises:
        DataError: The folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            warnings.warn(f"waiting until another process has {work}", stacklevel=4)
            lock.acquire()
    except OSError as error:
        raise DataError(
            f"cannot write {file.parent} ({error.strerror or error}); choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def lock_names(folder: Path) -> Iterator[None]:
    """Let one process at a time choose a new name in a folder, and write a file of that name.

    Nothing is left in the folder, however the process ends. Without locks, as on Windows, two
    processes may choose one name.

    Args:
        folder: The folder.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network drives have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flush_to_disk(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _clean_once(folder: Path) -> None:
    """Remove what killed processes left in a folder, at its first use by this process."""
    if folder not in _CLEANED:
        _CLEANED.add(folder)
        remove_abandoned_parts(folder)


def _temporary_path(folder: Path) -> Path:
    """Return a new hidden name, which tells what process of what machine writes it."""
    return folder / f".{secrets.token_hex(8)}.{os.getpid()}.{_host()}.part"


def _host() -> str:
    """Return a hash of this machine's name."""
    return hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()


def _is_running(process: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is of another user
        return True
    return True
