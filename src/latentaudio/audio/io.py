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

from ..config.audio_formats import FORMATS
from ..config.options import GenerationOptions
from ..errors import DataError, UsageError, first_line
from ..fileio import atomic_write, user_path
from . import containers, metadata
from .encoding import encode
from .ops import Samples, resample

_RIFF_CONTAINERS = ("WAV", "WAVEX")
_BLOCK_FRAMES = 1 << 16
_MAX_SAMPLES = 2**28  # of a file after averaging: 1 GB, 97 minutes at 44.1 kHz
_MAX_STREAM_BYTES = 2**30  # of a pipe
_MAX_FRAMES_PER_BYTE = 2**16  # of silence in FLAC; a header that states more is wrong
_RESERVED_NAMES = {"CON", "PRN", "AUX", "NUL"}  # of Windows
_RESERVED_NAMES |= {f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10)}


@dataclass(frozen=True, eq=False)
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

    __hash__ = None  # type: ignore[assignment]  # its samples may change

    def __eq__(self, other: object) -> bool:
        """Return whether two clips have equal samples, rates and requests."""
        if not isinstance(other, Audio):
            return NotImplemented
        is_same_request = (self.sample_rate, self.options) == (other.sample_rate, other.options)
        return is_same_request and np.array_equal(self.samples, other.samples)

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

    def save(
        self,
        path: str | Path,
        with_tags: bool = True,
        subtype: str | None = None,
        dither: bool = False,
        overwrite: bool = True,
    ) -> Path:
        """Write the clip to a file.

        A file that the clip was made from is never replaced.

        Args:
            path: The file; its extension selects the format (see `FORMATS`).
            with_tags: Whether to write the request into the file.
            subtype: Sample encoding, such as "PCM_24" or "FLOAT"; None: the usual one of the
                format.
            dither: Whether to add noise of one step before samples become whole numbers.
            overwrite: Whether to replace an existing file, as Python's `open` does; False: an
                existing file is an error.

        Returns:
            The path.

        Raises:
            UsageError: If the extension is unknown, the format has no such subtype, or the file
                exists and must not be replaced.
            DataError: If the file cannot be written.
        """
        self._reject_replacing(user_path(path), overwrite)
        return write(
            path,
            self.samples,
            self.sample_rate,
            _with_dither_tag(self.tags, dither) if with_tags else None,
            subtype=subtype,
            dither=dither,
            is_loop=self.options.loop_seam_duration > 0,
        )

    def _reject_replacing(self, path: Path, overwrite: bool) -> None:
        """Raise `UsageError` if a file must not be replaced."""
        if not path.exists():
            return
        for source in map(user_path, self.options.input_files):
            if source.exists() and path.samefile(source):
                raise UsageError(
                    f"{path} is a file that the clip was made from; save under another name"
                )
        if not overwrite:
            raise UsageError(
                f"{path} exists; save under another name, or leave out overwrite=False"
            )

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


def _with_dither_tag(tags: Mapping[str, str], dither: bool) -> dict[str, str]:
    """The tags, with a note of the dither, which `reproduce` has to add again."""
    return {**tags, "dither": "triangular"} if dither else {**tags}


def software() -> str:
    """Return the name and version of this package, as stored in files."""
    try:
        return f"latentaudio {importlib.metadata.version('latentaudio')}"
    except importlib.metadata.PackageNotFoundError:
        return "latentaudio from source"


def read(
    path: str | Path, sample_rate: int | None = None, mono: bool = True
) -> tuple[Samples, int]:
    """Read an audio file or a pipe. Warns if a file is shorter than its header states.

    Args:
        path: The file.
        sample_rate: Rate in Hz to resample to; None keeps the file's.
        mono: Whether to average the channels.

    Returns:
        Samples [C, T] and their sample rate.

    Raises:
        DataError: If the file is missing, is not audio, has no samples or too many.
    """
    with _open(path) as file:
        native_rate = file.samplerate
        samples = _read_blocks(path, file, mono)
        num_stated = file.frames
        container = file.format
    if samples.shape[1] == 0:
        raise DataError(f"{path} has no samples; choose another file")
    available, stated = _data_sizes(user_path(path))
    if container == "MP3" and samples.shape[1] < num_stated:
        available = samples.shape[1]
        stated = num_stated
    if 0 < available < stated:
        _warn_of_truncation(path, samples.shape[1] / native_rate, available / stated)
    target_rate = sample_rate or native_rate
    return np.ascontiguousarray(resample(samples, native_rate, target_rate)), target_rate


