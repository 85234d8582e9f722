"""Sound files: read, write whole or not at all, with tags that say how a sound was made; and `Audio`, what comes out.

Knows numpy samples [C, T] float32 in [-1, 1], formats and paths. Refuses to know tensors and networks.
"""

from __future__ import annotations

import base64
import importlib.metadata
import io
import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..config.options import Options
from ..errors import DataError, UsageError
from ..fileio import replacing
from . import metadata as tagging
from .ops import Samples, resample

FORMATS = {
    ".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS"), ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".opus": ("OGG", "OPUS"),
}  # fmt: skip
"""File endings we write and what libsndfile calls them."""
_OPUS_RATES = {8000, 12000, 16000, 24000, 48000}

_RIFF = ("WAV", "WAVEX")
_BLOCK = 1 << 16
_ROOM = 48_000  # characters of tags, beyond which libsndfile drops those of WAV and writes Opus that nobody can open
_RESERVED = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10)),
}


@dataclass(frozen=True)
class Audio:
    """A finished clip: samples [C, T] float32 in [-1, 1], its rate in Hz, and the request that makes exactly this clip again.

    score: how well it matches the prompt, if it was ranked. notes: further tags, such as the licence of the weights.
    """

    samples: Samples
    sample_rate: int
    options: Options
    score: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The seed this clip was made with."""
        return self.options.seed

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return float(self.samples.shape[-1] / self.sample_rate)

    @property
    def tags(self) -> dict[str, str]:
        """Everything worth knowing about where this clip comes from."""
        score = {} if self.score is None else {"score": f"{self.score:.4f}"}
        return {
            "made": "AI generated",
            "software": software(),
            **self.options.to_tags(),
            **score,
            **self.notes,
        }

    def save(self, path: str | Path, tagged: bool = True) -> Path:
        """Write the clip in the format its ending names, with tags unless told otherwise; raises what `write` raises."""
        return write(path, self.samples, self.sample_rate, self.tags if tagged else None)

    def _repr_html_(self) -> str:
        """A player, for notebooks."""
        sound = base64.b64encode(encode(self.samples, self.sample_rate, ".wav")).decode()
        return f'<audio controls src="data:audio/wav;base64,{sound}"></audio>'


def software() -> str:
    """Name and version of this package, as written into files."""
    try:
        return f"latentaudio {importlib.metadata.version('latentaudio')}"
    except importlib.metadata.PackageNotFoundError:
        return "latentaudio from source"


def read(path: str | Path, rate: int | None = None, mono: bool = True) -> tuple[Samples, int]:
    """Samples [C, T] of a sound file and their rate, resampled to `rate` if given, channels averaged if `mono`.

    Warns of a WAV file that ends before its header says. Raises DataError for a file that is missing, is not sound, or holds
    none.
    """
    with _opened(path) as file:
        kind, native, samples = (
            file.format,
            file.samplerate,
            file.read(dtype="float32", always_2d=True).T,
        )
    if kind in _RIFF:
        with Path(path).open("rb") as raw:
            there, promised = tagging.riff_data(raw)
        if 0 < there < promised:
            seconds = samples.shape[1] / native
            warnings.warn(
                f"{path} ends early: {seconds:.3g} of {seconds * promised / there:.3g} s are there",
                stacklevel=2,
            )
    if samples.shape[1] == 0:
        raise DataError(f"{path} holds no samples; choose another file")
    if mono:
        samples = samples.mean(axis=0, keepdims=True)
    return np.ascontiguousarray(resample(samples, native, rate or native)), rate or native


def info(path: str | Path) -> dict[str, Any]:
    """Path, format, rate, channels, samples, seconds and tags of a sound file; raises DataError as `read` does."""
    with _opened(path) as file:
        found = {
            "path": str(path), "format": file.format, "rate": file.samplerate, "channels": file.channels,
            "samples": file.frames, "seconds": file.frames / file.samplerate,
        }  # fmt: skip
        comment = file.comment
    if found["format"] in _RIFF:
        with Path(path).open("rb") as raw:
            comment = tagging.riff_comment(raw)
    return {**found, "tags": tagging.unpack(comment)}


def write(
    path: str | Path, samples: Samples, rate: int, tags: Mapping[str, str] | None = None
) -> Path:
    """Write samples [C, T] or [T] to `path` in the format its ending names: 16 bits for WAV and FLAC, Vorbis for OGG,
    MP3, Opus.

    Raises UsageError for an ending that is not known, DataError where nothing can be written; never leaves half a file.
    """
    path = Path(path)
    data = encode(samples, rate, path.suffix, tags)
    with replacing(path, create=False) as temporary:
        temporary.write_bytes(data)
    return path


def encode(
    samples: Samples, rate: int, ending: str, tags: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of a sound file; the same samples and tags always give the same bytes. Errors as for `write`.

    Opus has five rates; sound of another is resampled to 48 kHz, and the tag "derived" says so.
    """
    if ending.lower() not in FORMATS:
        raise UsageError(
            f"cannot write sound as {ending or 'a file without ending'!r}; end the name in {', '.join(FORMATS)}"
        )
    container, subtype = FORMATS[ending.lower()]
    if subtype == "OPUS" and rate not in _OPUS_RATES:
        samples, before, rate = resample(samples, rate, 48_000), rate, 48_000
        label = f"48000 Hz by resampling from {before} Hz, for Opus"
        tags = (
            None
            if tags is None
            else {**tags, "derived": "; ".join([*filter(None, [tags.get("derived")]), label])}
        )
    frames = np.atleast_2d(samples).T
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(
            buffer, "w", rate, frames.shape[1], subtype, format=container
        ) as file:
            if (
                tags is not None
                and subtype in ("PCM_16", "OPUS")
                and container != "FLAC"
                and len(tagging.pack(tags)) > _ROOM
            ):
                warnings.warn(
                    f"{ending} has no room for tags as long as these; only .flac, .ogg and .mp3 keep them",
                    stacklevel=2,
                )
            elif tags is not None:
                file.comment = tagging.pack(tags)
            for start in range(
                0, len(frames), _BLOCK
            ):  # libsndfile's Vorbis encoder overflows the stack on minutes at once
                file.write(frames[start : start + _BLOCK])
    except soundfile.LibsndfileError as problem:
        why = problem.error_string
        raise UsageError(
            f"{container} cannot hold {frames.shape[1]} channels at {rate} Hz ({why}); use .wav"
        ) from None
    return tagging.steady_ogg(buffer.getvalue()) if container == "OGG" else buffer.getvalue()


def safe_name(prompt: str, limit: int = 100) -> str:
    """A file name without ending for a prompt: letters of any script, digits, `-` and `_`, at most `limit` bytes.

    Every system accepts it: no reserved name, no leading dot or dash. 100 bytes leave room for a number and an ending in 120.
    """
    kept = "".join(
        c if unicodedata.category(c)[0] in "LMN" or c in "-" else "_"
        for c in unicodedata.normalize("NFC", prompt)
    )
    name = re.sub(r"_+", "_", kept).encode()[:limit].decode(errors="ignore").strip("_-")
    return f"{name}_" if name.upper() in _RESERVED else name or "sound"


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """The sound file at `path`; whatever goes wrong while it is open becomes one `DataError`."""
    if not Path(path).is_file():
        raise DataError(f"there is no sound file {path}; check the name")
    try:
        with soundfile.SoundFile(str(path)) as file:
            yield file
    except soundfile.LibsndfileError as problem:
        why = problem.error_string
        raise DataError(
            f"cannot read {path} as sound ({why}); give a WAV, FLAC, OGG, MP3 or Opus file that plays"
        ) from None
