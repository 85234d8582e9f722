"""The base folder of `latentaudio mcp`: every file that an agent names lies inside it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..audio.io import Audio, info, safe_name
from ..config.audio_formats import FORMATS
from ..errors import DataError, UsageError
from ..fileio import lock_names

MAX_LISTED = 1000
"""Files that one call of `list` returns."""
MAX_INLINE_BYTES = 2**26
"""Bytes of audio or of an image that a call may hold itself, as a data URL."""
_TAGS_LISTED = ("prompt", "seed", "model", "made")


class SoundFolder:
    """Finds files of an agent, and writes new ones, in one folder and never outside it.

    Attributes:
        root: The folder, without symbolic links; None: the server has no folder.
    """

    def __init__(self, folder: Path | None) -> None:
        self.root = None if folder is None else folder.resolve()

    def require(self) -> Path:
        """Return the folder.

        Raises:
            UsageError: The server has none.
        """
        if self.root is None:
            raise UsageError(
                "this server has no folder for files; ask for output 'audio', or start it with "
                "--folder"
            )
        return self.root

    def find(self, name: str) -> Path:
        """Return the path of an existing file in the folder.

        Args:
            name: Its path, relative to the folder.

        Raises:
            UsageError: The name leads out of the folder, also by a symbolic link.
            DataError: There is no such file.
        """
        root = self.require()
        try:
            path = (root / name).resolve()
        except (OSError, ValueError, RuntimeError):  # a loop of links, or a zero byte
            raise UsageError(f"{name!r} is no name of a file; see the tool list") from None
        if Path(name).is_absolute() or not path.is_relative_to(root):
            raise UsageError(f"{name!r} is outside the folder of this server; see the tool list")
        if not path.is_file():
            raise DataError(f"there is no file {name!r}; the tool list names all")
        return path

    @contextmanager
    def open_input(self, name: str) -> Iterator[Path]:
        """Yield the path of a file of the folder, or of a data URL, which becomes one for a while.

        Args:
            name: A name in the folder, or `data:TYPE;base64,CONTENT`.

        Raises:
            UsageError: It is neither, or too large.
            DataError: There is no such file.
        """
        if not name.startswith("data:"):
            yield self.find(name)
            return
        with TemporaryDirectory(prefix="latentaudio-") as temporary:
            path = Path(temporary) / "input"
            path.write_bytes(_decode_data_url(name))
            yield path

    def save(self, clips: Sequence[Audio], name: str, extension: str) -> list[str]:
        """Write clips under new names; no file is ever replaced.

        Args:
            clips: The clips.
            name: What they are called; letters that some system does not accept are replaced.
            extension: One of `FORMATS`.

        Returns:
            Their names, relative to the folder.
        """
        root = self.require()
        stem = safe_name(name)
        names = []
        with lock_names(root):
            for clip in clips:
                path = _new_path(root, stem, extension)
                clip.save(path, overwrite=False)
                names.append(path.name)
        return names

    def list_sounds(self) -> list[dict[str, Any]]:
        """Return name, duration, rate and origin of the audio files of the folder, by name."""
        root = self.require()
        paths = (path for path in sorted(root.rglob("*")) if path.suffix.lower() in FORMATS)
        sounds = []
        for path in islice(paths, MAX_LISTED):
            if path.is_file() and path.resolve().is_relative_to(root):
                sounds.append(_summary(path, str(path.relative_to(root))))
        return sounds


def _summary(path: Path, name: str) -> dict[str, Any]:
    """The row of a file in a list; a damaged file has an error in words."""
    try:
        facts = info(path)
    except DataError as error:
        return {"file": name, "error": str(error).replace(str(path), name)}
    row = {key: facts[key] for key in ("duration", "sample_rate", "channels")}
    tags = {key: facts["tags"][key] for key in _TAGS_LISTED if key in facts["tags"]}
    return {"file": name, **row, **tags}


def _new_path(folder: Path, stem: str, extension: str) -> Path:
    """A path in a folder that does not exist yet."""
    path = folder / f"{stem}{extension}"
    number = 2
    while path.exists():
        path = folder / f"{stem}_{number}{extension}"
        number += 1
    return path


def _decode_data_url(text: str) -> bytes:
    """The content of a data URL in base64."""
    header, comma, content = text.partition(",")
    if len(content) > MAX_INLINE_BYTES * 4 // 3:
        raise UsageError(
            f"the data URL holds more than {MAX_INLINE_BYTES // 2**20} MB; put a file into the "
            "folder of this server and give its name"
        )
    try:
        if not comma or not header.endswith(";base64"):
            raise ValueError
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(
            "the data URL is damaged; write it as data:audio/wav;base64,CONTENT"
        ) from None
