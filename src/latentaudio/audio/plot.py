"""A picture of a clip: its waveform above its mel spectrogram, with seconds below. Pillow only, imported late.

Knows arrays of numbers and pixels. Refuses to know spectra (the log-mel comes ready made) and models.
"""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..fileio import replacing
from .ops import Samples

if TYPE_CHECKING:
    from PIL import Image

WIDTH, WAVE_HEIGHT, MEL_HEIGHT, FOOT = 1000, 160, 256, 22
_PAPER, _INK, _GREY = (255, 255, 255), (70, 30, 110), (110, 110, 110)
_COLOURS = np.array(
    [(0, 0, 4), (80, 18, 123), (182, 54, 121), (251, 136, 97), (252, 253, 191)], np.float64
)
"""Dark to bright through violet and orange, even in brightness."""


def picture(samples: Samples, rate: int, log_mel: NDArray[np.float32]) -> Image.Image:
    """An RGB picture of samples [C, T] or [T] in [-1, 1] (channels averaged) and their log-mel [L, F]."""
    from PIL import Image

    mono = np.atleast_2d(samples).mean(axis=0)
    page = Image.new("RGB", (WIDTH, WAVE_HEIGHT + MEL_HEIGHT + FOOT), _PAPER)
    page.paste(Image.fromarray(_wave_pixels(mono)), (0, 0))
    mel = Image.fromarray(_mel_pixels(np.asarray(log_mel))).resize(
        (WIDTH, MEL_HEIGHT), Image.Resampling.BILINEAR
    )
    page.paste(mel, (0, WAVE_HEIGHT))
    _write_seconds(page, len(mono) / rate)
    return page


def save_picture(
    path: str | Path, samples: Samples, rate: int, log_mel: NDArray[np.float32]
) -> Path:
    """Write `picture` as PNG; raises DataError where nothing can be written."""
    buffer = io.BytesIO()
    picture(samples, rate, log_mel).save(buffer, "PNG")
    with replacing(Path(path), create=False) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return Path(path)


def _wave_pixels(mono: Samples) -> NDArray[np.uint8]:
    """Each column filled from the lowest to the highest sample of its share: [WAVE_HEIGHT, WIDTH, 3]."""
    edges = np.linspace(0, len(mono), WIDTH + 1).astype(int)
    shares = [mono[a : max(b, a + 1)] for a, b in pairwise(edges)]
    rows = (WAVE_HEIGHT - 1) / 2
    top = np.round(rows * (1.0 - np.clip([share.max() for share in shares], -1, 1)))
    bottom = np.round(rows * (1.0 - np.clip([share.min() for share in shares], -1, 1)))
    row = np.arange(WAVE_HEIGHT)[:, None]
    inked = (row >= top) & (row <= bottom)
    return np.where(inked[..., None], _INK, _PAPER).astype(np.uint8)


def _mel_pixels(log_mel: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Low bands at the bottom, the loudest cell brightest, 11.5 nepers (100 dB) below it black: [F, L, 3]."""
    level = np.clip(1.0 + (log_mel - log_mel.max()) / 11.5, 0.0, 1.0).T[::-1]
    stops = np.linspace(0.0, 1.0, len(_COLOURS))
    return (
        np.stack([np.interp(level, stops, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
        .round()
        .astype(np.uint8)
    )


def _write_seconds(page: Image.Image, seconds: float) -> None:
    """Marks at 1, 2 or 5 times a power of ten, at most ten of them."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(page)
    scale = 10.0 ** np.floor(np.log10(max(seconds, 1e-3) / 10.0))
    stride = scale * next(unit for unit in (1, 2, 5, 10) if seconds / (unit * scale) <= 10.0)
    base = WAVE_HEIGHT + MEL_HEIGHT
    for mark in np.arange(0.0, seconds, stride):
        x = round(mark / seconds * WIDTH)
        draw.line([(x, base), (x, base + 5)], fill=_GREY)
        draw.text((x + 3, base + 6), f"{mark:g} s", fill=_GREY)
