"""Sounds in files of their own, and sounds that lie in a part of a larger file, such as a tar."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile

from ..errors import DataError, first_line

AUDIO_ENDINGS = frozenset((
    ".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".w64", ".rf64",
    ".caf", ".au", ".snd", ".m4a", ".mp4", ".aac", ".wma", ".webm", ".ac3", ".alac", ".amr",
))  # fmt: skip
"""Endings of sounds. A file of a kind that libsndfile cannot read is reported, not passed over."""


class FilePart(io.RawIOBase):
    """A part of a file, read as if it were a file of its own."""

    def __init__(self, path: Path, offset: int, num_bytes: int) -> None:
        """Open the file.

        Args:
            path: The file.
            offset: First byte of the part.
            num_bytes: Length of the part. It ends earlier if the file does.

        Raises:
            OSError: The file cannot be opened.
        """
        super().__init__()
        self._file = path.open("rb")
        size = self._file.seek(0, io.SEEK_END)
        self._offset = offset
        self._num_bytes = max(0, min(num_bytes, size - offset))
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte of the part; return its number."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._num_bytes}
        self._position = max(0, start[whence] + offset)
        return self._position

    def tell(self) -> int:
        """Return the number of the next byte."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._num_bytes - self._position))
        self._file.seek(self._offset + self._position)
        num_read = self._file.readinto(view[:count])
        self._position += num_read
        return num_read

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


@contextmanager
def open_part(path: Path, offset: int, num_bytes: int | None) -> Iterator[Any]:
    """Yield a sound's bytes as a file that can be read and searched.

    Args:
        path: The file that the sound lies in.
        offset: First byte of the sound.
        num_bytes: Its length, or None for all of the file.
    """
    with path.open("rb") if num_bytes is None else FilePart(path, offset, num_bytes) as file:
        yield file


@contextmanager
def open_sound(path: Path, offset: int, num_bytes: int | None) -> Iterator[soundfile.SoundFile]:
    """Yield a sound that soundfile has opened.

    Args:
        path: The file that the sound lies in.
        offset: First byte of the sound.
        num_bytes: Its length, or None for all of the file.

    Raises:
        DataError: It cannot be read as audio. The message has the reason alone.
    """
    try:
        if num_bytes is None and not _has_utf8_name(path):
            num_bytes = path.stat().st_size  # soundfile encodes names as UTF-8
        if num_bytes is None:
            with soundfile.SoundFile(path) as sound:
                yield sound
        else:
            with FilePart(path, offset, num_bytes) as part, soundfile.SoundFile(part) as sound:
                yield sound
    except soundfile.LibsndfileError as error:
        raise DataError(error.error_string) from None
    except (OSError, RuntimeError, TypeError, ValueError, KeyError, MemoryError) as error:
        # soundfile raises the latter for encodings that it does not list
        raise DataError(getattr(error, "strerror", None) or first_line(error)) from None


def _has_utf8_name(path: Path) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in str(path))
