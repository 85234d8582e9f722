"""A published model's files on this machine. Knows the hub, its cache and how both fail; refuses to know what a file holds.

huggingface_hub says who may read what, and where (HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, proxies), but its
own download (2.4) forgets a file that was interrupted and never looks at what arrived. So the bytes come through here: they go
on where they stopped, are checked and appear whole, in the cache as that library lays it out, or in a folder.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DataError, UsageError, WeightsError
from ..files import replacing

PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Waits before another try at a file of which nothing more arrives."""
_ELSEWHERE = "free some or choose another place (--to, HF_HOME)"
_WEIGHTS = re.compile(r"[^.]+(?:\.(.+?))??(?:-\d+-of-\d+)?\.(safetensors|bin)(?:\.index(?:\.([^.]+))?\.json)?")


class _Unreachable(Exception):
    """The hub gives no answer: why, in a few words."""


@dataclass(frozen=True)
class _File:
    """name in its repository; content: sha256 of a large file, git's sha1 of a small one, "" unknown; size: bytes."""

    name: str
    content: str = ""
    size: int | None = None

    def whole(self, path: Path) -> bool:
        """Whether the path holds it, as far as the hub told what it is."""
        with suppress(WeightsError):
            verify(path, self.size, self.content if len(self.content) == 64 else None)
            git = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
            return len(self.content) != 40 or _digest(path, git) == self.content
        return False


