"""Image of a clip: its waveform above its mel spectrogram, with a time axis below.

Needs Pillow only, which is imported when an image is drawn.
"""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..fileio import atomic_write
from .ops import Samples

if TYPE_CHECKING:
    from PIL import Image

LogMel: TypeAlias = NDArray[np.float32]
"""Natural-log mel [L, F]: L frames, F bands."""

# Heights and width in pixels.
WIDTH = 1000
WAVE_HEIGHT = 160
MEL_HEIGHT = 256
AXIS_HEIGHT = 22

_BACKGROUND = (255, 255, 255)
_WAVE_COLOR = (70, 30, 110)
_AXIS_COLOR = (110, 110, 110)
_MEL_COLORS = np.array(
    [(0, 0, 4), (80, 18, 123), (182, 54, 121), (251, 136, 97), (252, 253, 191)], np.float64
)  # dark to bright through violet and orange, in even steps of brightness
_MEL_RANGE = 11.5  # nepers (100 dB) below the loudest band, shown as black
_MAX_TICKS = 10
_TICK_STEPS = (1, 2, 5, 10)  # times a power of ten


def log_mel_of(samples: Samples, sample_rate: int) -> LogMel:
    """Return the log-mel [L, F] of the first channel of samples [C, T]."""
    import torch

    from ..config.architecture import MelSpec
    from .mel import vae_mel

    spec = MelSpec(sample_rate=sample_rate, fmax=sample_rate / 2)
    waveform = np.atleast_2d(samples)
    missing = max(0, spec.n_fft - waveform.shape[1])  # reflection needs half a window
    waveform = np.pad(waveform, ((0, 0), (0, missing)))
    log_mel: LogMel = vae_mel(torch.from_numpy(waveform), spec)[0, 0].numpy()
    return log_mel


def plot_image(samples: Samples, sample_rate: int, log_mel: LogMel | None = None) -> Image.Image:
    """Draw a clip as an RGB image.

    Args:
        samples: [C, T] or [T] in [-1, 1]; the waveform is the average of the channels.
        sample_rate: Samples per second.
        log_mel: [L, F]; None computes that of the first channel.
    """
    from PIL import Image

    if log_mel is None:
        log_mel = log_mel_of(samples, sample_rate)
    mono = np.atleast_2d(samples).mean(axis=0)
    page = Image.new("RGB", (WIDTH, WAVE_HEIGHT + MEL_HEIGHT + AXIS_HEIGHT), _BACKGROUND)
    page.paste(Image.fromarray(_wave_pixels(mono)), (0, 0))
    mel = Image.fromarray(_mel_pixels(np.asarray(log_mel)))
    page.paste(mel.resize((WIDTH, MEL_HEIGHT), Image.Resampling.BILINEAR), (0, WAVE_HEIGHT))
    _draw_time_axis(page, len(mono) / sample_rate)
    return page


def plot_png(samples: Samples, sample_rate: int, log_mel: LogMel | None = None) -> bytes:
    """Return the image of `plot_image` as a PNG file."""
    buffer = io.BytesIO()
    plot_image(samples, sample_rate, log_mel).save(buffer, "PNG")
    return buffer.getvalue()


def save_plot(
    path: str | Path, samples: Samples, sample_rate: int, log_mel: LogMel | None = None
) -> Path:
    """Write the image of `plot_image` as a PNG file; raises DataError if it cannot be written."""
    data = plot_png(samples, sample_rate, log_mel)
    with atomic_write(Path(path), create=False) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def _wave_pixels(mono: Samples) -> NDArray[np.uint8]:
    """Pixels [WAVE_HEIGHT, WIDTH, 3]; columns span the lowest to the highest sample."""
    edges = np.linspace(0, len(mono), WIDTH + 1).astype(int)
    highest = []
    lowest = []
    for start, end in pairwise(edges):
        part = mono[start : max(end, start + 1)]
        highest.append(part.max())
        lowest.append(part.min())
    center = (WAVE_HEIGHT - 1) / 2
    top = np.round(center * (1.0 - np.clip(highest, -1, 1)))
    bottom = np.round(center * (1.0 - np.clip(lowest, -1, 1)))
    row = np.arange(WAVE_HEIGHT)[:, None]
    is_wave = (row >= top) & (row <= bottom)
    return np.where(is_wave[..., None], _WAVE_COLOR, _BACKGROUND).astype(np.uint8)


def _mel_pixels(log_mel: LogMel) -> NDArray[np.uint8]:
    """Pixels [F, L, 3], low bands at the bottom, the loudest bin brightest."""
    level = np.clip(1.0 + (log_mel - log_mel.max()) / _MEL_RANGE, 0.0, 1.0).T[::-1]
    stops = np.linspace(0.0, 1.0, len(_MEL_COLORS))
    channels = [np.interp(level, stops, _MEL_COLORS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _draw_time_axis(page: Image.Image, duration: float) -> None:
    """Draw at most ten ticks at 1, 2 or 5 times a power of ten seconds."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(page)
    scale = 10.0 ** np.floor(np.log10(max(duration, 1e-3) / _MAX_TICKS))
    stride = scale * next(step for step in _TICK_STEPS if duration / (step * scale) <= _MAX_TICKS)
    top = WAVE_HEIGHT + MEL_HEIGHT
    for tick in np.arange(0.0, duration, stride):
        x = round(tick / duration * WIDTH)
        draw.line([(x, top), (x, top + 5)], fill=_AXIS_COLOR)
        draw.text((x + 3, top + 6), f"{tick:g} s", fill=_AXIS_COLOR)
