"""A published model's files on this machine. Knows the hub, its cache and how both fail; refuses to know what a file holds.

huggingface_hub says who may read what, and where (its HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, proxies); but
its own download forgets an interrupted file and never looks at the content. So the bytes come through here: they go on where
they stopped, are checked, and appear whole, in the cache as that library lays it out or in a folder. Nothing is imported early.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DataError, UsageError, WeightsError
from ..files import replacing

PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Waits before another try at a file of which nothing more arrives."""
_CHUNK = 1 << 20
_AGAIN = "download it again"


class _Unreachable(Exception):
    """The hub gave no answer: why, in a few words."""


@dataclass(frozen=True)
class _File:
    """name in its repository; content: the sha256 of a large file or git's sha1 of a small one, "" unknown; size in bytes."""

    name: str
    content: str = ""
    size: int | None = None

    def check(self, path: Path) -> None:
        """Raises WeightsError for a path that holds something else."""
        verify(path, self.size, self.content if len(self.content) == 64 else None)
        if len(self.content) == 40 and _digest(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size)) != self.content:
            raise WeightsError(f"{path} is damaged (its git hash is not {self.content[:12]}); {_AGAIN}")

    def whole(self, path: Path) -> bool:
        """Whether the path holds it."""
        try:
            self.check(path)
        except WeightsError:
            return False
        return True


@dataclass(frozen=True)
class _Repository:
    """A repository at a revision, and its folder in the cache."""

    name: str
    revision: str
    endpoint: str
    home: Path
    offline: bool

    def snapshot(self) -> Path:
        """Where the cache holds, or would, the revision last fetched."""
        ref = self.home / "refs" / self.revision
        return self.home / "snapshots" / (ref.read_text().strip() if ref.is_file() else self.revision)

    def listing(self, commit: str) -> Path:
        """Where the hub's answer about a commit is kept, to do without asking."""
        return self.home / ".latentaudio" / f"{commit}.json"

    def remembered(self) -> list[_File]:
        """The files of the revision last fetched."""
        try:
            return [_File(**row) for row in json.loads(self.listing(self.snapshot().name).read_text("utf-8"))]
        except (OSError, ValueError, TypeError):
            return []

    def found(self) -> list[_File]:
        """What others have put into the cache of it, perhaps not all."""
        folder = self.snapshot()
        return [_File(path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*")) if path.is_file()]

    def holds(self, files: Sequence[_File], patterns: Sequence[str] | None) -> bool:
        """Whether the cache has all of those that are asked for."""
        chosen, lost = _choose([file.name for file in files], patterns)
        return bool(chosen) and not lost and all((self.snapshot() / name).exists() for name in chosen)

    def ask(self) -> tuple[str, list[_File]]:
        """The commit and the files, as the hub has them now. Raises _Unreachable."""
        from huggingface_hub import HfApi

        with _plainly(self):
            info = HfApi(endpoint=self.endpoint).model_info(self.name, revision=self.revision, files_metadata=True, timeout=10)
        files = []
        for row in info.siblings or []:
            content, size = (row.lfs.sha256, row.lfs.size) if row.lfs else (row.blob_id or "", row.size)
            path = PurePosixPath(row.rfilename)
            if path.is_absolute() or ".." in path.parts or "\\" in row.rfilename or not re.fullmatch("[0-9a-f]*", content + info.sha):
                raise WeightsError(f"{self.endpoint} lists {row.rfilename!r} in {self.name}, which is no safe name; do not use it")
            files.append(_File(row.rfilename, content, size))
        return info.sha, files


def fetch(
    repo: str, patterns: Sequence[str] | None = None, *, to: Path | None = None, revision: str | None = None,
    progress: Callable[[int, int], None] | None = None, fresh: bool = False,
) -> Path:  # fmt: skip
    """The folder with those files of a repository: its snapshot in the cache, or `to`, where only whole files appear.

    patterns: of names, `*` crossing folders; None: what `needed` picks. progress: bytes done, bytes in all. What the cache holds
    whole is used without any request; fresh: ask the hub for news and check what is here by sha256. Raises UsageError for an
    unknown repository, revision or file, DataError for a disk that does not take them, WeightsError for the rest.
    """
    place = _repository(repo, revision)
    files, commit = place.remembered(), place.snapshot().name
    if fresh or not place.holds(files, patterns):
        try:
            commit, files = place.ask()
        except _Unreachable as problem:
            files = files or place.found()
            if not place.holds(files, patterns):
                raise WeightsError(_unreached(place, str(problem))) from None
    chosen, lost = _choose([file.name for file in files], patterns)
    if lost or not chosen:
        missing = f"no file {lost[0]!r}" if lost else "no model in it"
        raise UsageError(f"{repo} has {missing}; it has: {', '.join(file.name for file in files[:8]) or 'nothing'}")
    wanted = [file for file in files if file.name in set(chosen)]
    with _plainly(place):
        if to is None:
            return _into_cache(place, commit, wanted, files, progress, fresh)
        return _into_folder(place, commit, wanted, Path(to).expanduser().absolute(), progress)


def fetch_file(
    repo: str, name: str, *, to: Path | None = None, revision: str | None = None,
    progress: Callable[[int, int], None] | None = None, fresh: bool = False,
) -> Path:  # fmt: skip
    """One file of a repository, as `fetch` does it."""
    return fetch(repo, [glob.escape(name)], to=to, revision=revision, progress=progress, fresh=fresh) / name


def needed(names: Sequence[str]) -> list[str]:
    """Of a repository's files those that a diffusers folder needs: texts, and of each folder one set of weights.

    Whole precision before variants such as fp16, then .safetensors before .bin. An index goes with its shards.
    """
    kinds: dict[str, tuple[str, tuple[bool, bool, str]]] = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        stem, format_, variant = _weights(last)
        if format_:
            kinds[name] = (folder, (bool(variant), format_ != "safetensors", "" if variant == "fp16" else variant))
    # an index alone is no set of weights
    sets: dict[str, list[tuple[bool, bool, str]]] = {}
    for name, (folder, kind) in kinds.items():
        if not name.endswith(".json"):
            sets.setdefault(folder, []).append(kind)
    texts = {name for name in names if name.endswith((".json", ".txt", ".model")) and name not in kinds}
    return [name for name in names if name in texts or (name in kinds and kinds[name][1] == min(sets.get(kinds[name][0], [(True, True, "")])))]
