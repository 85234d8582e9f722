"""Buffers that LAION CLAP's classes keep in a checkpoint, computed from its dimensions.

This package computes the front end in `audio/mel` and the masks in transformers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..audio.mel import CLAP_RATE, filterbank, htk_filterbank
from ..config.architecture import CLAPConfig

_MASKED = -100.0
"""Added to the score of two patches that are no neighbors (numerics: CLAP)."""


def clap_buffers(config: CLAPConfig) -> dict[str, Tensor]:
    """Return the buffers of the audio encoder by name: its front end, and masks of its windows.

    Args:
        config: CLAP's dimensions; without an audio encoder there are none.
    """
    if not config.audio_depths:
        return {}
    spec = config.mel
    extractor = "audio_branch.spectrogram_extractor.stft"
    real, imaginary = _fourier_kernels(spec.n_fft)
    bank = filterbank(CLAP_RATE, spec.n_fft, spec.n_mels, spec.fmin, spec.fmax)
    buffers = {
        f"{extractor}.conv_real.weight": real,
        f"{extractor}.conv_imag.weight": imaginary,
        "audio_branch.logmel_extractor.melW": bank.T.contiguous(),
    }
    size = config.audio_image_size // config.audio_patch_size
    for stage, depth in enumerate(config.audio_depths):
        mask = _shift_mask(size >> stage, config.audio_window_size)
        for block in range(1, depth, 2):
            if mask is not None:
                buffers[f"audio_branch.layers.{stage}.blocks.{block}.attn_mask"] = mask
    return buffers


def mel_transform_buffers(config: CLAPConfig) -> dict[str, Tensor]:
    """Return the buffers of torchaudio's mel transform, which the authors' wrapper of CLAP has.

    Args:
        config: CLAP's dimensions.
    """
    spec = config.mel
    bank = htk_filterbank(CLAP_RATE, spec.n_fft, spec.n_mels, spec.fmin, spec.fmax)
    return {
        "spectrogram.window": torch.hann_window(spec.n_fft),
        "mel_scale.fb": bank.T.contiguous(),
    }


def _fourier_kernels(n_fft: int) -> tuple[Tensor, Tensor]:
    """Return windowed cosines and negative sines [K, 1, n_fft], the rows of a Fourier transform."""
    times = torch.arange(n_fft, dtype=torch.float64)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)
    # whole turns are left out before the sine, so that it stays exact
    angles = 2 * math.pi * (bins[:, None] * times[None, :] % n_fft) / n_fft
    window = torch.hann_window(n_fft, dtype=torch.float64)
    real = (angles.cos() * window).float()[:, None]
    imaginary = (-angles.sin() * window).float()[:, None]
    return real, imaginary


def _shift_mask(size: int, window: int) -> Tensor | None:
    """Return the mask [windows, P, P] of shifted windows of P patches (Swin, arXiv 2103.14030).

    Args:
        size: Side of the square of patches.
        window: Side of a window in patches.

    Returns:
        0 for two patches of one region, -100 for others; None where one window holds all patches.
    """
    if size <= window:
        return None
    places = torch.arange(size)
    region = (places >= size - window).long() + (places >= size - window // 2).long()
    regions = region[:, None] * 3 + region[None, :]
    count = size // window
    windows = regions.view(count, window, count, window).transpose(1, 2).reshape(count**2, -1)
    differs = windows[:, None, :] != windows[:, :, None]
    return differs.float() * _MASKED
