"""Containers of audio files, byte by byte: what libsndfile does not read, write or check.

Layouts: RIFF and RF64 (EBU Tech 3306), AIFF (Apple 1989), Wave64 (Sony), Ogg (RFC 3533).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

RIFF_WITHOUT_SIZE = b"RIFF\0\0\0\0"
"""How a file begins whose program was stopped before it wrote the size."""

_UNKNOWN_SIZE = 0x7FFF0000  # bytes; programs that write into pipes state this size or more
_OPEN_SIZE = 0xFFFFFFFF  # RF64: the size stands in the chunk ds64
_BEXT_DESCRIPTION_BYTES = 256
_W64_HEADER = 24  # bytes of a chunk's identifier and size in Wave64, which its size includes
_W64_MAGIC = b"riff"
_BIT_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

# Layout of an Ogg page header (RFC 3533, section 6), in bytes from its start.
_OGG_SERIAL = slice(14, 18)
_OGG_CHECKSUM = slice(22, 26)
_OGG_NUM_SEGMENTS = 26
_OGG_HEADER_SIZE = 27
_OGG_MAGIC = b"OggS"
_OGG_MAX_PAGE = 65307  # bytes of the longest page
_OGG_FLAGS = 5
_OGG_LAST_PAGE = 4  # a flag


def read_riff_comment(file: BinaryIO) -> str:
    """Return the ICMT text of a RIFF file, or "" if it has none.

    libsndfile writes any length but reads back only two kilobytes, hence this reader.
    """
    for name, size in _chunks(file):
        if name == b"LIST":
            body = file.read(size + size % 2)
            if body[:4] == b"INFO":
                return _riff_text(body[4:], b"ICMT")
    return ""


def read_bext_description(file: BinaryIO) -> str:
    """Return the description of a broadcast WAV (EBU Tech 3285), or "" if it has none.

    Libraries of sound effects describe their sounds there.

    Args:
        file: A file of any container, at its start.
    """
    for name, _ in _chunks(file):
        if name == b"bext":
            text = file.read(_BEXT_DESCRIPTION_BYTES).split(b"\0")[0]
            return text.decode("utf-8", "replace").strip()
    return ""


def data_sizes(file: BinaryIO) -> tuple[int, int]:
    """Return the bytes of audio in a file and the number that its header states.

    Both are equal if the header leaves the size open, and 0 for containers without a size.

    Args:
        file: A file of any container, at its start.
    """
    stated_by_ds64 = 0
    for name, size in _chunks(file):
        if name == b"ds64":
            stated_by_ds64 = struct.unpack("<8xQ", file.read(16))[0]
        if name in (b"data", b"SSND"):
            start = file.tell()
            available = file.seek(0, 2) - start
            if size == _OPEN_SIZE and stated_by_ds64:
                size = stated_by_ds64
            elif size >= _UNKNOWN_SIZE:
                size = available
            return min(available, size), size
    return 0, 0


def with_data_size(data: bytes) -> bytes | None:
    """Return a RIFF file whose header states 0 bytes of audio with the size that it has.

    Args:
        data: The whole file; it begins with `RIFF_WITHOUT_SIZE`.

    Returns:
        The repaired file; None if there is nothing to repair.
    """
    place = data.find(b"data\0\0\0\0", 12)
    if place < 0 or place + 8 >= len(data):
        return None
    audio = data[place + 8 :]
    riff_size = struct.pack("<I", len(data) - 8)
    data_size = struct.pack("<I", len(audio))
    return data[:4] + riff_size + data[8 : place + 4] + data_size + audio


def with_loop_points(data: bytes, sample_rate: int, num_samples: int) -> bytes:
    """Return a WAV file with a chunk `smpl`: it repeats from the first sample to the last.

    Samplers and game engines read this chunk.

    Args:
        data: The whole file.
        sample_rate: Samples per second.
        num_samples: Samples of each channel.
    """
    nanoseconds = round(1e9 / sample_rate)
    unity_note = 60  # the MIDI note that plays the file at its own speed
    body = struct.pack("<9I", 0, 0, nanoseconds, unity_note, 0, 0, 0, 1, 0)
    body += struct.pack("<6I", 0, 0, 0, num_samples - 1, 0, 0)  # one loop, forwards, for ever
    padding = b"\0" * (len(data) % 2)
    out = data + padding + b"smpl" + struct.pack("<I", len(body)) + body
    return out[:4] + struct.pack("<I", len(out) - 8) + out[8:]


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk; the file position is then the chunk's content."""
    magic = file.read(12)[:4]
    if magic == _W64_MAGIC:
        file.seek(40)
        yield from _wave64_chunks(file)
        return
    order = {b"RIFF": "<", b"RF64": "<", b"FORM": ">"}.get(magic)
    if order is None:
        return
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack(f"{order}4sI", header)
        start = file.tell()
        yield name, size
        file.seek(start + size + size % 2)


def _wave64_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The chunks of Wave64: names of 16 bytes, sizes of 8 that count both, padded to 8."""
    while len(header := file.read(_W64_HEADER)) == _W64_HEADER:
        name, size = struct.unpack("<4s12xQ", header)
        if size < _W64_HEADER:
            return
        start = file.tell()
        yield name, size - _W64_HEADER
        content = size - _W64_HEADER
        file.seek(start + content + -content % 8)


def _riff_text(body: bytes, chunk_name: bytes) -> str:
    """The text of one subchunk of an INFO list."""
    start = 0
    while start + 8 <= len(body):
        name, size = struct.unpack_from("<4sI", body, start)
        if name == chunk_name:
            return body[start + 8 : start + 8 + size].rstrip(b"\0").decode("utf-8", "replace")
        start += 8 + size + size % 2
    return ""


def deterministic_ogg(data: bytes) -> bytes:
    """Return an Ogg stream with serial number 0 on every page (RFC 3533, section 6).

    libsndfile draws a random serial number, which makes files of equal audio differ.
    """
    stream = bytearray(data)
    start = 0
    while start < len(stream):
        num_segments = stream[start + _OGG_NUM_SEGMENTS]
        body = start + _OGG_HEADER_SIZE + num_segments
        end = body + sum(stream[start + _OGG_HEADER_SIZE : body])
        page = stream[start:end]
        page[_OGG_SERIAL] = bytes(4)
        page[_OGG_CHECKSUM] = bytes(4)
        page[_OGG_CHECKSUM] = struct.pack("<I", _ogg_crc(bytes(page)))
        stream[start:end] = page
        start = end
    return bytes(stream)


def _ogg_crc(page: bytes) -> int:
    """Ogg's checksum: zlib's with every bit order reversed and no inversion at either end."""
    mirrored = zlib.crc32(page.translate(_BIT_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def is_ogg_complete(file: BinaryIO) -> bool:
    """Return whether an Ogg stream has its last page. Files of other kinds are complete.

    Args:
        file: A file of any kind, at its start.
    """
    if file.read(4) != _OGG_MAGIC:
        return True
    size = file.seek(0, 2)
    file.seek(max(0, size - _OGG_MAX_PAGE))
    end = file.read(_OGG_MAX_PAGE)
    start = end.rfind(_OGG_MAGIC)
    flags = end[start + _OGG_FLAGS] if 0 <= start < len(end) - _OGG_HEADER_SIZE else 0
    return bool(flags & _OGG_LAST_PAGE)
