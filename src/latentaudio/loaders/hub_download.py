"""Transfer of a repository's files: interrupted downloads resume, contents are checked.

huggingface_hub's own download (2.4) drops an interrupted file and checks no content, so bytes
arrive through this module. A file appears only when it is complete: in the cache, in that
library's layout, or in a folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from ..errors import DataError, WeightsError
from ..fileio import atomic_write, created_folder
from .hub_repository import (
    SPACE_REMEDY,
    HubFile,
    HubRepository,
    Unreachable,
    translate_errors,
)

PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each retry of a file of which nothing more arrives."""
_SHA256_CHARS = 64

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (bytes that have arrived, bytes in all)."""


def verify(path: Path, num_bytes: int | None, content_hash: str | None) -> None:
    """Check a file on disk; None skips a check.

    Args:
        path: The file.
        num_bytes: Its expected size.
        content_hash: Its expected hash, as `HubFile` has it.

    Raises:
        WeightsError: The file is missing, has another size or another content.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is missing; download it again")
    size = path.stat().st_size
    if num_bytes is not None and size != num_bytes:
        problem = "truncated" if size < num_bytes else "too long"
        raise WeightsError(f"{path} is {problem}: {size} of {num_bytes} bytes; download it again")
    if content_hash is None:
        return
    # git hashes a header with the size before the content
    git_sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    is_sha256 = len(content_hash) == _SHA256_CHARS
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256" if is_sha256 else lambda: git_sha1)
    actual = digest.hexdigest()
    if actual != content_hash:
        raise WeightsError(
            f"{path} is damaged: its hash is {actual[:12]}, not {content_hash[:12]}; "
            f"download it again"
        )


def download_to_cache(
    repository: HubRepository, commit: str, files: list[HubFile], progress: Progress | None
) -> Path:
    """Return the snapshot in the cache, with the files."""
    snapshot = repository.folder / "snapshots" / commit
    targets = {}
    for file in files:
        pointer = snapshot / file.name
        blob = repository.folder / "blobs" / file.content_hash
        targets[file] = pointer if file_size(pointer) == file.num_bytes else blob
    _download_all(repository, commit, targets, progress)
    # links come last, so that every file in a snapshot is complete
    for file, target in targets.items():
        if target == snapshot / file.name:
            continue
        with atomic_write(snapshot / file.name) as temporary:
            temporary.unlink()
            try:
                temporary.symlink_to(os.path.relpath(target, temporary.parent))
            except OSError:  # a system without symbolic links
                shutil.copyfile(target, temporary)
    ref = repository.folder / "refs" / repository.revision
    is_current = ref.is_file() and ref.read_bytes() == commit.encode()
    if repository.revision != commit and not is_current:
        with atomic_write(ref) as temporary:
            temporary.write_text(commit)
    return snapshot


def download_to_folder(
    repository: HubRepository,
    commit: str,
    files: list[HubFile],
    folder: Path,
    progress: Progress | None,
) -> Path:
    """Return the absolute path of `folder`, with the files.

    Files are collected in a hidden folder beside it, from which an interrupted transfer resumes.
    One process works on a folder at a time.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; choose another folder")
    staging = folder.with_name(f".{folder.name}.fetching")

    def select_missing(candidates: Sequence[HubFile]) -> list[HubFile]:
        return [file for file in candidates if not _is_complete(folder / file.name, file)]

    missing = select_missing(files)
    with ExitStack() as stack:
        if missing:
            stack.enter_context(created_folder(folder.parent))
            stack.enter_context(_lock(folder.with_name(f".{folder.name}.lock")))
            stack.enter_context(created_folder(staging))
        targets = {file: folder / file.name for file in files}
        # another process may have brought some of them while this one waited
        for file in select_missing(missing):
            targets[file] = staging / f"{file.name.replace('/', '--')}.{file.content_hash}"
        _download_all(repository, commit, targets, progress)
        for file, target in targets.items():
            (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
            target.replace(folder / file.name)
        with suppress(OSError):  # it may hold partial files of another download
            staging.rmdir()
    return folder


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, -1 if there is none."""
    return path.stat().st_size if path.exists() else -1


