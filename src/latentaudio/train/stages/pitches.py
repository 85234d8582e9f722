"""Which pitch a sound has, to teach a vocoder's harmonics: SWIPE' (Camacho and Harris 2008) on a linear scale.

B batch, T frames, N samples, K STFT bins, P pitches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, pad

from ...audio.mel import magnitudes
from ...nn.harmonics import LOWEST, STEPS, HarmonicControls, pitches
from ...nn.sources import MelReader

_WINDOW, _TOP = 2048, 5000.0  # samples, Hz
_WEAK, _STRONG = 0.2, 0.4  # pitch strength: none below, certain above
_WIDTH = 0.7  # deviation of the target, in steps of the grid
_PRIMES = (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73)


def kernels(rate: int) -> Tensor:
    """Kernels [K, P]: lobes at a pitch and its prime harmonics, valleys between, falling with the root of frequency."""
    hertz, grid = torch.arange(_WINDOW // 2 + 1) * (rate / _WINDOW), pitches()
    ratio = hertz[:, None] / grid
    total = torch.zeros_like(ratio)
    for k in _PRIMES:
        apart = (ratio - k).abs()
        lobe = torch.cos(2 * torch.pi * ratio)
        total += torch.where(apart < 0.25, lobe, torch.where(apart < 0.75, lobe / 2, 0 * lobe))
    total *= (hertz < _TOP)[:, None] / hertz.clamp_min(1.0)[:, None].sqrt()
    return total / total.clamp_min(0).square().sum(0).sqrt()


@torch.no_grad()
def pitch_of(samples: Tensor, rate: int, hop: int) -> tuple[Tensor, Tensor]:
    """samples [B, T hop] -> (place of the pitch on the grid [B, T], how sure that there is one, [B, T] from 0 to 1)."""
    size = magnitudes(pad(samples, ((_WINDOW - hop) // 2,) * 2), _WINDOW, hop, 0).sqrt()
    bank = kernels(rate).to(samples)
    strength = (size @ bank) / (size * (bank.abs().amax(1) > 0)).square().sum(2, keepdim=True).clamp_min(1e-9).sqrt()
    best = strength.argmax(2, keepdim=True).clamp(1, strength.shape[2] - 2)
    left, middle, right = (strength.gather(2, best + k)[..., 0] for k in (-1, 0, 1))
    bend = (left - 2 * middle + right).clamp(max=-1e-6)
    shift = (0.5 * (left - right) / bend).clamp(-0.5, 0.5)
    return best[..., 0] + shift, ((middle - _WEAK) / (_STRONG - _WEAK)).clamp(0, 1)


@torch.no_grad()
def harmonicity(samples: Tensor, place: Tensor, sure: Tensor, reader: MelReader, hop: int) -> Tensor:
    """How far each band carries harmonics of the pitch rather than noise, [B, T, F] from 0 to 1.

    samples [B, T hop]; place, sure: see `pitch_of`. Power between the harmonics about a band's centre is held against theirs.
    """
    power = magnitudes(pad(samples, ((_WINDOW - hop) // 2,) * 2), _WINDOW, hop, 0).square() + 1e-8
    spacing, pitch = reader.rate / _WINDOW, (LOWEST * torch.exp2(place / STEPS))[..., None]
    number = (reader.centres / pitch).round().clamp(min=1)

    def at(hertz: Tensor) -> Tensor:
        where = (hertz / spacing).clamp(0, power.shape[2] - 1.001)
        low = where.floor().long()
        return torch.lerp(power.gather(2, low), power.gather(2, low + 1), where - low)

    between = (at((number - 0.5) * pitch) + at((number + 0.5) * pitch)) / 2
    found = (1 - 3 * between / at(number * pitch)).clamp(min=0)
    return found * sure[..., None]


def mistaken(controls: HarmonicControls, place: Tensor, sure: Tensor) -> Tensor:
    """Cross-entropy of the scores against a bell around the true place on the grid, where there surely is a pitch."""
    grid = torch.arange(controls.scores.shape[2], device=place.device)
    target = torch.softmax(-0.5 * ((grid - place[..., None]) / _WIDTH).square(), 2)
    lost = -(target * log_softmax(controls.scores, 2)).sum(2)
    return (sure * lost).sum() / (sure.sum() + 1)


def unpitched_share(controls: HarmonicControls, mel: Tensor, reader: MelReader, sure: Tensor) -> Tensor:
    """How much of log-mel [B, 1, T, F] harmonics play where there is no pitch."""
    played = ((1 - sure)[..., None] * controls.amplitude).sum((1, 2))
    return (played / (reader.tones(mel[:, 0].exp())[1].sum((1, 2)) + 1e-5)).mean()
