"""Pitch of real audio, the target of a vocoder's harmonics.

SWIPE' (Camacho and Harris 2008), on frequencies with linear spacing.

See numerics: training.

Shapes: B batch, N samples, T frames, F bands, K STFT bins, P candidate pitches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...audio.mel import magnitudes
from ...models.harmonics import MIN_PITCH, PITCHES_PER_OCTAVE, candidate_pitches
from ...models.oscillators import MelAnalyzer

_WINDOW = 2048  # samples
_MAX_HZ = 5000.0  # highest frequency that is compared with the kernels
_NO_PITCH_STRENGTH = 0.2  # at or below it there is no pitch
_CLEAR_PITCH_STRENGTH = 0.4  # at or above it there certainly is one
_PRIMES = (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73)


def swipe_kernels(sample_rate: int) -> Tensor:
    """Return the kernels [K, P] of the candidate pitches.

    A kernel has a positive lobe at the pitch and at its prime harmonics, and half as deep valleys
    between. The weight falls with the square root of the frequency. The positive part has norm 1.

    Args:
        sample_rate: In Hz.
    """
    hertz = torch.arange(_WINDOW // 2 + 1) * (sample_rate / _WINDOW)
    ratio = hertz[:, None] / candidate_pitches()
    wave = torch.cos(2 * torch.pi * ratio)
    total = torch.zeros_like(ratio)
    for number in _PRIMES:
        distance = (ratio - number).abs()
        valley = torch.where(distance < 0.75, wave / 2, 0 * wave)
        total += torch.where(distance < 0.25, wave, valley)
    total *= (hertz < _MAX_HZ)[:, None] / hertz.clamp_min(1.0)[:, None].sqrt()
    return total / total.clamp_min(0).square().sum(0).sqrt()


@torch.no_grad()
def estimate_pitch(samples: Tensor, sample_rate: int, hop: int) -> tuple[Tensor, Tensor]:
    """Estimate the pitch of each frame.

    The strength of a candidate is the inner product of its kernel with the square root of the
    magnitudes, divided by their norm.

    Args:
        samples: [B, T hop].
        sample_rate: In Hz.
        hop: Samples per frame.

    Returns:
        Fractional index of the pitch in `candidate_pitches()`, [B, T]. Confidence that there is a
        pitch, from 0 to 1, [B, T].
    """
    loudness = _magnitudes(samples, hop).sqrt()
    kernels = swipe_kernels(sample_rate).to(samples)
    is_compared = kernels.abs().amax(1) > 0
    norm = (loudness * is_compared).square().sum(2, keepdim=True).clamp_min(1e-9).sqrt()
    strength = (loudness @ kernels) / norm
    best = strength.argmax(2, keepdim=True).clamp(1, strength.shape[2] - 2)
    left, middle, right = (strength.gather(2, best + offset)[..., 0] for offset in (-1, 0, 1))
    # the vertex of the parabola through the best candidate and its neighbors
    curvature = (left - 2 * middle + right).clamp(max=-1e-6)
    offset = (0.5 * (left - right) / curvature).clamp(-0.5, 0.5)
    confidence = (middle - _NO_PITCH_STRENGTH) / (_CLEAR_PITCH_STRENGTH - _NO_PITCH_STRENGTH)
    return best[..., 0] + offset, confidence.clamp(0, 1)


@torch.no_grad()
def harmonicity(
    samples: Tensor, pitch_index: Tensor, confidence: Tensor, analyzer: MelAnalyzer, hop: int
) -> Tensor:
    """Return how far each band has harmonics of the pitch, [B, T, F] from 0 to 1.

    It is 1 - 3 v / p. p is the power at the harmonic nearest to the band's center, v the mean power
    half a pitch below and above it. The confidence is a factor.

    Args:
        samples: [B, T hop].
        pitch_index: See `estimate_pitch`, [B, T].
        confidence: See `estimate_pitch`, [B, T].
        analyzer: Knows the bands.
        hop: Samples per frame.
    """
    power = _magnitudes(samples, hop).square() + 1e-8
    bin_hz = analyzer.sample_rate / _WINDOW
    pitch = (MIN_PITCH * torch.exp2(pitch_index / PITCHES_PER_OCTAVE))[..., None]
    number = (analyzer.centers / pitch).round().clamp(min=1)

    def power_at(hertz: Tensor) -> Tensor:
        position = (hertz / bin_hz).clamp(0, power.shape[2] - 1.001)
        below = position.floor().long()
        return torch.lerp(power.gather(2, below), power.gather(2, below + 1), position - below)

    valleys = (power_at((number - 0.5) * pitch) + power_at((number + 0.5) * pitch)) / 2
    return (1 - 3 * valleys / power_at(number * pitch)).clamp(min=0) * confidence[..., None]


def _magnitudes(samples: Tensor, hop: int) -> Tensor:
    """[B, T hop] -> magnitudes [B, T, K]."""
    return magnitudes(pad(samples, ((_WINDOW - hop) // 2,) * 2), _WINDOW, hop, 0)
