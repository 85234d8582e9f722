"""WebDataset: tars in which the files of one sound share a name, such as 0001.flac and 0001.json.

The tars are not compressed, so a sound can be read at its place in the tar, in any order. An index
of each tar is computed once and lies in the cache. Tars of the web are copied into the cache first.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

from ...config.parsing import parse_json, read_bounded
from ...errors import DataError, first_line
from ...fileio import atomic_write, cache_folder, file_key, text_key
from ..stored_sound import AUDIO_ENDINGS
from .base import Place, Record, SourceFormat, captions_of, normalize_split, repeats_of
from .base import split_of_name as split_of

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{},]*(?:,[^{},]*)+)\}")
_URL = re.compile(r"(https?):/+(.+)")
_MAX_SHARDS = 100_000
_MAX_TEXT_BYTES = 2**22
_TEXT_ENDINGS = (".txt", ".json")
_TIMEOUT_S = 60
_CUT = "the tar ends early; its last sounds are missing: copy it again"


def expand_braces(pattern: str) -> list[str]:
    """Return the names that a pattern stands for, as in shards-{0000..0012}.tar.

    Args:
        pattern: A name with {first..last} or {one,other}.

    Raises:
        DataError: There are too many.
    """
    numbers = _RANGE.search(pattern)
    words = _CHOICE.search(pattern)
    choices: list[str] = []
    if numbers is not None and (words is None or numbers.start() < words.start()):
        first = int(numbers[1])
        last = int(numbers[2])
        if abs(last - first) >= _MAX_SHARDS:
            raise DataError(f"{pattern} stands for too many files; {_MAX_SHARDS} are the limit")
        for number in range(first, last + 1):
            choices.append(str(number).zfill(len(numbers[1])))
        match = numbers
    elif words is not None:
        choices = words[1].split(",")
        match = words
    else:
        return [pattern]
    names: list[str] = []
    for choice in choices:
        names += expand_braces(pattern[: match.start()] + choice + pattern[match.end() :])
    return names


def _shards(place: Place) -> list[str]:
    if place.is_folder:
        return [str(place.path / name) for name in place.files if name.endswith(".tar")]
    text = place.text if _URL.match(place.text) else str(place.path)
    return expand_braces(text) if text.endswith(".tar") else []


def _read(place: Place) -> Iterator[Record]:
    for name in _shards(place):
        shard = _local_copy(name)
        if not shard.is_file():
            yield Record(position=name, problem="the tar does not exist; copy it again")
            continue
        yield from _read_shard(shard, name, split_of(PurePosixPath(name).name))


def _local_copy(name: str) -> Path:
    """Return a tar on this machine; one of the web is copied into the cache first.

    Raises:
        DataError: It cannot be copied.
    """
    match = _URL.fullmatch(name)
    if match is None:
        return Path(name)
    address = f"{match[1]}://{match[2]}"  # a path has one slash only
    copy = cache_folder() / "shards" / f"{text_key(address)}_{PurePosixPath(address).name}"
    if copy.is_file():
        return copy
    request = urllib.request.Request(address, headers={"User-Agent": "latentaudio"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            length = response.headers.get("Content-Length")
            with atomic_write(copy) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(response, file)
                if length is not None and file.tell() != int(length):
                    raise DataError(f"{address} ended after {file.tell()} of {length} bytes")
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(
            f"cannot copy {address} ({first_line(error)}); check the address and the connection"
        ) from None
    return copy


def _read_shard(shard: Path, label: str, split: str) -> Iterator[Record]:
    """Yield the records of one tar."""
    with shard.open("rb") as file:
        for sample in _index(shard):
            position = f"{label}:{sample['key']}"
            if "problem" in sample:
                yield Record(position=label, problem=sample["problem"])
                continue
            try:
                fields = _fields(file, sample["texts"])
                captions = captions_of(fields)
                repeats = repeats_of(fields)
            except (OSError, ValueError, TypeError, OverflowError) as error:
                problem = f"not captions ({first_line(error)}); correct the tar"
                yield Record(position=position, problem=problem)
                continue
            for name, offset, num_bytes in sample["sounds"]:
                yield Record(
                    position,
                    shard,
                    captions,
                    normalize_split(fields.get("split")) or split,
                    repeats,
                    fields,
                    offset=offset,
                    num_bytes=num_bytes,
                    name=f"{label}:{name}",
                )


def _fields(file: Any, texts: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """Return the keys of a sample's .json; a .txt has the captions, as beside a sound."""
    fields: dict[str, Any] = {}
    for ending in reversed(_TEXT_ENDINGS):
        if ending not in texts:
            continue
        offset, num_bytes = texts[ending]
        if num_bytes > _MAX_TEXT_BYTES:
            raise ValueError(f"{num_bytes} bytes of text")
        file.seek(offset)
        text = file.read(num_bytes).decode("utf-8")
        if ending == ".txt":
            fields["captions"] = [line.strip() for line in text.split("\n") if line.strip()]
        else:
            content = parse_json(text)
            if not isinstance(content, dict):
                raise TypeError("the .json holds no object")
            fields = {str(key).lower(): value for key, value in content.items()}
    return fields


def _index(shard: Path) -> list[dict[str, Any]]:
    """Return the samples of a tar in order, from the cache or from the tar."""
    cached = cache_folder() / "tar_index" / f"{file_key(shard)}.json"
    try:
        index = parse_json(read_bounded(cached))
        if isinstance(index, list):
            return index
    except (OSError, ValueError):
        pass
    index = index_tar(shard)
    # without a place to keep it, the tar is indexed again next time
    with suppress(DataError), atomic_write(cached) as temporary:
        temporary.write_text(json.dumps(index), encoding="utf-8")
    return index


def index_tar(shard: Path) -> list[dict[str, Any]]:
    """Return the samples of a tar: name, and places of its sounds and of its texts.

    Args:
        shard: The tar.
    """
    samples: dict[str, dict[str, Any]] = {}
    problem = ""
    size = shard.stat().st_size
    try:
        with tarfile.open(shard, "r:") as tar:  # "r:": not compressed
            while (member := tar.next()) is not None:
                if member.isreg() and not member.issparse():
                    _add(samples, member)
                if member.offset_data + member.size > size:
                    problem = _CUT
                tar.members = []  # type: ignore[attr-defined]  # tarfile keeps all of them
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        reason = first_line(error)
        is_cut = bool(samples)
        problem = _CUT if is_cut else f"not a tar without compression ({reason}); make it again"
    if problem and samples:
        samples.popitem()  # the tar ends inside of it
    complete = [sample for sample in samples.values() if sample["sounds"]]
    if problem:
        complete.append({"key": "", "problem": problem})
    return complete


def _add(samples: dict[str, dict[str, Any]], member: tarfile.TarInfo) -> None:
    """Add a file of a tar to the sample of its name: all of it up to the first point."""
    path = PurePosixPath(member.name)
    stem, point, ending = path.name.partition(".")
    if not stem or not point:
        return  # a hidden file, or one without an ending
    key = str(path.parent / stem)
    sample = samples.setdefault(key, {"key": key, "sounds": [], "texts": {}})
    ending = f".{ending.lower()}"
    if ending in AUDIO_ENDINGS:
        sample["sounds"].append((member.name, member.offset_data, member.size))
    elif ending in _TEXT_ENDINGS:
        sample["texts"][ending] = (member.offset_data, member.size)


FORMAT = SourceFormat(
    name="webdataset",
    description="WebDataset tars, as a folder or as shards-{0000..0012}.tar",
    recognizes=lambda place: bool(_shards(place)),
    read=_read,
)
