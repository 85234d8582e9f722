"""Drawn masks: an image over the whole spectrogram, white where audio is regenerated.

The image runs from left to right in time. Its lower edge is 0 Hz, its upper edge the model's
highest frequency, on Slaney's mel scale, as `audio.plot` draws a spectrogram.

Letters: R rows, C columns; T' F' latent grid; K bins of a spectrum.
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
"""Pixels [R, C] of a mask, True where it is white; the first row has the highest frequency."""

MAX_PIXELS = 2**24
MAX_BYTES = 2**27
"""Bytes of an image that are read: more than 16 million pixels of any format need."""
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
"""Images that are opened; Pillow would start Ghostscript for EPS."""
WHITE_8_BIT = 128
WHITE_16_BIT = 2**15
WHITE_FLOAT = 0.5
_DATA_URL = "data:image/png;base64,"
_WIDE_MODES = ("I", "F")  # Pillow's modes with more than 8 bits


def mask_to_string(mask: NDArray[Any] | str | Path) -> str:
    """Return a mask as an option holds it.

    Args:
        mask: An image file, or an array [R, C] of bool, of bytes (white from 128) or of
            floating-point numbers (white from 0.5).

    Returns:
        The path, or the array as the data URL of a PNG image.

    Raises:
        UsageError: The array has another type or shape.
    """
    if isinstance(mask, str | Path):
        return str(mask)
    array = np.asarray(mask)
    dtype = array.dtype
    is_known = dtype in (np.bool_, np.uint8) or np.issubdtype(dtype, np.floating)
    if array.ndim != 2 or not is_known:
        raise UsageError(
            f"mask is {dtype} of shape {array.shape}; "
            "give [rows, columns] of bool, bytes, or numbers in [0, 1]"
        )
    from PIL import Image

    threshold = {"b": 1, "u": WHITE_8_BIT}.get(dtype.kind, WHITE_FLOAT)
    buffer = io.BytesIO()
    Image.fromarray(array >= threshold).save(buffer, "PNG", optimize=True)
    return _DATA_URL + base64.b64encode(buffer.getvalue()).decode()


def load_mask(mask: str) -> MaskPixels:
    """Decode a mask.

    Args:
        mask: A path or a data URL, see `mask_to_string`. Transparent pixels count as black.

    Returns:
        The pixels.

    Raises:
        DataError: It cannot be read as an image.
        UsageError: It has too many pixels, or all of them have one color.
    """
    from PIL import Image

    is_inline = mask.startswith(_DATA_URL)
    label = "the mask" if is_inline else f"the mask {mask}"
    try:
        if is_inline:
            data = base64.b64decode(mask.removeprefix(_DATA_URL))
        else:
            data = _read_bounded(Path(mask))
        # A damaged file may state a length beyond its end; Pillow would reserve memory for it.
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UsageError(
                    f"{label} has {image.width} x {image.height} pixels, more than 16 million; "
                    "scale it down, for example to 1000 x 400"
                )
            if image.mode.startswith(_WIDE_MODES):
                white = np.asarray(image, np.float64) >= WHITE_16_BIT
            else:
                colors = image.convert("RGBA")
                white = np.asarray(colors.convert("L"), np.float64) >= WHITE_8_BIT
                white &= np.asarray(colors)[..., 3] >= WHITE_8_BIT
    except UsageError:
        raise
    except Exception as error:  # decoders raise errors of many types for damaged files
        raise DataError(
            f"cannot read {label} as an image ({first_line(error)}); give a PNG file"
        ) from None
    if white.all() or not white.any():
        color = "white" if white.all() else "black"
        raise UsageError(
            f"{label} is all {color}; paint white what is regenerated, and black what is kept"
        )
    return white


def _read_bounded(path: Path) -> bytes:
    """Return the bytes of an image file, or those up to the limit, which end no image."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES)


def sha256_of_mask(mask: MaskPixels) -> str:
    """Return the SHA-256 of a mask's size and pixels."""
    return hashlib.sha256(str(mask.shape).encode() + np.packbits(mask).tobytes()).hexdigest()


def time_ranges(mask: MaskPixels, duration: float) -> list[TimeRange]:
    """Return the time ranges that have white pixels.

    Args:
        mask: The mask.
        duration: Duration of the clip in seconds.

    Returns:
        Ranges in seconds, in order.
    """
    num_columns = mask.shape[1]
    ranges = []
    for first, end in _runs(np.asarray(mask.any(axis=0))):
        ranges.append((first * duration / num_columns, end * duration / num_columns))
    return ranges


def stft_gains(mask: MaskPixels, max_hz: float, sample_rate: int) -> Gains:
    """Return gains for `audio.ops.stft_filter` that pass the white part of a mask.

    A column without white takes the gains of its nearest neighbor with white, because generated
    audio is crossfaded beyond its time range.

    Args:
        mask: The mask.
        max_hz: Frequency of the upper edge in Hz.
        sample_rate: Sample rate of the clip in Hz.

    Returns:
        Gains [C, K].
    """
    edges = np.array(mel_edges(len(mask) - 1, 0.0, max_hz))
    white = np.flatnonzero(mask.any(axis=0))
    ranks = np.interp(np.arange(mask.shape[1]), white, np.arange(len(white)))
    nearest = white[ranks.round().astype(int)]
    # few columns differ, so the gains of each kind are computed once
    kinds, kind_of_column = np.unique(mask[::-1, nearest], axis=1, return_inverse=True)
    gains = []
    for column in kinds.T:
        bands = [(edges[low], edges[high]) for low, high in _runs(column)]
        gains.append(bandpass_gains(bands, sample_rate)[0])
    return np.stack(gains)[kind_of_column.reshape(-1)]


def latent_cells(
    mask: MaskPixels,
    cell_times: NDArray[np.float64],
    cell_hz: NDArray[np.float64],
    duration: float,
    max_hz: float,
) -> MaskPixels:
    """Return which latent cells touch white pixels.

    Args:
        mask: The mask.
        cell_times: Start and end of each latent frame in seconds, [2, T'].
        cell_hz: Lowest and highest frequency of each latent bin in Hz, [2, F'].
        duration: Duration of the clip in seconds.
        max_hz: Frequency of the upper edge of the mask in Hz.

    Returns:
        [T', F'].
    """
    rows, columns = mask.shape
    edges = np.array(mel_edges(rows - 1, 0.0, max_hz))
    # white pixels of each row, lowest frequency first, to the left of each column
    num_before = np.cumsum(np.pad(mask[::-1], ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    starts = np.floor(cell_times[0] / duration * columns)
    ends = np.ceil(cell_times[1] / duration * columns)
    left, right = np.clip([starts, ends], 0, columns).astype(int)
    has_white = num_before[:, right] > num_before[:, left]
    cells = []
    for low, high in cell_hz.T:
        in_band = (edges[:-1] < high) & (edges[1:] > low)
        cells.append(has_white[in_band].any(axis=0))
    return np.stack(cells, axis=1)


def _runs(values: MaskPixels) -> list[tuple[int, int]]:
    """Return start and end of every run of true values."""
    steps = np.flatnonzero(np.diff(np.pad(values, 1).astype(np.int8)))
    return [(int(start), int(end)) for start, end in steps.reshape(-1, 2)]
