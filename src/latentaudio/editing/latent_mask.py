"""Masks over a latent: 1 where an edit generates a cell anew, as in diffusers' inpainting.

Letters: T' F' latent grid (time, frequency). A cell is one position of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..codec import AudioCodec
from ..config.architecture import MelSpec, mel_edges
from ..config.edits import FrequencyRange, TimeRange
from ..errors import UsageError
from . import drawn_mask
from .drawn_mask import MaskPixels


def latent_mask(
    time_ranges: Sequence[TimeRange],
    frequency_ranges: Sequence[FrequencyRange],
    duration: float,
    codec: AudioCodec,
    num_frames: int,
    mask: MaskPixels | None = None,
) -> Tensor:
    """Return which latent cells an edit generates anew.

    Cells that touch a time range and a frequency range, or a white pixel of the mask, are
    regenerated. A cell extends by the part of the STFT window that reaches beyond its hop.
    Cells after the end of the source are regenerated too. They are cut from the result, and
    silence there would be taken for the end of the sound.

    Args:
        time_ranges: Ranges in seconds; none selects all times.
        frequency_ranges: Ranges in Hz; none selects all frequencies.
        duration: Duration of the result in seconds.
        codec: Codec of the model.
        num_frames: Mel frames of the latent.
        mask: Decoded drawn mask; it replaces both kinds of ranges.

    Returns:
        Float32 mask [1, 1, T', F'], 1 where a cell is regenerated and 0 where it is kept.

    Raises:
        UsageError: The ranges select less than one cell of the authors' latent grid.
    """
    mel = codec.config.mel
    factor = codec.config.vae.downsampling
    cell_s = factor * mel.hop_length / mel.sample_rate
    starts_s = np.arange(num_frames // factor) * cell_s
    # a cell covers all frequencies of the mel filters it was pooled from
    edges = np.array(mel_edges(mel.n_mels, mel.fmin, mel.fmax))
    cell_hz = np.stack([edges[:-2][::factor], edges[2:][factor - 1 :: factor]])
    margin_s = (mel.n_fft - mel.hop_length) / 2 / mel.sample_rate
    cell_times = np.stack([starts_s - margin_s, starts_s + cell_s + margin_s])
    mode = codec.source.reference.latent_mask_mode
    if mask is not None:
        regenerated = drawn_mask.latent_cells(mask, cell_times, cell_hz, duration, mel.fmax)
    elif mode == "slices":
        regenerated = _authors_mask(
            time_ranges, frequency_ranges, cell_s, (len(starts_s), cell_hz.shape[1]), mel
        )
    else:
        in_time = _overlaps(cell_times, time_ranges)
        in_band = _overlaps(cell_hz, frequency_ranges)
        regenerated = in_time[:, None] & in_band[None, :]
    if regenerated.size and not regenerated.any():
        raise UsageError(
            "that is less than one cell of the authors' latents; give a longer time range or a "
            "wider frequency range"
        )
    if mode == "overlap":
        regenerated |= (starts_s >= duration)[:, None]
    return torch.from_numpy(regenerated).float()[None, None]


def _authors_mask(
    time_ranges: Sequence[TimeRange],
    frequency_ranges: Sequence[FrequencyRange],
    cell_s: float,
    shape: tuple[int, int],
    mel: MelSpec,
) -> NDArray[np.bool_]:
    """Return the authors' mask [T', F'] (numerics: editing masks).

    Rows int(h t0) to int(h t1) of h and columns int(w f0) to int(w f1) of w are regenerated.
    """
    regenerated = np.zeros(shape, bool)
    corners = np.array(mel_edges(shape[1] - 1, mel.fmin, mel.fmax))
    for start, end in time_ranges:
        regenerated[int(start / cell_s + 1e-6) : int(end / cell_s + 1e-6)] = True
    for band in frequency_ranges:
        positions = np.interp(band, corners, np.arange(len(corners)))
        regenerated[:, int(positions[0] + 1e-6) : int(positions[1] + 1e-6)] = True
    return regenerated


def _overlaps(intervals: NDArray[np.float64], ranges: Sequence[TimeRange]) -> NDArray[np.bool_]:
    """Return which intervals [2, n] overlap one of the ranges; all of them if there is no range."""
    if not ranges:
        return np.ones(intervals.shape[1], bool)
    result = np.zeros(intervals.shape[1], bool)
    for start, end in ranges:
        result |= (intervals[0] < end) & (intervals[1] > start)
    return result
