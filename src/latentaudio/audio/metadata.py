"""Tags inside audio files: text in, text out, for every format that is written.

All tags are one JSON object in the comment field, the only field that every format keeps
whole. The JSON is ASCII, because ID3 as libsndfile writes it is Latin-1.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO

_UNKNOWN_SIZE = 0x7FFF0000  # bytes; programs that write into pipes state this size or more
_BIT_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

# Layout of an Ogg page header (RFC 3533, section 6), in bytes from its start.
_OGG_SERIAL = slice(14, 18)
_OGG_CHECKSUM = slice(22, 26)
_OGG_NUM_SEGMENTS = 26
_OGG_HEADER_SIZE = 27


def pack_tags(tags: Mapping[str, str]) -> str:
    """Return the comment that holds all tags."""
    return json.dumps(dict(tags), separators=(",", ":"))


def unpack_tags(comment: str) -> dict[str, str]:
    """Return the tags in a comment; a comment of another program becomes the tag "comment"."""
    try:
        values = json.loads(comment)
    except ValueError:
        return {"comment": comment} if comment else {}
    if not isinstance(values, dict):
        return {"comment": comment}
    return {str(name): str(value) for name, value in values.items()}


def read_riff_comment(file: BinaryIO) -> str:
    """Return the ICMT text of a RIFF file, or "" if it has none.

    libsndfile writes any length but reads back only two kilobytes, hence this reader.
    """
    for name, size in _riff_chunks(file):
        if name == b"LIST":
            body = file.read(size + size % 2)
            if body[:4] == b"INFO":
                return _riff_text(body[4:], b"ICMT")
    return ""


def riff_data_sizes(file: BinaryIO) -> tuple[int, int]:
    """Return the bytes of audio in a RIFF file and the number that its header states.

    Both are equal if the header leaves the size open.
    """
    for name, size in _riff_chunks(file):
        if name == b"data":
            start = file.tell()
            available = file.seek(0, 2) - start
            return min(available, size), size if size < _UNKNOWN_SIZE else available
    return 0, 0


def _riff_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk of a RIFF file; the file position is then the chunk's content."""
    if file.read(12)[:4] != b"RIFF":
        return
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        start = file.tell()
        yield name, size
        file.seek(start + size + size % 2)


def _riff_text(body: bytes, chunk_name: bytes) -> str:
    """The text of one subchunk of an INFO list."""
    while len(body) >= 8:
        name, size = struct.unpack("<4sI", body[:8])
        if name == chunk_name:
            return body[8 : 8 + size].rstrip(b"\0").decode("utf-8", "replace")
        body = body[8 + size + size % 2 :]
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
