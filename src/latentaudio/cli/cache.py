"""`latentaudio cache`: what is kept on the disk for faster starts; shows it or deletes it."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..config.registry import MODELS
from ..fileio import cache_folder, locked, user_path
from . import console
from .flags import JSONRecordFlag


def cache(
    model: Annotated[
        str | None,
        Parameter(
            help="Model whose weights and networks are meant: a name, a hub id, a folder or a "
            "file. Default: the user's folder of caches, with the encoded prompts."
        ),
    ] = None,
    *,
    delete: Annotated[
        bool,
        Parameter(help="Delete them. They are made again when needed.", show_default=False),
    ] = False,
    json: JSONRecordFlag = False,
) -> None:
    """Show what is kept for faster starts: weights, networks of backends, and prompts."""
    path = None if model is None else _find(model)
    record: dict[str, Any] = {}
    with ExitStack() as deletion:
        if delete:
            deletion.enter_context(_no_conversion(path))
        for kind, (folder, files) in _kinds(path).items():
            num_bytes = _size(files)
            if delete:
                _delete(files)
            if json:
                record[kind] = {"folder": folder, "files": len(files), "bytes": num_bytes}
            else:
                verb = "deleted " if delete else ""
                record[kind] = f"{verb}{len(files)} files, {num_bytes / 1e6:.1f} MB, {folder}"
    if json:
        record["is_deleted"] = delete
    console.print_record(record, as_json=json)


def _kinds(model: Path | None) -> dict[str, tuple[Path, list[Path]]]:
    """Return folder and files of each kind, without locks.

    Args:
        model: The model's folder or file; None: the user's folder of caches.
    """
    from ..generation.prompt_cache import FOLDER, prompt_files
    from ..loaders.converted import LOCK_FILE, is_network_file
    from ..loaders.prepared import folders

    weights_folder = networks_folder = cache_folder() / "prepared"
    if model is not None:
        [weights_folder, networks_folder] = folders(model)
    weights: list[Path] = []
    networks: list[Path] = []
    for file in _files(model):
        if file.name != LOCK_FILE:
            (networks if is_network_file(file) else weights).append(file)
    if model is not None and weights:
        weights_folder = weights[0].parent
    kinds = {"weights": (weights_folder, weights), "networks": (networks_folder, networks)}
    if model is None:
        kinds["prompts"] = (cache_folder() / FOLDER, prompt_files())
    return kinds


def _files(model: Path | None) -> list[Path]:
    """Return weights, networks and locks."""
    from ..loaders.prepared import prepared_files

    if model is not None:
        return prepared_files(model)
    return [path for path in (cache_folder() / "prepared").rglob("*") if path.is_file()]


@contextmanager
def _no_conversion(model: Path | None) -> Iterator[None]:
    """Wait until no process converts a network of what is to be deleted; delete the locks."""
    from ..loaders.converted import LOCK_FILE, WORK

    locks = sorted(file for file in _files(model) if file.name == LOCK_FILE)
    with ExitStack() as stack:
        for lock in locks:
            stack.enter_context(locked(lock, f"{WORK} {lock.parent}"))
        yield
    _delete(locks)


def _find(model: str) -> Path:
    """Return a model's folder or file. Nothing is downloaded.

    Raises:
        LatentAudioError: There is no such model on this machine.
    """
    from ..loaders.hub import fetch
    from ..loaders.resolve import ASSETS, bundled_bytes, hub_location

    path = user_path(model)
    if model in MODELS and bundled_bytes(MODELS[model]):
        return ASSETS / model
    with suppress(OSError):
        if model not in MODELS and path.exists():
            return path
    repository, file = hub_location(model)
    patterns = None if file is None else [glob.escape(file)]
    snapshot = fetch(repository, patterns, is_offline=True)
    return snapshot if file is None else snapshot / file


def _size(files: Sequence[Path]) -> int:
    """Return the bytes of files; another process may delete some of them meanwhile."""
    num_bytes = 0
    for file in files:
        with suppress(OSError):
            num_bytes += file.stat().st_size
    return num_bytes


def _delete(files: Sequence[Path]) -> None:
    """Delete files, and their folders if nothing else is in them."""
    for file in files:
        file.unlink(missing_ok=True)
    folders = {file.parent for file in files}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        with suppress(OSError):
            folder.rmdir()
