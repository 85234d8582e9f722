"""Audio files with tags, and `Audio`, the clip that a model returns.

Samples are numpy arrays [C, T] float32 in [-1, 1]: C channels, T samples. The tags of a file hold
the request of its clip.
"""

from __future__ import annotations

import base64
import html
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

from ..config.audio_formats import FORMATS, AudioFormat
from ..config.options import GenerationOptions
from ..errors import DataError, UsageError
from ..fileio import atomic_write
from . import metadata
from .ops import Samples, resample

_RIFF_CONTAINERS = ("WAV", "WAVEX")
_OGG_CONTAINER = "OGG"
_BLOCK_FRAMES = 1 << 16  # libsndfile's Vorbis encoder overflows the stack on minutes at once
_RESERVED_NAMES = {"CON", "PRN", "AUX", "NUL"}  # of Windows
_RESERVED_NAMES |= {f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10)}


@dataclass(frozen=True)
class Audio:
    """A generated clip and the request that reproduces it; in a notebook it plays.

    Attributes:
        samples: [C, T] float32 in [-1, 1].
        sample_rate: Samples per second.
        options: The complete request of this clip.
        score: CLAP similarity to the prompt, -1 to 1, if candidates were ranked.
        extra_tags: Further tags, such as the license of the weights.
    """

    samples: Samples
    sample_rate: int
    options: GenerationOptions
    score: float | None = None
    extra_tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The seed of this clip."""
        return self.options.seed

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return float(self.samples.shape[-1] / self.sample_rate)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the clip's file: origin, options, score and `extra_tags`."""
        score = {} if self.score is None else {"score": f"{self.score:.4f}"}
        return {
            "made": "AI generated",
            "software": software(),
            **self.options.to_tags(),
            **score,
            **self.extra_tags,
        }

    def save(self, path: str | Path, with_tags: bool = True) -> Path:
        """Write the clip to a file.

        Args:
            path: The file; its extension selects the format (see `FORMATS`).
            with_tags: Whether to write the request into the file.

        Returns:
            The path.

        Raises:
            UsageError: If the extension is unknown.
            DataError: If the file cannot be written.
        """
        return write(path, self.samples, self.sample_rate, self.tags if with_tags else None)

    def _repr_html_(self) -> str:
        """A player and a spectrogram, for notebooks."""
        from .plot import plot_png

        sound = base64.b64encode(encode(self.samples, self.sample_rate, ".wav")).decode()
        image = base64.b64encode(plot_png(self.samples, self.sample_rate)).decode()
        title = html.escape(self.options.display_text, quote=True)
        return (
            f'<div title="{title}">'
            f'<audio controls src="data:audio/wav;base64,{sound}"></audio><br>'
            f'<img alt="spectrogram" src="data:image/png;base64,{image}" style="max-width: 100%">'
            "</div>"
        )


def software() -> str:
    """Return the name and version of this package, as stored in files."""
    try:
        return f"latentaudio {importlib.metadata.version('latentaudio')}"
    except importlib.metadata.PackageNotFoundError:
        return "latentaudio from source"


def read(
    path: str | Path, sample_rate: int | None = None, mono: bool = True
) -> tuple[Samples, int]:
    """Read an audio file. Warns if a WAV file is shorter than its header states.

    Args:
        path: The file.
        sample_rate: Rate in Hz to resample to; None keeps the file's.
        mono: Whether to average the channels.

    Returns:
        Samples [C, T] and their sample rate.

    Raises:
        DataError: If the file is missing, is not audio or has no samples.
    """
    with _open(path) as file:
        container = file.format
        native_rate = file.samplerate
        samples = file.read(dtype="float32", always_2d=True).T
    if container in _RIFF_CONTAINERS:
        _warn_if_truncated(Path(path), samples.shape[1] / native_rate)
    if samples.shape[1] == 0:
        raise DataError(f"{path} has no samples; choose another file")
    if mono:
        samples = samples.mean(axis=0, keepdims=True)
    target_rate = sample_rate or native_rate
    return np.ascontiguousarray(resample(samples, native_rate, target_rate)), target_rate


def _warn_if_truncated(path: Path, duration: float) -> None:
    """Warn if a RIFF file has less data than its header states; `duration` is that of the data."""
    with path.open("rb") as raw:
        available, promised = metadata.riff_data_sizes(raw)
    if 0 < available < promised:
        warnings.warn(
            f"{path} is truncated: it has {duration:.3g} of "
            f"{duration * promised / available:.3g} s; the rest is missing",
            stacklevel=3,
        )


def info(path: str | Path) -> dict[str, Any]:
    """Return the facts about an audio file, without decoding it.

    Args:
        path: The file.

    Returns:
        A dict of path, format, sample_rate (Hz), channels, samples (per channel), duration (s) and
        tags.

    Raises:
        DataError: If the file is missing or is not audio.
    """
    with _open(path) as file:
        facts = {
            "path": str(path),
            "format": file.format,
            "sample_rate": file.samplerate,
            "channels": file.channels,
            "samples": file.frames,
            "duration": file.frames / file.samplerate,
        }
        comment = file.comment
    if facts["format"] in _RIFF_CONTAINERS:
        with Path(path).open("rb") as raw:
            comment = metadata.read_riff_comment(raw)
    return {**facts, "tags": metadata.unpack_tags(comment)}


