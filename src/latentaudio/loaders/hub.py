"""A published model's files on this machine. Knows the hub, its cache and how both fail; refuses to know what a file holds.

huggingface_hub says who may read what, and where (HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, proxies). Its
own download (2.4) forgets an interrupted file and checks no content, so bytes come through here: they go on where they stopped,
are checked, and appear whole, in the cache as that library lays it out or in a folder.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from ..errors import DataError, UsageError, WeightsError
from ..fileio import replacing

PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Waits before another try at a file of which nothing more arrives."""
_ELSEWHERE = "free some or choose another place (--to, HF_HOME)"
_WEIGHTS = re.compile(
    r"[^.]+(?:\.(.+?))??(?:-\d+-of-\d+)?\.(safetensors|bin)(?:\.index(?:\.([^.]+))?\.json)?"
)
_NAME, _HASH = (
    re.compile(r"(?!.*(^|/)\.\.?(/|$))[^/\\:][^\\:]*"),
    re.compile("[0-9a-f]{40}([0-9a-f]{24})?"),
)

Progress: TypeAlias = Callable[[int, int], None]
"""Is told bytes done and bytes in all."""


class _Unreachable(Exception):
    """The hub gives no answer: why, in a few words."""


@dataclass(frozen=True)
class _File:
    """name in its repository; content: sha256 of a large file, git's sha1 of a small one; size: bytes."""

    name: str
    content: str
    size: int


@dataclass(frozen=True)
class _Repository:
    """A repository at a revision, the hub it is on, its folder in the cache; offline: nothing may be asked."""

    name: str
    revision: str
    endpoint: str
    home: Path
    offline: bool

    def ask(self) -> tuple[str, list[_File]]:
        """The commit and its files. Raises _Unreachable."""
        from huggingface_hub import HfApi

        with _plainly(self):
            info = HfApi(endpoint=self.endpoint).model_info(
                self.name, revision=self.revision, files_metadata=True, timeout=10
            )
            files = []
            for row in info.siblings:
                content, size = (
                    (row.lfs.sha256, row.lfs.size) if row.lfs else (row.blob_id, row.size)
                )
                if (
                    not _NAME.fullmatch(row.rfilename)
                    or not _HASH.fullmatch(content)
                    or not _HASH.fullmatch(info.sha)
                ):
                    raise ValueError("no hub has such names, and they become paths here")
                files.append(_File(row.rfilename, content, int(size)))
        return info.sha, files

    def cached(self) -> tuple[Path, list[str]]:
        """The snapshot last fetched, and the files in it."""
        ref = self.home / "refs" / self.revision
        folder = (
            self.home / "snapshots" / (ref.read_text().strip() if ref.is_file() else self.revision)
        )
        return folder, [
            path.relative_to(folder).as_posix()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]


def fetch(
    repo: str, patterns: Sequence[str] | None = None, *, to: Path | None = None, revision: str | None = None,
    progress: Progress | None = None,
) -> Path:  # fmt: skip
    """The folder with those files of a repository: its snapshot in the cache, or `to`, where only whole files appear.

    patterns: of names, one is enough, `*` crosses folders; None: those `needed`. Names without a `*` that the cache has cost no
    request, others one for what the repository holds now; without an answer, or refused, what the cache has is taken.
    Raises UsageError for an unknown repository, revision or file, DataError for a disk that does not take them, WeightsError
    for the rest.
    """
    place = _repository(repo, revision)
    folder, here = place.cached()
    literal = patterns is not None and {glob.escape(name) for name in here}.issuperset(patterns)
    try:
        if literal or place.offline:
            raise _Unreachable("HF_HUB_OFFLINE is set")
        commit, files = place.ask()
    except (_Unreachable, UsageError, WeightsError) as problem:
        kept = _choose(here, patterns)
        if not kept and not isinstance(problem, _Unreachable):
            raise
        if not kept:
            away = (
                "HF_HUB_OFFLINE is set"
                if place.offline
                else f"{place.endpoint} is out of reach ({problem})"
            )
            way_out = "unset it" if place.offline else "try again later"
            where = f"{repo} is not in {place.home.parent} and {away}"
            raise WeightsError(f"{where}; {way_out} or name a folder with its files") from None
        return folder if to is None else _copied(folder, kept, to)
    names = _choose([file.name for file in files], patterns)
    if not names:
        listed = ", ".join(file.name for file in files[:8]) or "nothing"
        raise UsageError(
            f"{repo} has no {' or '.join(patterns or ['model_index.json'])}; it has: {listed}"
        )
    chosen = [file for file in files if file.name in set(names)]
    with _plainly(place):
        return (
            _into_cache(place, commit, chosen, progress)
            if to is None
            else _into_folder(place, commit, chosen, to, progress)
        )