def _read_blocks(path: str | Path, file: soundfile.SoundFile, mono: bool) -> Samples:
    """All samples [C, T] of an open file; memory follows the data, not what the header states."""
    blocks = []
    num_samples = 0
    while True:
        block = file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True).T
        if block.shape[1] == 0:
            break
        if mono:
            block = block.mean(axis=0, keepdims=True)
        num_samples += block.size
        if num_samples > _MAX_SAMPLES:
            minutes = _MAX_SAMPLES / file.samplerate / 60
            raise DataError(f"{path} is longer than {minutes:.0f} minutes; cut out what is needed")
        blocks.append(block)
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((1, 0), np.float32)


def _data_sizes(path: Path) -> tuple[int, int]:
    """Bytes of audio in a file and the number that its header states; 0 and 0 for a pipe."""
    if not path.is_file():
        return 0, 0
    with path.open("rb") as raw:
        return containers.data_sizes(raw)


def _warn_of_truncation(path: str | Path, duration: float, fraction: float) -> None:
    """Warn that a file holds only a fraction of what its header states."""
    warnings.warn(
        f"{path} is truncated: it has {duration:.3g} of {duration / fraction:.3g} s; "
        "the rest is missing",
        stacklevel=3,
    )


def info(path: str | Path) -> dict[str, Any]:
    """Return the facts about an audio file; decodes it only if its header has no length.

    Args:
        path: The file.

    Returns:
        A dict of path, format, subtype, sample_rate (Hz), channels, samples (per channel),
        duration (s) and tags.

    Raises:
        DataError: If the file is missing or is not audio.
    """
    path = user_path(path)
    with _open(path) as file:
        num_samples = file.frames
        size = path.stat().st_size if path.is_file() else _MAX_STREAM_BYTES
        if num_samples > size * _MAX_FRAMES_PER_BYTE:
            num_samples = _read_blocks(path, file, mono=True).shape[1]
        facts = {
            "path": str(path),
            "format": file.format,
            "subtype": file.subtype,
            "sample_rate": file.samplerate,
            "channels": file.channels,
            "samples": num_samples,
            "duration": num_samples / file.samplerate,
        }
        comment = file.comment
    if not path.is_file():
        return {**facts, "tags": metadata.unpack_tags(comment)}
    if facts["format"] in _RIFF_CONTAINERS:
        with path.open("rb") as raw:
            comment = containers.read_riff_comment(raw)
    tags = metadata.unpack_tags(comment)
    if "made" not in tags:
        tags = metadata.find_tags(path) or tags
    return {**facts, "tags": tags}


def write(
    path: str | Path,
    samples: Samples,
    sample_rate: int,
    tags: Mapping[str, str] | None = None,
    *,
    subtype: str | None = None,
    dither: bool = False,
    is_loop: bool = False,
) -> Path:
    """Write an audio file, completely or not at all.

    Args:
        path: The file; its extension selects the format (see `FORMATS`).
        samples: [C, T] or [T].
        sample_rate: Samples per second.
        tags: Text by name, or None.
        subtype: See `encode`.
        dither: See `encode`.
        is_loop: See `encode`.

    Returns:
        The path.

    Raises:
        UsageError: If the extension is unknown, or the format cannot hold these channels, this
            rate or this subtype.
        DataError: If the file cannot be written.
    """
    path = user_path(path)
    data = encode(
        samples,
        sample_rate,
        path.suffix,
        tags,
        subtype=subtype,
        dither=dither,
        is_loop=is_loop,
    )
    with atomic_write(path, create=False) as temporary:
        temporary.write_bytes(data)
    return path


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
    """The audio file or pipe at `path`; errors while it is open become `DataError`."""
    formats = ", ".join(FORMATS)
    try:
        with soundfile.SoundFile(_source(user_path(path))) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise DataError(
            f"cannot read {path} as audio ({error.error_string}); "
            f"give a file that plays, such as {formats}"
        ) from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error}); check the name") from None
    except (RuntimeError, TypeError, ValueError, KeyError, MemoryError) as error:
        # soundfile raises these for encodings that it does not list, such as GSM or raw samples
        raise DataError(
            f"cannot read {path} as audio ({first_line(error)}); "
            f"give a file that plays, such as {formats}"
        ) from None


def _source(path: Path) -> str | io.BytesIO:
    """What soundfile opens: a path, or bytes if the file has to be read or repaired first."""
    if path.is_file():
        with path.open("rb") as raw:
            has_open_size = raw.read(8) == containers.RIFF_WITHOUT_SIZE
            repaired = containers.with_data_size(path.read_bytes()) if has_open_size else None
        return str(path) if repaired is None else io.BytesIO(repaired)
    if not path.exists() or path.is_dir():
        raise DataError(f"there is no audio file {path}; check the name")
    with path.open("rb") as pipe:
        data = pipe.read(_MAX_STREAM_BYTES + 1)
    if len(data) > _MAX_STREAM_BYTES:
        raise DataError(f"{path} does not end after 1 GB; write it to a file first")
    return io.BytesIO(data)
