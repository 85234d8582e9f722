"""Download a published model: which files of a repository are needed, and where they are.

`hub_repository` lists files, `hub_download` transfers them.
"""

from __future__ import annotations

import glob
import re
import shutil
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from ..errors import UsageError, WeightsError
from ..fileio import atomic_write
from .hub_download import Progress, download_to_cache, download_to_folder, verify
from .hub_repository import HASH, HubRepository, Unreachable, get_repository, translate_errors

_WEIGHTS_NAME = re.compile(
    r"[^.]+(?:\.(.+?))??(?:-\d+-of-\d+)?\.(safetensors|bin)(?:\.index(?:\.([^.]+))?\.json)?"
)
"""A file of weights or its index: groups are the variant, the format and the index's variant."""
_Rank: TypeAlias = tuple[bool, bool, bool, str]
"""Order of preference of a file: (not the variant, any variant, a pickle, its variant)."""
_TEXT_ENDINGS = (".json", ".txt", ".model")
_MAX_LISTED = 8
"""Files that an error lists by name."""


def fetch(
    repo: str,
    patterns: Sequence[str] | None = None,
    *,
    to: Path | None = None,
    revision: str | None = None,
    cache: str | Path | None = None,
    is_offline: bool = False,
    variant: str = "",
    progress: Progress | None = None,
) -> Path:
    """Return a folder with files of a repository, downloaded where they are missing.

    Without an answer of the hub, files of the cache are returned. Names without a `*` cost no
    request if the cache has them.

    Args:
        repo: Hub id, owner/repository.
        patterns: File names to fetch; `*` matches folders, too. None: those of `default_files`.
        to: Folder to put them into; None: the snapshot in the cache.
        revision: Branch, tag or commit; None: main.
        cache: Folder of the cache; None: that of huggingface_hub.
        is_offline: Whether only files of the cache are returned.
        variant: Variant of the weights, such as fp16, where `patterns` is None.
        progress: Called with the bytes that have arrived and all bytes.

    Raises:
        UsageError: There is no such repository, revision or file.
        DataError: The disk does not take the files.
        WeightsError: The hub denies access or cannot be reached, or a file is damaged.
    """
    repository = get_repository(repo, revision, cache, is_offline)
    snapshot, cached = repository.cached_files()
    escaped = {glob.escape(name) for name in cached}
    is_cached = patterns is not None and escaped.issuperset(patterns)
    try:
        if is_cached or repository.is_offline:
            raise Unreachable("HF_HUB_OFFLINE is set")
        commit, files = repository.list_files()
    except (Unreachable, UsageError, WeightsError) as error:
        available = _select(cached, patterns, variant)
        if available:
            return snapshot if to is None else _copy_from_cache(snapshot, available, to)
        if isinstance(error, Unreachable):
            raise _not_cached(repository, error, is_offline) from None
        raise
    names = set(_select([file.name for file in files], patterns, variant))
    if not names:
        listed = ", ".join(file.name for file in files[:_MAX_LISTED]) or "nothing"
        raise UsageError(
            f"{repo} has no {' or '.join(patterns or ['model_index.json'])}; it has: {listed}"
        )
    selected = [file for file in files if file.name in names]
    with translate_errors(repository):
        if to is None:
            return download_to_cache(repository, commit, selected, progress)
        return download_to_folder(repository, commit, selected, to, progress)


def fetch_file(
    repo: str,
    name: str,
    *,
    to: Path | None = None,
    revision: str | None = None,
    is_offline: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Return one file of a repository, downloaded if it is missing (see `fetch`).

    Args:
        repo: Hub id, owner/repository.
        name: The file's path in the repository.
        to: Folder to put it into; None: the snapshot in the cache.
        revision: Branch, tag or commit; None: main.
        is_offline: Whether only a file of the cache is returned.
        progress: Called with the bytes that have arrived and all bytes.
    """
    folder = fetch(
        repo,
        [glob.escape(name)],
        to=to,
        revision=revision,
        is_offline=is_offline,
        progress=progress,
    )
    return folder / name


def default_files(names: Sequence[str], variant: str = "") -> list[str]:
    """Return the files that a diffusers folder needs: texts, and one set of weights per folder.

    Weights of `variant` are preferred to plain ones, those to other variants, then .safetensors to
    .bin.

    Args:
        names: All files of the repository.
        variant: The variant to prefer, such as fp16.
    """
    ranks: dict[str, _Rank | None] = {}
    best: dict[str, _Rank] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        match = _WEIGHTS_NAME.fullmatch(file)
        if match is None:
            ranks[name] = None
            continue
        own_variant = match[1] or match[3] or ""
        rank = (own_variant != variant, bool(own_variant), match[2] == "bin", own_variant)
        ranks[name] = rank
        if not name.endswith(".json"):  # an index alone has no weights
            best[folder] = min(rank, best.get(folder, rank))
    needed = []
    for name, own_rank in ranks.items():
        if own_rank is None:
            is_needed = name.endswith(_TEXT_ENDINGS)
        else:
            is_needed = own_rank == best.get(name.rpartition("/")[0])
        if is_needed:
            needed.append(name)
    return needed


def check_snapshot(folder: Path, names: Sequence[str] | None = None) -> None:
    """Check the contents of a snapshot in the cache, whose links name the hash of their content.

    Args:
        folder: The snapshot.
        names: Files to check; None: all.

    Raises:
        WeightsError: A file is damaged; it has been removed.
    """
    links = folder.rglob("*") if names is None else (folder / name for name in names)
    for link in sorted(links):
        if not link.is_symlink():
            continue
        blob = link.parent / link.readlink()
        if not HASH.fullmatch(blob.name):
            continue
        try:
            verify(link, None, blob.name)
        except WeightsError:
            link.unlink()
            blob.unlink(missing_ok=True)
            raise WeightsError(f"{link} was damaged and is removed; download it again") from None


def _not_cached(repository: HubRepository, error: Unreachable, is_local_only: bool) -> WeightsError:
    """Return the error for files that neither the cache nor the hub gives."""
    if is_local_only:
        reason = "local_files_only is set"
        remedy = "leave it out"
    elif repository.is_offline:
        reason = "HF_HUB_OFFLINE is set"
        remedy = "unset it"
    else:
        reason = f"{repository.endpoint} cannot be reached ({error})"
        remedy = "check the internet connection"
    return WeightsError(
        f"{repository.name} must be downloaded (it is not in {repository.folder.parent}), but "
        f"{reason}; {remedy}, or name a folder with its files"
    )


def _select(names: Sequence[str], patterns: Sequence[str] | None, variant: str) -> list[str]:
    """Return the names that match a pattern, or the default files of a variant.

    Raises:
        UsageError: No file has the variant.
    """
    if patterns is None:
        files = [_WEIGHTS_NAME.fullmatch(name.rpartition("/")[2]) for name in names]
        variants = {match[1] or match[3] or "" for match in files if match is not None}
        if variant and variants and variant not in variants:
            raise UsageError(
                f"You are trying to load the model files of the `variant={variant}`, but there are "
                f"no such files; variants: {', '.join(sorted(variants - {''})) or 'none'}"
            )
        return default_files(names, variant)
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _copy_from_cache(snapshot: Path, names: Sequence[str], to: Path) -> Path:
    """Return the absolute path of `to`, with copies of checked files of the cache."""
    check_snapshot(snapshot, names)
    to = to.expanduser().absolute()
    for name in names:
        with atomic_write(to / name) as temporary:
            shutil.copyfile(snapshot / name, temporary)
    return to