def fetch_file(
    repo: str,
    name: str,
    *,
    to: Path | None = None,
    revision: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """One file of a repository, as `fetch` does it."""
    return fetch(repo, [glob.escape(name)], to=to, revision=revision, progress=progress) / name


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
    return [
        n
        for n, kind in kinds.items()
        if (kind == best.get(n.rpartition("/")[0]) if kind else n.endswith(ends))
    ]


def verify(path: Path, size: int | None, content: str | None) -> None:
    """Raises WeightsError unless the file is there, of that many bytes and of that content, as `_File` has it; None is not
    looked at."""
    if not path.is_file():
        raise WeightsError(f"{path} is missing; download it again")
    have = path.stat().st_size
    if size is not None and have != size:
        raise WeightsError(
            f"{path} is {'truncated' if have < size else 'too long'}: {have} of {size} bytes; download it again"
        )
    if content is not None:
        git = hashlib.sha1(b"blob %d\0" % have, usedforsecurity=False)
        with path.open("rb") as file:
            found = hashlib.file_digest(
                file, "sha256" if len(content) == 64 else lambda: git
            ).hexdigest()
        if found != content:
            raise WeightsError(
                f"{path} is damaged: its hash is {found[:12]}, not {content[:12]}; download it again"
            )


def check(folder: Path, names: Sequence[str] | None = None) -> None:
    """Raises WeightsError for a damaged file of a snapshot, and removes it: links of the cache name the content they expect.

    names: those looked at; None: all.
    """
    for link in sorted(folder.rglob("*") if names is None else (folder / name for name in names)):
        if link.is_symlink() and _HASH.fullmatch((blob := link.parent / link.readlink()).name):
            try:
                verify(link, None, blob.name)
            except WeightsError:
                link.unlink()
                blob.unlink(missing_ok=True)
                raise WeightsError(
                    f"{link} was damaged and is removed; download it again"
                ) from None


def _choose(names: Sequence[str], patterns: Sequence[str] | None) -> list[str]:
    """The names asked for."""
    if patterns is None:
        return needed(names)
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _repository(repo: str, revision: str | None) -> _Repository:
    """What the environment says now, else what the library read from it when it was imported."""
    from huggingface_hub import constants, is_offline_mode

    said = os.environ.get
    cache = said("HF_HUB_CACHE") or (
        f"{said('HF_HOME')}/hub" if said("HF_HOME") else constants.HF_HUB_CACHE
    )
    endpoint = (said("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        raise UsageError(f"HF_ENDPOINT = {endpoint!r} is no address; it begins with https://")
    home = Path(os.path.expandvars(cache)).expanduser() / f"models--{repo.replace('/', '--')}"
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
        raise WeightsError(
            f"{name} is gated; accept its terms at {at}/{name}, then {token}"
        ) from None
    except hub.RevisionNotFoundError:
        raise UsageError(
            f"{name} has no revision {place.revision!r}; look at {at}/{name}"
        ) from None
    except hub.RepositoryNotFoundError:
        raise UsageError(
            f"there is no repository {name} at {at}, or it is private; check the name or {token}"
        ) from None
    except hub.HfHubHTTPError as problem:
        status = problem.response.status_code
        if status in (401, 403):
            raise WeightsError(
                f"{at} does not let you read {name} (status {status}); {token}"
            ) from None
        if status == 404:
            raise UsageError(
                f"{at} has no {name}, or has lost a file of it; check the name or HF_ENDPOINT"
            ) from None
        raise _Unreachable(f"status {status}") from None
    except (hub.OfflineModeIsEnabled, hub.HTTPError) as problem:
        raise _Unreachable(" ".join(str(problem).split()) or type(problem).__name__) from None
    except hub.HFValidationError:
        raise UsageError(f"{name!r} is no hub id; they look like owner/repository") from None
    except OSError as problem:
        why = (
            "the disk is full"
            if problem.errno in (errno.ENOSPC, errno.EDQUOT)
            else problem.strerror or str(problem)
        )
        raise DataError(
            f"cannot write {name} ({why}); {_ELSEWHERE}; what has arrived is kept"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise WeightsError(
            f"{at} does not answer as a hub does; check HF_ENDPOINT and the proxy"
        ) from None


def _into_cache(
    place: _Repository, commit: str, chosen: list[_File], progress: Progress | None
) -> Path:
    """The snapshot; links come last, so that what it shows is whole."""
    folder = place.home / "snapshots" / commit
    spots = {}
    for file in chosen:
        pointer = folder / file.name
        spots[file] = (
            pointer if _size(pointer) == file.size else place.home / "blobs" / file.content
        )
    _bring(place, commit, spots, progress)
    for file, spot in spots.items():
        if spot != folder / file.name:
            with replacing(folder / file.name) as temporary:
                temporary.unlink()
                try:
                    temporary.symlink_to(os.path.relpath(spot, temporary.parent))
                except OSError:  # a system without links
                    shutil.copyfile(spot, temporary)
    ref = place.home / "refs" / place.revision
    if place.revision != commit and not (ref.is_file() and ref.read_text() == commit):
        with replacing(ref) as temporary:
            temporary.write_text(commit)
    return folder


def _into_folder(
    place: _Repository, commit: str, chosen: list[_File], to: Path, progress: Progress | None
) -> Path:
    """`to`. Files are gathered in a hidden folder beside it, from which a broken transfer goes on; one process at a time."""
    to = to.expanduser().absolute()
    if to.exists() and not to.is_dir():
        raise DataError(f"{to} is a file; choose another folder")
    staging = to.with_name(f".{to.name}.fetching")

    def lacking(files: Sequence[_File]) -> list[_File]:
        return [file for file in files if not _whole(to / file.name, file)]

    missing = lacking(chosen)
    with _alone(to.with_name(f".{to.name}.lock")) if missing else nullcontext():
        spots = {file: to / file.name for file in chosen}
        for file in lacking(missing):  # no other process was quicker
            spots[file] = staging / f"{file.name.replace('/', '--')}.{file.content}"
        _bring(place, commit, spots, progress)
        for file, spot in spots.items():
            (to / file.name).parent.mkdir(parents=True, exist_ok=True)
            spot.replace(to / file.name)
        with suppress(OSError):  # it may hold parts of other files
            staging.rmdir()
    return to


def _copied(folder: Path, names: Sequence[str], to: Path) -> Path:
    """`to`, with files of the cache."""
    check(folder, names)
    to = to.expanduser().absolute()
    for name in names:
        with replacing(to / name) as temporary:
            shutil.copyfile(folder / name, temporary)
    return to


def _bring(
    place: _Repository, commit: str, spots: Mapping[_File, Path], progress: Progress | None
) -> None:
    """Every file at its spot. A part lies beside it until it is whole; one process at a time works on it."""
    missing = {file: spot for file, spot in spots.items() if _size(spot) != file.size}
    parts = {file: spot.with_name(f".{spot.name}.part") for file, spot in missing.items()}
    more = sum(file.size - max(_size(part), 0) for file, part in parts.items())
    for part in parts.values():
        part.parent.mkdir(parents=True, exist_ok=True)
        if more > (free := shutil.disk_usage(part.parent).free):
            room = f"{more / 1e9:.2f} GB more and {part.parent} has {free / 1e9:.2f}"
            raise DataError(f"{place.name} takes {room}; {_ELSEWHERE}")
    total = sum(file.size for file in spots)
    done = total - sum(file.size for file in missing)
    tell = progress or (lambda done, total: None)
    tell(done, total)
    for file, part in parts.items():

        def told(arrived: int, done: int = done) -> None:
            tell(done + arrived, total)

        with _alone(part.with_suffix(".lock")):
            if _size(missing[file]) != file.size:  # no other process was quicker
                _arrive(place, commit, file, part, told)
                part.replace(missing[file])
        done += file.size
    tell(total, total)


def _arrive(
    place: _Repository, commit: str, file: _File, part: Path, tell: Callable[[int], None]
) -> None:
    """The rest of a part, from the cache or the hub, and proof that it is the file. What breaks off goes on after a pause."""
    blob, tries = place.home / "blobs" / file.content, 0
    if _size(blob) == file.size:
        shutil.copyfile(blob, part)
    part.touch()
    while (have := _size(part)) < file.size:
        why = "the hub sends less than it says"
        try:
            with _plainly(place):
                _append(place, commit, file.name, part, tell)
        except _Unreachable as problem:
            why = str(problem)
        tries = 0 if _size(part) > have else tries + 1
        if tries > len(PAUSES_S):
            at = f"{_size(part)} of {file.size} bytes"
            raise WeightsError(
                f"{file.name} of {place.name} breaks off at {at} ({why}); they are kept, run it again to go on"
            )
        if _size(part) < file.size:
            time.sleep(PAUSES_S[max(tries - 1, 0)])
    try:
        verify(part, file.size, file.content)
    except WeightsError:
        for path in (part, blob):
            path.unlink(missing_ok=True)
        raise WeightsError(
            f"{file.name} of {place.name} arrived damaged and was removed; download it again"
        ) from None


def _append(
    place: _Repository, commit: str, name: str, part: Path, tell: Callable[[int], None]
) -> None:
    """One request for what a part lacks."""
    from huggingface_hub import constants, get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers

    headers = {**build_hf_headers(library_name="latentaudio"), "Accept-Encoding": "identity"}
    if _size(part):  # the address is that of a commit, so what is there never changes
        headers["Range"] = f"bytes={_size(part)}-"
    url = hf_hub_url(place.name, name, revision=commit, endpoint=place.endpoint)
    with get_session().stream(
        "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
    ) as response:
        hf_raise_for_status(response)
        with part.open("ab" if response.status_code == 206 else "wb") as out:
            for (
                chunk
            ) in response.iter_bytes():  # as they come: larger ones would be lost with the line
                out.write(chunk)
                tell(out.tell())


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process or thread at a time. The lock is removed while held; filelock then gives whoever waits a new one."""
    from huggingface_hub.utils import WeakFileLock

    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes nothing that is open
                lock.unlink()


def _whole(path: Path, file: _File) -> bool:
    """Whether that file is there, undamaged."""
    try:
        verify(path, file.size, file.content)
    except WeightsError:
        return False
    return True


def _size(path: Path) -> int:
    """Bytes there now, -1 for no file."""
    return path.stat().st_size if path.exists() else -1