def write(
    path: str | Path, samples: Samples, sample_rate: int, tags: Mapping[str, str] | None = None
) -> Path:
    """Write an audio file, completely or not at all.

    Args:
        path: The file; its extension selects the format (see `FORMATS`).
        samples: [C, T] or [T].
        sample_rate: Samples per second.
        tags: Text by name, or None.

    Returns:
        The path.

    Raises:
        UsageError: If the extension is unknown, or the format cannot hold these channels or this
            rate.
        DataError: If the file cannot be written.
    """
    path = Path(path)
    data = encode(samples, sample_rate, path.suffix, tags)
    with atomic_write(path, create=False) as temporary:
        temporary.write_bytes(data)
    return path


def encode(
    samples: Samples, sample_rate: int, extension: str, tags: Mapping[str, str] | None = None
) -> bytes:
    """Return the bytes of an audio file; equal samples and tags give equal bytes.

    Samples of a rate that the format lacks (Opus) are resampled to its highest. The tag "derived"
    records it.

    Args:
        samples: [C, T] or [T].
        sample_rate: Samples per second.
        extension: One of `FORMATS`.
        tags: Text by name, or None.

    Raises:
        UsageError: If the extension is unknown, or the format cannot hold these channels or this
            rate.
    """
    if extension.lower() not in FORMATS:
        name = repr(extension) if extension else "a file without extension"
        raise UsageError(f"cannot write audio as {name}; end the name in {', '.join(FORMATS)}")
    spec = FORMATS[extension.lower()]
    if spec.sample_rates is not None and sample_rate not in spec.sample_rates:
        target_rate = max(spec.sample_rates)
        tags = _with_resampling_note(tags, sample_rate, target_rate)
        samples = resample(samples, sample_rate, target_rate)
        sample_rate = target_rate
    frames = np.atleast_2d(samples).T
    comment = None if tags is None else _comment(tags, spec, extension)
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(
            buffer, "w", sample_rate, frames.shape[1], spec.subtype, format=spec.container
        ) as file:
            if comment is not None:
                file.comment = comment
            for start in range(0, len(frames), _BLOCK_FRAMES):
                file.write(frames[start : start + _BLOCK_FRAMES])
    except soundfile.LibsndfileError as error:
        raise UsageError(
            f"{spec.container} cannot hold {frames.shape[1]} channels at {sample_rate} Hz "
            f"({error.error_string}); use .wav"
        ) from None
    data = buffer.getvalue()
    return metadata.deterministic_ogg(data) if spec.container == _OGG_CONTAINER else data


def _with_resampling_note(
    tags: Mapping[str, str] | None, sample_rate: int, target_rate: int
) -> Mapping[str, str] | None:
    """The tags, with a note in "derived" that Opus needed another rate."""
    if tags is None:
        return None
    notes = [tags["derived"]] if tags.get("derived") else []
    notes.append(f"{target_rate} Hz by resampling from {sample_rate} Hz, for Opus")
    return {**tags, "derived": "; ".join(notes)}


def _comment(tags: Mapping[str, str], spec: AudioFormat, extension: str) -> str | None:
    """The tags as a comment field; None, with a warning, if they are too long for the format."""
    comment = metadata.pack_tags(tags)
    if spec.max_tag_chars is not None and len(comment) > spec.max_tag_chars:
        unlimited = [name for name, row in FORMATS.items() if row.max_tag_chars is None]
        warnings.warn(
            f"the tags have {len(comment)} characters and {extension} holds {spec.max_tag_chars}; "
            f"they are left out, use {', '.join(unlimited)} to keep them",
            stacklevel=3,
        )
        return None
    return comment


def safe_name(prompt: str, max_bytes: int = 100) -> str:
    """Return a file name without extension for a prompt, which every operating system accepts.

    Args:
        prompt: Any text.
        max_bytes: Longest name; 100 leave room for a number and an extension in 120.

    Returns:
        Letters of any script, digits, `-` and `_`; no reserved name, no dot or dash at the start.
    """
    letters = []
    for letter in unicodedata.normalize("NFC", prompt):
        is_kept = unicodedata.category(letter)[0] in "LMN" or letter == "-"
        letters.append(letter if is_kept else "_")
    name = re.sub(r"_+", "_", "".join(letters))
    name = name.encode()[:max_bytes].decode(errors="ignore").strip("_-")
    return f"{name}_" if name.upper() in _RESERVED_NAMES else name or "sound"


@contextmanager
def _open(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """The audio file at `path`; errors while it is open become `DataError`."""
    if not Path(path).is_file():
        raise DataError(f"there is no audio file {path}; check the name")
    try:
        with soundfile.SoundFile(str(path)) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise DataError(
            f"cannot read {path} as audio ({error.error_string}); "
            f"give a file that plays, such as {', '.join(FORMATS)}"
        ) from None