@dataclass(frozen=True)
class _Repository:
    """A repository at a revision, the hub it is on, and its folder in the cache."""

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
        """Where the hub's answer about a commit is kept: what a cache must hold to be whole."""
        return self.home / ".latentaudio" / f"{commit}.json"

    def remembered(self) -> list[_File]:
        """The files of the revision last fetched, held or not."""
        with suppress(OSError, ValueError, TypeError):
            return [_File(**row) for row in json.loads(self.listing(self.snapshot().name).read_text("utf-8"))]
        return []

    def found(self) -> list[_File]:
        """What other programs have put into the cache of it, all or not."""
        folder = self.snapshot()
        return [_File(path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*")) if path.is_file()]

    def holds(self, files: Sequence[_File], patterns: Sequence[str] | None) -> bool:
        """Whether the cache has all that is asked for."""
        chosen, lost = _choose(files, patterns)
        return bool(chosen) and not lost and all((self.snapshot() / file.name).exists() for file in chosen)

    def ask(self) -> tuple[str, list[_File]]:
        """The commit and its files, as the hub has them now. Raises _Unreachable."""
        from huggingface_hub import HfApi

        if self.offline:
            raise _Unreachable("HF_HUB_OFFLINE is set")
        with _plainly(self):
            info = HfApi(endpoint=self.endpoint).model_info(self.name, revision=self.revision, files_metadata=True, timeout=10)
        files = [
            _File(row.rfilename, row.lfs.sha256, row.lfs.size) if row.lfs else _File(row.rfilename, row.blob_id or "", row.size)
            for row in info.siblings or []
        ]
        for file in files:
            path = PurePosixPath(file.name)
            if path.is_absolute() or ".." in path.parts or "\\" in file.name or not re.fullmatch("[0-9a-f]{40,}", file.content):
                raise WeightsError(f"{self.endpoint} lists an unsafe file {file.name!r} in {self.name}; do not use that repository")
        return info.sha, files


def fetch(
    repo: str, patterns: Sequence[str] | None = None, *, to: Path | None = None, revision: str | None = None,
    progress: Callable[[int, int], None] | None = None, fresh: bool = False,
) -> Path:  # fmt: skip
    """The folder with those files of a repository: its snapshot in the cache, or `to`, where only whole files appear.

    patterns: of names, `*` crosses folders; None: those `needed`. progress: bytes done, bytes in all. What the cache holds is used
    without a request; fresh: ask the hub for news and check what is here. Raises UsageError for an unknown repository, revision
    or file, DataError for a disk that does not take them, WeightsError for the rest.
    """
    place = _repository(repo, revision)
    commit, files = place.snapshot().name, place.remembered()
    if fresh or not place.holds(files, patterns):
        try:
            commit, files = place.ask()
        except _Unreachable as problem:
            files = files if place.holds(files, patterns) else place.found()
            if not place.holds(files, patterns):
                away = "HF_HUB_OFFLINE is set; unset it" if place.offline else f"{place.endpoint} is out of reach ({problem}); try later"
                raise WeightsError(f"{repo} is not whole in {place.home.parent} and {away}, or name a folder with its files") from None
    chosen, lost = _choose(files, patterns)
    if lost or not chosen:
        names = ", ".join(file.name for file in files[:8]) or "nothing"
        raise UsageError(f"{repo} has no file {(lost or ['model_index.json'])[0]!r}; it has: {names}")
    with _plainly(place):
        if to is not None:
            return _into_folder(place, commit, chosen, Path(to).expanduser().absolute(), progress)
        return _into_cache(place, commit, chosen, files, progress, fresh)


def fetch_file(
    repo: str, name: str, *, to: Path | None = None, revision: str | None = None,
    progress: Callable[[int, int], None] | None = None, fresh: bool = False,
) -> Path:  # fmt: skip
    """One file of a repository, as `fetch` does it."""
    return fetch(repo, [glob.escape(name)], to=to, revision=revision, progress=progress, fresh=fresh) / name


def needed(names: Sequence[str]) -> list[str]:
    """Of a repository's files those a diffusers folder needs: texts, and of each folder one set of weights with its index.

    Plain names come before variants such as fp16, then .safetensors before .bin.
    """
    kinds: dict[str, tuple[bool, bool, str] | None] = {}
    best: dict[str, tuple[bool, bool, str]] = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        match = _WEIGHTS.fullmatch(last)
        variant = (match[1] or match[3] or "") if match else ""
        kind = kinds[name] = (bool(variant), match[2] == "bin", variant) if match else None
        if kind and not name.endswith(".json"):  # an index alone is no weights
            best[folder] = min(kind, best.get(folder, kind))
    ends = (".json", ".txt", ".model")
    return [n for n, kind in kinds.items() if (kind == best.get(n.rpartition("/")[0]) if kind else n.endswith(ends))]


def verify(path: Path, size: int | None, sha256: str | None) -> None:
    """Raises WeightsError unless the file is there, of that many bytes and of that content; None is not looked at."""
    have = path.stat().st_size if path.is_file() else None
    if have is None:
        raise WeightsError(f"{path} is missing; download it again")
    if size is not None and have != size:
        raise WeightsError(f"{path} is {'truncated' if have < size else 'too long'}: {have} of {size} bytes; download it again")
    if sha256 is not None and (digest := _digest(path, hashlib.sha256())) != sha256:
        raise WeightsError(f"{path} is damaged: its sha256 is {digest[:12]}, not {sha256[:12]}; download it again")


def _digest(path: Path, start: Any) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: start).hexdigest()


def _choose(files: Sequence[_File], patterns: Sequence[str] | None) -> tuple[list[_File], list[str]]:
    """The files asked for, and the patterns that none answers to."""
    if patterns is None:
        names = set(needed([file.name for file in files]))
        return [file for file in files if file.name in names], []
    chosen = [file for file in files if any(fnmatchcase(file.name, pattern) for pattern in patterns)]
    return chosen, [p for p in patterns if not any(fnmatchcase(file.name, p) for file in chosen)]


def _repository(repo: str, revision: str | None) -> _Repository:
    """What the environment says now, else what the library read from it when it was imported."""
    from huggingface_hub import constants, is_offline_mode

    said = os.environ.get
    cache = said("HF_HUB_CACHE") or (f"{said('HF_HOME')}/hub" if said("HF_HOME") else constants.HF_HUB_CACHE)
    endpoint = (said("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    home = Path(cache).expanduser() / f"models--{repo.replace('/', '--')}"
    offline = is_offline_mode() or said("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return _Repository(repo, revision or "main", endpoint, home, offline)


@contextmanager
def _plainly(place: _Repository) -> Iterator[None]:
    """Whatever the library or the system says, as one line of ours, or _Unreachable."""
    from huggingface_hub import errors as hub

    name, at, token = place.name, place.endpoint, "set HF_TOKEN to a token that may read it"
    try:
        yield
    except hub.GatedRepoError:
        raise WeightsError(f"{name} is gated; accept its terms at {at}/{name}, then {token}") from None
    except hub.RevisionNotFoundError:
        raise UsageError(f"{name} has no revision {place.revision!r}; look at {at}/{name}") from None
    except hub.RepositoryNotFoundError:
        raise UsageError(f"there is no repository {name} at {at}, or it is private; check the name or {token}") from None
    except hub.HfHubHTTPError as problem:
        status = problem.response.status_code
        if status in (401, 403):
            raise WeightsError(f"{at} does not let you read {name} (status {status}); {token}") from None
        if status == 404:
            raise UsageError(f"{at} has no {name} or has lost a file of it; check the name, or HF_ENDPOINT") from None
        raise _Unreachable(f"status {status}") from None
    except (hub.OfflineModeIsEnabled, hub.HTTPError) as problem:
        raise _Unreachable(" ".join(str(problem).split()) or type(problem).__name__) from None
    except hub.HFValidationError:
        raise UsageError(f"{name!r} is no hub id; they look like owner/repository") from None
    except OSError as problem:
        why = "the disk is full" if problem.errno in (errno.ENOSPC, errno.EDQUOT) else problem.strerror or str(problem)
        raise DataError(f"cannot write {name} ({why}); {_ELSEWHERE}; what has arrived is kept") from None
    except (ValueError, KeyError, TypeError):
        raise WeightsError(f"{at} does not answer as a hub does; check HF_ENDPOINT and the proxy") from None


def _into_cache(
    place: _Repository, commit: str, chosen: list[_File], files: list[_File], progress: Callable[[int, int], None] | None, fresh: bool
) -> Path:
    """The snapshot, links last: what it shows is whole. With `fresh`, what is damaged in it comes anew."""
    folder, spots = place.home / "snapshots" / commit, {}
    for file in chosen:
        pointer, blob = folder / file.name, place.home / "blobs" / file.content
        spots[file] = pointer if pointer.exists() else blob
        if fresh and spots[file].exists() and not file.whole(spots[file]):
            spots[file].resolve().unlink()
            spots[file] = blob
    _bring(place, commit, spots, progress)
    for file, spot in spots.items():
        if not (folder / file.name).exists():
            with replacing(folder / file.name) as temporary:
                temporary.unlink()
                try:
                    temporary.symlink_to(os.path.relpath(spot, (folder / file.name).parent))
                except OSError:  # a system without links
                    shutil.copyfile(spot, temporary)
    with suppress(DataError):  # a cache that others filled may be read only
        if all(file.content for file in files) and not (place.listing(commit).is_file() and place.snapshot() == folder):
            with replacing(place.listing(commit)) as temporary:
                temporary.write_text(json.dumps([asdict(file) for file in files]), "utf-8")
            if place.revision != commit:
                with replacing(place.home / "refs" / place.revision) as temporary:
                    temporary.write_text(commit)
    return folder


def _into_folder(
    place: _Repository, commit: str, chosen: list[_File], to: Path, progress: Callable[[int, int], None] | None
) -> Path:
    """`to`, with every file whole: they are gathered in a hidden folder beside it, which a broken transfer leaves to go on."""
    if to.exists() and not to.is_dir():
        raise DataError(f"{to} is a file; choose another folder")
    staging = to.with_name(f".{to.name}.fetching")
    spots = {file: (to if file.content and file.whole(to / file.name) else staging) / file.name for file in chosen}
    for file, path in spots.items():
        if path.exists() and not file.whole(path):
            path.unlink()
    _bring(place, commit, spots, progress)
    for path in [path for path in staging.rglob("*") if path.is_file() and path not in spots.values()]:
        path.unlink()
    if staging.exists() and not to.exists():
        staging.rename(to)
    for path in [path for path in staging.rglob("*") if path.is_file()]:
        target = to / path.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    shutil.rmtree(staging, ignore_errors=True)
    return to


def _bring(place: _Repository, commit: str, spots: Mapping[_File, Path], progress: Callable[[int, int], None] | None) -> None:
    """Every file at its path. A part of one stays beside it until it is whole; one process at a time works on it."""
    from huggingface_hub.utils import WeakFileLock

    missing = {file: path for file, path in spots.items() if not path.exists()}
    parts = {file: path.with_name(f".{path.name}.{file.content[:12]}.part") for file, path in missing.items()}
    total, left = sum(file.size or 0 for file in spots), sum(file.size or 0 for file in missing)
    _room(place, parts)
    tell = progress or (lambda done, total: None)
    tell(total - left, total)
    for file, path in missing.items():
        part, lock, done, held = parts[file], parts[file].with_suffix(".lock"), total - left, place.home / "snapshots" / commit / file.name
        with WeakFileLock(lock):
            if not path.exists():
                if held.exists():
                    shutil.copyfile(held, part)
                else:
                    _stream(place, commit, file, part, lambda arrived, done=done: tell(done + arrived, total))
                if not file.whole(part):
                    part.unlink()
                    raise WeightsError(f"{file.name} of {place.name} arrived damaged and was removed; download it again")
                part.replace(path)
        lock.unlink(missing_ok=True)
        left -= file.size or 0
    tell(total, total)


def _room(place: _Repository, parts: Mapping[_File, Path]) -> None:
    """Makes the folders. Raises DataError where what is still to come would fill the disk."""
    for part in parts.values():
        part.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(part.parent).free
        more = sum((file.size or 0) - (path.stat().st_size if path.exists() else 0) for file, path in parts.items())
        if more > free:
            raise DataError(f"{place.name} takes {more / 1e9:.2f} GB more, {part.parent} has {free / 1e9:.2f} free; {_ELSEWHERE}")


def _stream(place: _Repository, commit: str, file: _File, part: Path, tell: Callable[[int], None]) -> None:
    """The rest of a file. What breaks off goes on; raises WeightsError when nothing more arrives after all pauses."""
    tries = 0
    while True:
        have, why = part.stat().st_size if part.exists() else 0, "the hub sent less than it says"
        try:
            if place.offline:
                raise _Unreachable("HF_HUB_OFFLINE is set")
            with _plainly(place):
                _append(place, commit, file.name, part, tell)
        except _Unreachable as problem:
            why = str(problem)
        arrived = part.stat().st_size if part.exists() else 0
        if arrived >= (file.size or 1):
            return
        tries = 0 if arrived > have else tries + 1
        if tries > len(PAUSES_S) or place.offline:
            kept = f"{arrived} of {file.size} bytes are kept"
            raise WeightsError(f"{file.name} of {place.name} broke off ({why}); {kept}, run it again to go on")
        time.sleep(PAUSES_S[max(tries - 1, 0)])


def _append(place: _Repository, commit: str, name: str, part: Path, tell: Callable[[int], None]) -> None:
    """One request for what a part lacks, from the commit's own address, so that parts of two states never mix."""
    from huggingface_hub import constants, get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers

    have = part.stat().st_size if part.exists() else 0
    headers = {**build_hf_headers(library_name="latentaudio"), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    url = hf_hub_url(place.name, name, revision=commit, endpoint=place.endpoint)
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        if response.status_code == 416:  # the part is longer than the file
            part.unlink()
            raise _Unreachable("the hub has no such range")
        hf_raise_for_status(response)
        with part.open("ab" if response.status_code == 206 else "wb") as out:
            for chunk in response.iter_bytes(1 << 20):
                out.write(chunk)
                tell(out.tell())
