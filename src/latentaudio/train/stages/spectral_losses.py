"""Spectral losses of the vocoder at several resolutions, plain and as an energy distance.

See numerics: training.

Shapes: B batch, N samples, T mel frames.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import l1_loss

from ...audio.mel import filterbank, magnitudes

RESOLUTIONS = ((2048, 240, 160), (1024, 160, 80), (512, 80, 64), (256, 40, 40), (128, 32, 20))
"""(window, hop, mel bands) of the losses. Long windows resolve pitch, short ones onsets."""
MAX_ATTACK_WINDOW = 512
"""Longest window in samples whose loss can be raised near attacks."""
_LOG_FLOOR = 1e-5  # the floor of the model's log-mels


def spectral_losses(generated: Tensor, real: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Return the mean L1 of log-mels and the mean relative L1 of magnitudes.

    Args:
        generated: [B, N].
        real: [B, N].
        sample_rate: In Hz.
    """
    mel_losses = []
    magnitude_losses = []
    for window, hop, num_bands in RESOLUTIONS:
        bank = filterbank(sample_rate, window, num_bands, 0.0, sample_rate / 2).to(generated)
        fake_magnitude = magnitudes(generated, window, hop, window // 2)
        real_magnitude = magnitudes(real, window, hop, window // 2)
        fake_mel = (fake_magnitude @ bank.T).clamp_min(_LOG_FLOOR).log()
        # The logarithm weights quiet bands, the relative L1 below the loud ones.
        real_mel = (real_magnitude @ bank.T).clamp_min(_LOG_FLOOR).log()
        mel_losses.append(l1_loss(fake_mel, real_mel))
        difference = (fake_magnitude - real_magnitude).abs().mean()
        magnitude_losses.append(difference / (real_magnitude.mean() + 1e-3))
    return torch.stack(mel_losses).mean(), torch.stack(magnitude_losses).mean()


class SpectralDistances(NamedTuple):
    """Distances of two generated sounds to the real one, and of each other.

    Attributes:
        mel: L1 of log-mels to those of the real sound, mean of both.
        mel_repulsion: L1 of both log-mels.
        magnitude: L1 of magnitudes to the real ones, relative to their mean.
        magnitude_repulsion: L1 of both magnitudes, relative to the mean of the real ones.
    """

    mel: Tensor
    mel_repulsion: Tensor
    magnitude: Tensor
    magnitude_repulsion: Tensor


class _Distance(NamedTuple):
    attraction: Tensor
    repulsion: Tensor


def spectral_distances(
    first: Tensor,
    second: Tensor,
    real: Tensor,
    sample_rate: int,
    frame_weights: Tensor,
    num_resolutions: int,
    generator: Generator,
) -> SpectralDistances:
    """Return the terms of an energy distance (arXiv 2008.01160, eq. 3).

    The distance is d(x, y) / 2 + d(x', y) / 2 - d(x, x') / 2 for a real sound y and two generated
    sounds x and x' of one mel. Its expectation is least if the generated sounds are distributed as
    the real ones. Without the last term, the best sound is a median of all possible ones.

    Args:
        first: [B, N].
        second: [B, N], of the same mels.
        real: [B, N].
        sample_rate: In Hz.
        frame_weights: Factor of the distances at windows of at most 512 samples, [B, T], for mel
            frames that divide N evenly.
        num_resolutions: Resolutions that are drawn at random for this batch.
        generator: Draws the resolutions.
    """
    mel_frame = real.shape[1] // frame_weights.shape[1]  # samples
    drawn = torch.randperm(len(RESOLUTIONS), generator=generator)[:num_resolutions].tolist()
    zero = real.new_zeros(())
    mel = _Distance(zero, zero)
    magnitude = _Distance(zero, zero)
    for index in drawn:
        window, hop, num_bands = RESOLUTIONS[index]
        bank = filterbank(sample_rate, window, num_bands, 0.0, sample_rate / 2).to(real).T
        spectra = [
            magnitudes(samples, window, hop, window // 2) for samples in (first, second, real)
        ]
        log_mels = [(spectrum @ bank).clamp_min(_LOG_FLOOR).log() for spectrum in spectra]
        weight = real.new_ones(1, 1, 1)
        if window <= MAX_ATTACK_WINDOW:
            frames = torch.arange(spectra[0].shape[1], device=real.device) * hop // mel_frame
            weight = frame_weights[:, frames.clamp(max=frame_weights.shape[1] - 1)][..., None]
        relative = weight / (spectra[2].mean(dim=(1, 2), keepdim=True) + 1e-3)
        mel = _add_distance(mel, log_mels, weight, num_resolutions)
        magnitude = _add_distance(magnitude, spectra, relative, num_resolutions)
    return SpectralDistances(*mel, *magnitude)


def _add_distance(total: _Distance, spectra: list[Tensor], weight: Tensor, count: int) -> _Distance:
    """Add the weighted L1 distances of [first, second, real], divided by a count."""
    first, second, real = spectra
    attraction = (weight * ((first - real).abs() + (second - real).abs())).mean() / 2
    repulsion = (weight * (first - second).abs()).mean()
    return _Distance(total.attraction + attraction / count, total.repulsion + repulsion / count)
