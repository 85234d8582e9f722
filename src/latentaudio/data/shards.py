"""Writing a data set as WebDataset tars, which equal data makes equal to the byte."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import Any

from ..errors import DataError, UsageError
from ..fileio import atomic_directory
from .clip import Clip
from .sources.base import CAPTION_KEYS, FILE_KEYS
from .stored_sound import AUDIO_ENDINGS, open_part

_TAR_BLOCK = 512  # bytes: files in a tar are rounded up to it
_LEFT_OUT = {*FILE_KEYS, *CAPTION_KEYS, "repeats", "rate", "seconds"}


def write_shards(
    clips: Iterable[Clip],
    folder: Path,
    max_bytes: int,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Write clips into tars, all of them or none.

    Each clip is its sound as it is stored and a .json with captions and all other facts.

    Args:
        clips: Clips of a manifest. Repeats stand one after the other.
        folder: Folder to write. It must be new or empty.
        max_bytes: Largest tar. A single larger sound gets one of its own.
        progress: Called with the number of clips done.

    Returns:
        Names of the tars.

    Raises:
        UsageError: The folder is not empty.
        DataError: A clip cannot be read, or the folder cannot be written.
    """
    names: list[str] = []
    try:
        with atomic_directory(folder) as temporary, ExitStack() as stack:
            tar: tarfile.TarFile | None = None
            for number, (clip, repeats) in enumerate(_counted(clips)):
                description = _description(clip, repeats)
                size = _sound_bytes(clip) + len(description) + 4 * _TAR_BLOCK
                if tar is None or tar.offset + size > max_bytes:
                    if tar is not None:
                        tar.close()
                    names.append(f"shard-{len(names):05d}.tar")
                    tar = stack.enter_context(tarfile.open(temporary / names[-1], "w"))
                _add_clip(tar, f"{number:08d}", clip, description)
                if progress is not None:
                    progress(number + 1)
    except FileExistsError:
        raise UsageError(f"{folder} is not an empty folder; choose another --output") from None
    except OSError as error:
        raise DataError(
            f"cannot write {folder} ({error.strerror or error}); "
            "choose another place or free some space"
        ) from None
    return names


def _counted(clips: Iterable[Clip]) -> Iterator[tuple[Clip, int]]:
    """Yield each clip once, with the number of its repeats."""
    previous: Clip | None = None
    repeats = 0
    for clip in clips:
        if clip is previous:
            repeats += 1
            continue
        if previous is not None:
            yield previous, repeats
        previous = clip
        repeats = 1
    if previous is not None:
        yield previous, repeats


def _description(clip: Clip, repeats: int) -> bytes:
    """All that is known about a clip, as JSON."""
    fields: dict[str, Any] = {}
    for key, value in clip.record.items():
        if str(key).lower() not in _LEFT_OUT:
            fields[str(key)] = value
    fields |= {
        "captions": list(clip.captions),
        "rate": clip.sample_rate,
        "seconds": clip.num_samples / clip.sample_rate,
    }
    if repeats > 1:
        fields["repeats"] = repeats
    return json.dumps(fields, ensure_ascii=False, default=str).encode(errors="replace")


def _sound_bytes(clip: Clip) -> int:
    return clip.path.stat().st_size if clip.num_bytes is None else clip.num_bytes


def _add_clip(tar: tarfile.TarFile, key: str, clip: Clip, description: bytes) -> None:
    """Append the two files of a clip."""
    ending = PurePath(clip.name or clip.path).suffix.lower()
    sound = tarfile.TarInfo(key + (ending if ending in AUDIO_ENDINGS else ".wav"))
    sound.size = _sound_bytes(clip)
    with open_part(clip.path, clip.offset, clip.num_bytes) as file:
        tar.addfile(sound, file)
    text = tarfile.TarInfo(f"{key}.json")
    text.size = len(description)
    tar.addfile(text, io.BytesIO(description))
