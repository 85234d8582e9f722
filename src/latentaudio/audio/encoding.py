"""Encoding of samples as the bytes of an audio file; equal samples and tags give equal bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..config.audio_formats import FORMATS, AudioFormat
from ..errors import UsageError
from . import containers, metadata
from .ops import Samples, resample, resample_loop

_OGG_CONTAINER = "OGG"
_WAV_CONTAINER = "WAV"
_BLOCK_FRAMES = 1 << 16  # libsndfile's Vorbis encoder overflows the stack on minutes at once
_MAX_TITLE_CHARS = 100
_PCM_BITS = {"PCM_16": 16, "PCM_24": 24}
_DITHER_SEED = 0  # a file of the same samples has the same bytes


def encode(
    samples: Samples,
    sample_rate: int,
    extension: str,
    tags: Mapping[str, str] | None = None,
    *,
    subtype: str | None = None,
    dither: bool = False,
    is_loop: bool = False,
) -> bytes:
    """Return the bytes of an audio file.

    Samples are rounded to the nearest step in every format. Samples of a rate that the format lacks
    (Opus) are resampled to its highest. The tag "derived" records it.

    Args:
        samples: [C, T] or [T].
        sample_rate: Samples per second.
        extension: One of `FORMATS`.
        tags: Text by name, or None.
        subtype: Sample encoding, one of the format's `subtypes`; None: its first.
        dither: Whether to add triangular noise of one step before rounding. It turns the
            distortion of very quiet sounds into hiss.
        is_loop: Whether the clip repeats: its ends are resampled as neighbors, and a WAV file gets
            loop points.

    Raises:
        UsageError: If the extension is unknown, or the format cannot hold these channels, this
            rate or this subtype.
    """
    spec = _format_of(extension)
    chosen = _subtype_of(spec, extension, subtype)
    if spec.sample_rates is not None and sample_rate not in spec.sample_rates:
        target_rate = max(spec.sample_rates)
        tags = _with_resampling_note(tags, sample_rate, target_rate)
        change_rate = resample_loop if is_loop else resample
        samples = change_rate(samples, sample_rate, target_rate)
        sample_rate = target_rate
    frames = np.atleast_2d(samples).T
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(
            buffer, "w", sample_rate, frames.shape[1], chosen, format=spec.container
        ) as file:
            if tags is not None:
                _write_tags(file, tags, spec, extension)
            _write_samples(file, frames, _PCM_BITS.get(chosen), dither)
    except soundfile.LibsndfileError as error:
        raise UsageError(
            f"{spec.container} cannot hold {frames.shape[1]} channels at {sample_rate} Hz "
            f"({error.error_string}); use .wav"
        ) from None
    data = buffer.getvalue()
    if is_loop and spec.container == _WAV_CONTAINER:
        data = containers.with_loop_points(data, sample_rate, len(frames))
    return containers.deterministic_ogg(data) if spec.container == _OGG_CONTAINER else data


def _format_of(extension: str) -> AudioFormat:
    """The row of an extension; `UsageError` if there is none."""
    if extension.lower() not in FORMATS:
        name = repr(extension) if extension else "a file without extension"
        raise UsageError(f"cannot write audio as {name}; end the name in {', '.join(FORMATS)}")
    return FORMATS[extension.lower()]


def _subtype_of(spec: AudioFormat, extension: str, subtype: str | None) -> str:
    """The sample encoding of a file; `UsageError` if the format lacks it."""
    if subtype is None:
        return spec.subtypes[0]
    if subtype.upper() not in spec.subtypes:
        raise UsageError(
            f"{extension} has no subtype {subtype}; choose from {', '.join(spec.subtypes)}"
        )
    return subtype.upper()


def _write_samples(
    file: soundfile.SoundFile, frames: NDArray[np.float32], bits: int | None, dither: bool
) -> None:
    """Write samples [T, C]; `bits` of whole numbers, or None for other encodings."""
    generator = np.random.default_rng(_DITHER_SEED)
    for start in range(0, len(frames), _BLOCK_FRAMES):
        block: NDArray[Any] = frames[start : start + _BLOCK_FRAMES]
        if bits is not None:
            noise: NDArray[np.float64] | float = 0.0
            if dither:
                first, second = generator.random((2, *block.shape))
                noise = first - second
            block = round_to_steps(block, bits, noise)
        file.write(block)


def round_to_steps(
    samples: NDArray[np.float32], bits: int, noise: NDArray[np.float64] | float = 0.0
) -> NDArray[np.signedinteger[Any]]:
    """Return samples as whole numbers, rounded to the nearest.

    libsndfile truncates floating-point samples in WAV and AIFF and rounds them in FLAC, hence this.

    Args:
        samples: Any shape, in [-1, 1]; what lies outside is clipped.
        bits: 16 or 24.
        noise: Added before rounding, in steps; it broadcasts to the samples.

    Returns:
        int16, or int32 whose upper 24 bits are used.
    """
    full_scale = 2 ** (bits - 1)
    steps = np.rint(samples.astype(np.float64) * full_scale + noise)
    steps = np.clip(steps, -full_scale, full_scale - 1)
    dtype = np.int16 if bits == 16 else np.int32
    unused_bits = 8 * np.dtype(dtype).itemsize - bits
    integers: NDArray[np.signedinteger[Any]] = (steps * 2**unused_bits).astype(dtype)
    return integers


def _write_tags(
    file: soundfile.SoundFile, tags: Mapping[str, str], spec: AudioFormat, extension: str
) -> None:
    """Write all tags as one comment, and the prompt as the title that players show."""
    comment = _comment(tags, spec, extension)
    if comment is not None:
        file.comment = comment
    title = " ".join(tags.get("prompt", "").split())[:_MAX_TITLE_CHARS]
    if title.isascii() and title:
        file.title = title


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
