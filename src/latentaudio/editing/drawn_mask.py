"""Drawn masks: a picture over a whole sound, white where it is made anew. From left to right time, from 0 Hz below to a model's
highest frequency above on Slaney's mel scale, as `picture` draws its spectrogram.

Knows pixels [rows, columns], the top row first, seconds and Hz. Refuses to know latents and what is made.
"""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.ops import Gains, bandpass_gains
from ..config.architecture import mel_edges
from ..config.edits import TimeRange
from ..errors import DataError, UsageError, first_line

MaskPixels = NDArray[np.bool_]

_INLINE = "data:image/png;base64,"
_LARGEST = 2**24  # pixels


def mask_to_string(mask: NDArray[Any] | str | Path) -> str:
    """A mask as a request says it: the name of its file, or all of a picture [rows, columns] that no file holds.

    Numbers of half their greatest value and more are white: 0.5 of floating ones, 128 of bytes. Raises UsageError for others.
    """
    if isinstance(mask, str | Path):
        return str(mask)
    kind = np.asarray(mask).dtype
    if np.ndim(mask) != 2 or not (kind in (np.bool_, np.uint8) or np.issubdtype(kind, np.floating)):
        raise UsageError(
            f"mask is {kind} of shape {np.shape(mask)}; give [rows, columns] of bool, bytes, or numbers in [0, 1]"
        )
    from PIL import Image

    buffer, half = io.BytesIO(), {"b": 1, "u": 128}.get(kind.kind, 0.5)
    Image.fromarray(np.asarray(mask) >= half).save(buffer, "PNG", optimize=True)
    return _INLINE + base64.b64encode(buffer.getvalue()).decode()


def load_mask(name: str) -> MaskPixels:
    """What `named` named. Raises DataError for what is no picture, UsageError for one that says nothing."""
    from PIL import Image

    called = "the mask" if name.startswith(_INLINE) else f"the mask {name}"
    try:
        source = (
            io.BytesIO(base64.b64decode(name.removeprefix(_INLINE)))
            if name.startswith(_INLINE)
            else Path(name)
        )
        with Image.open(source) as image:
            if image.width * image.height > _LARGEST:
                raise UsageError(
                    f"{called} has {image.width} x {image.height} pixels; a thousand by a few hundred are plenty"
                )
            shades = image if image.mode.startswith(("I", "F")) else image.convert("RGBA")
            grey = np.asarray(shades if shades is image else shades.convert("L"), np.float64)
            white = grey >= (2**15 if shades is image else 128)
            if shades is not image:
                white &= np.asarray(shades)[..., 3] >= 128
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise DataError(
            f"cannot read {called} as a picture ({first_line(problem)}); give a PNG file"
        ) from None
    if white.all() or not white.any():
        colour = "white" if white.all() else "black"
        raise UsageError(
            f"{called} is all {colour}; paint what is to be made anew white, and what stays black"
        )
    return white


def sha256_of_mask(drawn: MaskPixels) -> str:
    """SHA-256 of the size and the pixels."""
    return hashlib.sha256(str(drawn.shape).encode() + np.packbits(drawn).tobytes()).hexdigest()


def time_ranges(drawn: MaskPixels, seconds: float) -> list[TimeRange]:
    """Spans of time that hold white pixels, of a sound that lasts `seconds`."""
    return [
        (first * seconds / drawn.shape[1], last * seconds / drawn.shape[1])
        for first, last in _runs(np.asarray(drawn.any(axis=0)))
    ]


def stft_gains(drawn: MaskPixels, top: float, rate: int) -> Gains:
    """What of a sound `ops.stft_filter` lets through for the picture: gains [columns, K]. Columns without white take their
    neighbour's, because what is made fades beyond its span.

    top: Hz at the upper edge.
    """
    edges = np.array(mel_edges(len(drawn) - 1, 0.0, top))
    white = np.flatnonzero(drawn.any(axis=0))
    nearest = white[
        np.interp(np.arange(drawn.shape[1]), white, np.arange(len(white))).round().astype(int)
    ]
    kinds, where = np.unique(drawn[::-1, nearest], axis=1, return_inverse=True)
    shapes = [
        bandpass_gains([(edges[low], edges[high]) for low, high in _runs(column)], rate)[0]
        for column in kinds.T
    ]
    return np.stack(shapes)[where.reshape(-1)]


def latent_cells(
    drawn: MaskPixels,
    times: NDArray[np.float64],
    hertz: NDArray[np.float64],
    seconds: float,
    top: float,
) -> MaskPixels:
    """Which cells hold white pixels, [T', F']: cell t lies between the seconds times[:, t], cell f between hertz[:, f]."""
    rows, columns = drawn.shape
    edges = np.array(mel_edges(rows - 1, 0.0, top))
    before = np.cumsum(
        np.pad(drawn[::-1], ((0, 0), (1, 0))), axis=1, dtype=np.int32
    )  # white pixels left of a column
    left, right = np.clip(
        [np.floor(times[0] / seconds * columns), np.ceil(times[1] / seconds * columns)], 0, columns
    ).astype(int)
    here = before[:, right] > before[:, left]
    return np.stack(
        [here[(edges[:-1] < high) & (edges[1:] > low)].any(axis=0) for low, high in hertz.T], axis=1
    )


def _runs(line: MaskPixels) -> list[tuple[int, int]]:
    """Begin and end of every run of true ones."""
    steps = np.flatnonzero(np.diff(np.pad(line, 1).astype(np.int8)))
    return [(int(first), int(last)) for first, last in steps.reshape(-1, 2)]