def _download_all(
    repository: HubRepository,
    commit: str,
    targets: Mapping[HubFile, Path],
    progress: Progress | None,
) -> None:
    """Download every file to its target; a partial file lies beside it until it is complete."""
    missing = {
        file: target for file, target in targets.items() if file_size(target) != file.num_bytes
    }
    partials = {file: target.with_name(f".{target.name}.part") for file, target in missing.items()}
    num_needed = sum(file.num_bytes - max(file_size(part), 0) for file, part in partials.items())
    for part in partials.values():
        part.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(part.parent).free
        if num_needed > free:
            raise DataError(
                f"{repository.name} takes {num_needed / 1e9:.2f} GB more and {part.parent} has "
                f"{free / 1e9:.2f}; {SPACE_REMEDY}"
            )
    total = sum(file.num_bytes for file in targets)
    completed = total - sum(file.num_bytes for file in missing)
    report = progress or (lambda completed, total: None)
    report(completed, total)
    for file, part in partials.items():

        def report_file(arrived: int, before: int = completed) -> None:
            report(before + arrived, total)

        with _lock(part.with_suffix(".lock")):
            # another process may have brought it while this one waited
            if file_size(missing[file]) != file.num_bytes:
                _download_one(repository, commit, file, part, report_file)
                part.replace(missing[file])
        completed += file.num_bytes
    report(total, total)


def _download_one(
    repository: HubRepository,
    commit: str,
    file: HubFile,
    part: Path,
    report: Callable[[int], None],
) -> None:
    """Complete a partial file from the cache or the hub, with retries, and check its content."""
    blob = repository.folder / "blobs" / file.content_hash
    if file_size(blob) == file.num_bytes:
        shutil.copyfile(blob, part)
    part.touch()
    num_failures = 0
    while (size := file_size(part)) < file.num_bytes:
        reason = "the hub sends fewer bytes than it announces"
        try:
            with translate_errors(repository):
                _resume(repository, commit, file.name, part, report)
        except Unreachable as error:
            reason = str(error)
        num_failures = 0 if file_size(part) > size else num_failures + 1
        if num_failures > len(PAUSES_S):
            raise WeightsError(
                f"{file.name} of {repository.name} breaks off at {file_size(part)} of "
                f"{file.num_bytes} bytes ({reason}); they are kept, run it again to go on"
            )
        if file_size(part) < file.num_bytes:
            time.sleep(PAUSES_S[max(num_failures - 1, 0)])
    try:
        verify(part, file.num_bytes, file.content_hash)
    except WeightsError:
        for path in (part, blob):
            path.unlink(missing_ok=True)
        raise WeightsError(
            f"{file.name} of {repository.name} arrived damaged and was removed; download it again"
        ) from None


def _resume(
    repository: HubRepository, commit: str, name: str, part: Path, report: Callable[[int], None]
) -> None:
    """Send one request for the missing end of a partial file."""
    from huggingface_hub import constants, get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers

    headers = {**build_hf_headers(library_name="latentaudio"), "Accept-Encoding": "identity"}
    if file_size(part):  # the address has a commit, so the content there never changes
        headers["Range"] = f"bytes={file_size(part)}-"
    url = hf_hub_url(repository.name, name, revision=commit, endpoint=repository.endpoint)
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        with part.open("ab" if response.status_code == 206 else "wb") as out:
            # chunks as they come: a larger one would be lost with the connection
            for chunk in response.iter_bytes():
                out.write(chunk)
                report(out.tell())


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process or thread in at a time.

    The lock file is removed while it is held; filelock then gives the next one a new file.
    """
    from huggingface_hub.utils import WeakFileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(path):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file
                path.unlink()


def _is_complete(path: Path, file: HubFile) -> bool:
    """Return whether a file is on disk and undamaged."""
    try:
        verify(path, file.num_bytes, file.content_hash)
    except WeightsError:
        return False
    return True
