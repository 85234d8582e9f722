"""The three front ends of the system (spec 1.1, 1.3, 1.4).

Knows waveforms [B, T] float32 and what each published front end makes of them. Refuses to know files and networks.

Letters: B batch, T samples, L frames, F bands, K FFT bins.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..config.architecture import MelSpec, mel_edges

Framing: TypeAlias = Literal["vocoder", "centred"]
Ear: TypeAlias = Literal["tile", "stretch"]

CLAP_RATE = 48000
FBANK_MEAN, FBANK_STD = -4.2677393, 4.5689974
_FBANK_FRAME, _FBANK_HOP, _FBANK_FFT = 400, 160, 512


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # kept for callers that need gradients too
def filterbank(rate: int, n_fft: int, bins: int, fmin: float, fmax: float) -> Tensor:
    """Slaney mel filters with Slaney area normalisation, [F, K] float32 (what librosa.filters.mel makes by default)."""
    edges = np.array(mel_edges(bins, fmin, fmax))
    bins_hz = np.linspace(0.0, rate / 2, n_fft // 2 + 1)
    ramps = edges[:, None] - bins_hz[None, :]
    widths = np.diff(edges)
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return torch.from_numpy(
        (np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)
    )


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # kept for callers that need gradients too
def _hann(size: int, periodic: bool) -> Tensor:
    return torch.hann_window(size, periodic=periodic)


def magnitudes(samples: Tensor, n_fft: int, hop: int, edge: int) -> Tensor:
    """|STFT| of [B, T] after reflecting `edge` samples at both ends; periodic Hann, un-centred: [B, L, K]."""
    padded = pad(samples[:, None], (edge, edge), mode="reflect")[:, 0] if edge else samples
    window = _hann(n_fft, True).to(samples)
    return (
        torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True)
        .abs()
        .transpose(1, 2)
    )


def vae_mel(samples: Tensor, spec: MelSpec, framing: Framing = "vocoder") -> Tensor:
    """Natural-log mel of the VAE and the vocoder (spec 1.1).

    samples: [B, T] in [-1, 1] at spec.rate -> [B, 1, L, F]. "vocoder" framing (training, HiFi-GAN): L = T // hop;
    "centred" (published editing path): every frame 80 samples (16 kHz) earlier, L = T // hop + 1.
    """
    edge = (spec.n_fft - spec.hop) // 2 if framing == "vocoder" else spec.n_fft // 2
    bank = filterbank(spec.rate, spec.n_fft, spec.bins, spec.fmin, spec.fmax).to(samples)
    mel = magnitudes(samples, spec.n_fft, spec.hop, edge) @ bank.T
    return mel.clamp_min(spec.floor).log()[:, None]


def clap_mel(samples: Tensor, ear: Ear = "tile") -> Tensor:
    """CLAP's decibel mel (spec 1.4): [B, T] at 48 kHz -> [B, 1, L, 64], L = 1 + T // 480, at most 1001.

    Clips longer than 10 s are cut. Shorter ones are tiled a whole number of times and zero-padded to it ("repeatpad"), or with
    "stretch" left as they are, for the network to stretch, as the authors' second version does.
    """
    target = 10 * CLAP_RATE
    if ear == "tile" and samples.shape[1] < target:
        samples = samples.repeat(1, max(1, target // max(1, samples.shape[1])))
        samples = pad(samples, (0, target - samples.shape[1]))
    samples = samples[:, :target]
    bank = filterbank(CLAP_RATE, 1024, 64, 50.0, 14000.0).to(samples)
    power = magnitudes(samples, 1024, 480, 512).square() @ bank.T
    return 10.0 * power.clamp_min(1e-10).log10()[:, None]


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # kept for callers that need gradients too
def _kaldi_bank() -> Tensor:
    """Kaldi's triangular filters on its own mel scale, 20 Hz to Nyquist at 16 kHz, [128, 256] (no Nyquist bin)."""

    def mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log(1.0 + hertz / 700.0)

    edges = np.linspace(mel(np.array(20.0)), mel(np.array(8000.0)), 130)
    bins = mel(np.arange(_FBANK_FFT // 2) * 16000.0 / _FBANK_FFT)[None, :]
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(
        0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    )
    return torch.from_numpy(bank.astype(np.float32))


def kaldi_fbank(samples: Tensor, frames: int) -> Tensor:
    """AudioMAE's normalised Kaldi filterbank (spec 1.3): [B, T] at 16 kHz -> [B, 1, frames, 128].

    Padding or cutting to `frames` happens before normalisation, so that padded rows become +0.467.
    """
    samples = samples - samples.mean(dim=1, keepdim=True)
    if samples.shape[1] < _FBANK_FRAME:
        samples = pad(samples, (0, _FBANK_FRAME - samples.shape[1]))
    cut = samples.unfold(1, _FBANK_FRAME, _FBANK_HOP)
    cut = cut - cut.mean(dim=2, keepdim=True)
    before = torch.cat([cut[..., :1], cut[..., :-1]], dim=2)
    windowed = (cut - 0.97 * before) * _hann(_FBANK_FRAME, False).to(samples)
    power = torch.fft.rfft(windowed, _FBANK_FFT).abs().square()[..., : _FBANK_FFT // 2]
    energies = (power @ _kaldi_bank().to(samples).T).clamp_min(torch.finfo(torch.float32).eps).log()
    fitted = pad(energies, (0, 0, 0, max(0, frames - energies.shape[1])))[:, :frames]
    return ((fitted - FBANK_MEAN) / (2 * FBANK_STD))[:, None]
