"""The content of jobs: clips in any format, several as zip or JSON lines, pictures of mels.

Letters: C channels, N samples; L frames, F bands.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audio.encoding import encode, round_to_steps
from ..audio.loudness import loudness
from ..audio.ops import Samples
from ..config.audio_formats import FORMATS
from ..errors import UsageError
from .schemas import FORMAT_NAMES, RAW_FORMAT

MEDIA_TYPES = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mp3": "audio/mpeg",
    "aiff": "audio/aiff",
    "opus": "audio/ogg; codecs=opus",
    RAW_FORMAT: "audio/pcm",
}
"""Content type of each format."""
ZIP_TYPE = "application/zip"
JSONL_TYPE = "application/x-ndjson"
BINARY_SCHEMA = {"type": "string", "format": "binary"}
_PCM_BITS = 16
_MEL_RANGE = 11.5  # nepers (100 dB) below the loudest band, shown as black
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # equal clips give an equal zip


def audio_types(formats: Iterable[str] = tuple(MEDIA_TYPES)) -> list[str]:
    """Return the content types of those formats that are written here, without parameters."""
    known = [MEDIA_TYPES[name].partition(";")[0] for name in formats if name in MEDIA_TYPES]
    return list(dict.fromkeys(known))


@dataclass(frozen=True)
class FileEncoding:
    """How samples become bytes.

    Attributes:
        format: One of `FORMAT_NAMES`.
        subtype: Sample encoding; None: the usual one.
        dither: Whether noise of one step is added before rounding.
    """

    format: str = "wav"
    subtype: str | None = None
    dither: bool = False

    def check(self) -> None:
        """Raise UsageError if the format is unknown or lacks the subtype."""
        if self.format not in FORMAT_NAMES:
            raise UsageError(
                f"there is no format {self.format!r:.40}; choose from {', '.join(FORMAT_NAMES)}"
            )
        subtypes = () if self.format == RAW_FORMAT else FORMATS[f".{self.format}"].subtypes
        if self.subtype is not None and self.subtype.upper() not in subtypes:
            known = f"choose from {', '.join(subtypes)}" if subtypes else "leave it out"
            raise UsageError(f"{self.format} has no subtype {self.subtype!r:.40}; {known}")

    def encode(
        self, samples: Samples, sample_rate: int, tags: Mapping[str, str], is_loop: bool
    ) -> bytes:
        """Return the bytes of a clip, which are those that the command line writes.

        Args:
            samples: [C, N].
            sample_rate: Their rate in Hz.
            tags: Tags of the file; pcm has none.
            is_loop: Whether the clip repeats.
        """
        if self.format == RAW_FORMAT:
            return round_to_steps(samples.T, _PCM_BITS).astype("<i2").tobytes()
        if self.dither:
            tags = {**tags, "dither": "triangular"}
        return encode(
            samples,
            sample_rate,
            f".{self.format}",
            tags,
            subtype=self.subtype,
            dither=self.dither,
            is_loop=is_loop,
        )


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def measure(samples: Samples, sample_rate: int) -> dict[str, float | None]:
    """Return loudness in LUFS and peak in dBFS; None where there is none."""
    level = loudness(samples, sample_rate)
    peak = float(np.abs(samples).max(initial=0.0))
    return {
        "loudness": round(level, 2) if math.isfinite(level) else None,
        "peak": round(20.0 * math.log10(peak), 2) if peak > 0 else None,
    }


def zip_of(files: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a zip of named files; audio is not compressed again."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data)
    return buffer.getvalue()


def json_lines(clips: Sequence[tuple[Mapping[str, Any], bytes]]) -> Iterator[bytes]:
    """Yield one line of JSON for each clip, with its audio in base64."""
    for facts, data in clips:
        line = {**facts, "audio": base64.b64encode(data).decode()}
        yield json.dumps(line).encode() + b"\n"


def mel_picture(samples: Samples, sample_rate: int) -> bytes:
    """Return a PNG of the mel spectrogram of samples [C, N] in gray levels.

    A pixel is one frame and one band. Time runs to the right, frequency upwards.
    """
    from ..audio.plot import log_mel_of

    log_mel = log_mel_of(samples, sample_rate)
    return gray_picture(log_mel)


def gray_picture(log_mel: np.ndarray[Any, np.dtype[Any]]) -> bytes:
    """Return a PNG of a natural-log mel [L, F]; the loudest bin is white."""
    from PIL import Image

    level = np.clip(1.0 + (log_mel - log_mel.max()) / _MEL_RANGE, 0.0, 1.0).T[::-1]
    buffer = io.BytesIO()
    Image.fromarray((255.0 * level).round().astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
