"""WAV files that are written while they grow: the header first, samples as they come.

RIFF: Multimedia Programming Interface and Data Specifications 1.0 (IBM, Microsoft, 1991).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from .encoding import round_to_steps
from .metadata import pack_tags
from .ops import Samples

UNKNOWN_SIZE = 0x7FFFFFFF
"""Size in bytes that programs write into a WAV header that goes through a pipe."""
BITS = 16
"""Bits of a sample."""


def wav_header(sample_rate: int, num_bytes: int, tags: Mapping[str, str]) -> bytes:
    """Return the header of a mono WAV file of 16 bits.

    Args:
        sample_rate: Samples per second.
        num_bytes: Bytes of samples; `UNKNOWN_SIZE` if they are not known.
        tags: Tags of the file. Equal tags give headers of equal length.
    """
    width = BITS // 8
    sample_format = struct.pack("<HHIIHH", 1, 1, sample_rate, width * sample_rate, width, BITS)
    comment = pack_tags(tags).encode() + b"\0"
    parts = _chunk(b"fmt ", sample_format) + _chunk(b"LIST", b"INFO" + _chunk(b"ICMT", comment))
    riff_size = len(b"WAVE") + len(parts) + 8 + num_bytes
    return (
        b"RIFF"
        + struct.pack("<I", min(riff_size, UNKNOWN_SIZE))
        + b"WAVE"
        + parts
        + b"data"
        + struct.pack("<I", min(num_bytes, UNKNOWN_SIZE))
    )


def sample_bytes(samples: Samples) -> bytes:
    """Return samples [1, N] as whole numbers of 16 bits, little-endian."""
    return round_to_steps(samples[0], BITS).astype("<i2").tobytes()


def _chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk, which begins and ends at an even place."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
