"""Tags inside sound files: text in, text out, for every format we write. Knows containers; refuses to know what tags mean.

All tags travel as one JSON object in the comment field, the only one that every format keeps whole. JSON is written in ASCII
escapes, because ID3 as libsndfile writes it knows only Latin-1.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO

_UNKNOWN = 0x7FFF0000  # bytes; programs that write into pipes say so many or more
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def pack(tags: Mapping[str, str]) -> str:
    """The comment that holds all tags."""
    return json.dumps(dict(tags), separators=(",", ":"))


def unpack(comment: str) -> dict[str, str]:
    """The tags a comment holds; one that is not ours is kept under its own name."""
    try:
        found = json.loads(comment)
    except ValueError:
        return {"comment": comment} if comment else {}
    return (
        {str(k): str(v) for k, v in found.items()}
        if isinstance(found, dict)
        else {"comment": comment}
    )


def riff_comment(file: BinaryIO) -> str:
    """The ICMT text of a RIFF file, "" if it has none. libsndfile writes any length but reads back only two kilobytes."""
    for name, size in _chunks(file):
        if name == b"LIST" and (body := file.read(size + size % 2))[:4] == b"INFO":
            return _riff_text(body[4:], b"ICMT")
    return ""


def riff_data(file: BinaryIO) -> tuple[int, int]:
    """Bytes of sound that are there in a RIFF file and those its header promises; the same where it says it does not know."""
    for name, size in _chunks(file):
        if name == b"data":
            start = file.tell()
            there = file.seek(0, 2) - start
            return min(there, size), size if size < _UNKNOWN else there
    return 0, 0


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk of a RIFF file; the file then stands at what the chunk holds."""
    if file.read(12)[:4] == b"RIFF":
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            start = file.tell()
            yield name, size
            file.seek(start + size + size % 2)


def _riff_text(body: bytes, wanted: bytes) -> str:
    while len(body) >= 8:
        name, size = struct.unpack("<4sI", body[:8])
        if name == wanted:
            return body[8 : 8 + size].rstrip(b"\0").decode("utf-8", "replace")
        body = body[8 + size + size % 2 :]
    return ""


def steady_ogg(data: bytes) -> bytes:
    """An Ogg stream with serial number 0 on every page (RFC 3533, section 6); a drawn one makes equal sounds differ."""
    pages, at = bytearray(data), 0
    while at < len(pages):
        segments = pages[at + 26]
        end = at + 27 + segments + sum(pages[at + 27 : at + 27 + segments])
        pages[at + 14 : at + 18] = pages[at + 22 : at + 26] = bytes(4)
        pages[at + 22 : at + 26] = struct.pack("<I", _ogg_crc(bytes(pages[at:end])))
        at = end
    return bytes(pages)


def _ogg_crc(page: bytes) -> int:
    """Ogg's checksum is zlib's with every bit order reversed and no inversion at either end."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
