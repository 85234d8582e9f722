"""`latentaudio cache`: what is kept on the disk for faster starts; shows it or deletes it."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..config.registry import MODELS
from ..fileio import cache_folder, user_path
from . import console
from .flags import JSONRecordFlag


def cache(
    model: Annotated[
        str | None,
        Parameter(
            help="Model whose converted weights are meant: a name, a hub id, a folder or a file. "
            "Default: the user's folder of caches, with the encoded prompts."
        ),
    ] = None,
    *,
    delete: Annotated[
        bool,
        Parameter(help="Delete them. They are made again when needed.", show_default=False),
    ] = False,
    json: JSONRecordFlag = False,
) -> None:
    """Show what is kept for faster starts: converted weights and encoded prompts."""
    from ..generation.prompt_cache import FOLDER, prompt_files
    from ..loaders.prepared import folders, prepared_files

    if model is None:
        prepared = cache_folder() / "prepared"
        kinds = {
            "weights": (prepared, [path for path in prepared.rglob("*") if path.is_file()]),
            "prompts": (cache_folder() / FOLDER, prompt_files()),
        }
    else:
        path = _find(model)
        files = prepared_files(path)
        kinds = {"weights": (files[0].parent if files else folders(path)[0], files)}
    record: dict[str, Any] = {}
    for kind, (folder, files) in kinds.items():
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
    for folder in {file.parent for file in files}:
        with suppress(OSError):
            folder.rmdir()
