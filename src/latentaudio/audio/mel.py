"""Mel front ends of the VAE and vocoder, of CLAP and of AudioMAE (numerics: mel front ends).

Letters: B batch, T samples, L frames, F mel bands, K FFT bins.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..config.architecture import CLAPMelSpec, MelSpec, mel_edges
from ..config.reference import CLAPPadding, MelFraming

CLAP_RATE = 48000  # Hz
_CLAP_FLOOR = 1e-10  # of the power, before decibels

AUDIOMAE_RATE = 16000  # Hz
FBANK_MEAN = -4.2677393  # of AudioMAE's training data
FBANK_STD = 4.5689974
_FBANK_FRAME = 400  # samples at 16 kHz: 25 ms
_FBANK_HOP = 160
_FBANK_N_FFT = 512
_FBANK_N_MELS = 128
_FBANK_PREEMPHASIS = 0.97


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # cached for callers that need gradients too
def filterbank(sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> Tensor:
    """Return Slaney mel filters with area normalization, the default of `librosa.filters.mel`.

    Args:
        sample_rate: Samples per second.
        n_fft: Size of the FFT, K = n_fft // 2 + 1.
        n_mels: Number of bands F.
        fmin: Lowest edge in Hz.
        fmax: Highest edge in Hz.

    Returns:
        [F, K] float32.
    """
    edges = np.array(mel_edges(n_mels, fmin, fmax))
    area = 2.0 / (edges[2:] - edges[:-2])
    bank = _triangles(edges, sample_rate, n_fft) * area[:, None]
    return torch.from_numpy(bank.astype(np.float32))


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # cached for callers that need gradients too
def htk_filterbank(sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> Tensor:
    """Return mel filters on the HTK scale without normalization, the default of torchaudio.

    Arguments and result are those of `filterbank`.
    """
    limits = 2595.0 * np.log10(1.0 + np.array([fmin, fmax]) / 700.0)
    mels = np.linspace(limits[0], limits[1], n_mels + 2)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    return torch.from_numpy(_triangles(edges, sample_rate, n_fft).astype(np.float32))


def _triangles(edges: np.ndarray, sample_rate: int, n_fft: int) -> np.ndarray:
    """Triangular filters [F, K] between corner frequencies [F + 2] in Hz, of height 1."""
    bins_hz = np.linspace(0.0, sample_rate / 2, n_fft // 2 + 1)
    ramps = edges[:, None] - bins_hz[None, :]
    widths = np.diff(edges)
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # cached for callers that need gradients too
def _hann(size: int, periodic: bool) -> Tensor:
    return torch.hann_window(size, periodic=periodic)


def magnitudes(samples: Tensor, n_fft: int, hop_length: int, padding: int) -> Tensor:
    """Return the magnitudes of an STFT with a periodic Hann window, frames not centered.

    Args:
        samples: [B, T].
        n_fft: Size of window and FFT.
        hop_length: Samples between frames.
        padding: Samples by which both ends are reflected first.

    Returns:
        [B, L, K].
    """
    if padding:
        samples = pad(samples[:, None], (padding, padding), mode="reflect")[:, 0]
    window = _hann(n_fft, True).to(samples)
    stft = torch.stft(samples, n_fft, hop_length, window=window, center=False, return_complex=True)
    return stft.abs().transpose(1, 2)


def vae_mel(samples: Tensor, spec: MelSpec, framing: MelFraming = "vocoder") -> Tensor:
    """Return the natural-log mel of the VAE and the vocoder.

    Args:
        samples: [B, T] in [-1, 1] at `spec.sample_rate`.
        spec: The front end.
        framing: "vocoder" as in training: L = T // hop. "centered" as in the authors' editing:
            every frame is 80 samples (at 16 kHz) earlier, L = T // hop + 1.

    Returns:
        [B, 1, L, F].
    """
    overlap = spec.n_fft - spec.hop_length if framing == "vocoder" else spec.n_fft
    padding = overlap // 2
    bank = filterbank(spec.sample_rate, spec.n_fft, spec.n_mels, spec.fmin, spec.fmax).to(samples)
    mel = magnitudes(samples, spec.n_fft, spec.hop_length, padding) @ bank.T
    return mel.clamp_min(spec.floor).log()[:, None]


def clap_mel(
    samples: Tensor, padding: CLAPPadding = "repeatpad", spec: CLAPMelSpec | None = None
) -> Tensor:
    """Return CLAP's mel in decibels (numerics: CLAP).

    Clips longer than 10 s are cut.

    Args:
        samples: [B, T] at 48 kHz.
        padding: "repeatpad": a shorter clip is repeated a whole number of times and zero-padded to
            10 s. "stretch": it is left as it is, and the network stretches it, as in the second
            version of the authors' code.
        spec: The front end; its own `padding` wins over the argument. None: as published.

    Returns:
        [B, 1, L, 64] with L = 1 + T // 480, at most 1001.
    """
    spec = spec or CLAPMelSpec()
    samples = _pad_clap_clip(samples, spec.padding or padding, int(spec.duration_s * CLAP_RATE))
    make_bank = htk_filterbank if spec.is_fusion else filterbank
    bank = make_bank(CLAP_RATE, spec.n_fft, spec.n_mels, spec.fmin, spec.fmax).to(samples)
    power = magnitudes(samples, spec.n_fft, spec.hop_length, spec.n_fft // 2).square() @ bank.T
    return 10.0 * power.clamp_min(_CLAP_FLOOR).log10()[:, None]


def _pad_clap_clip(samples: Tensor, padding: str, target: int) -> Tensor:
    """Samples [B, T], padded to `target` samples unless `padding` is "stretch", and cut to it."""
    length = samples.shape[1]
    if length < target and padding != "stretch":
        num_copies = target // max(1, length)
        if padding == "repeat":
            samples = samples.repeat(1, num_copies + 1)[:, :target]
        elif padding == "repeatpad":
            samples = samples.repeat(1, max(1, num_copies))
        samples = pad(samples, (0, target - samples.shape[1]))
    return samples[:, :target]


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # cached for callers that need gradients too
def _kaldi_bank() -> Tensor:
    """Kaldi's triangular filters on its own mel scale, 20 Hz to 8 kHz: [128, 256]."""

    def to_mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log(1.0 + hertz / 700.0)

    edges = np.linspace(to_mel(np.array(20.0)), to_mel(np.array(8000.0)), _FBANK_N_MELS + 2)
    bins = to_mel(np.arange(_FBANK_N_FFT // 2) * 16000.0 / _FBANK_N_FFT)[None, :]
    left = edges[:-2, None]
    center = edges[1:-1, None]
    right = edges[2:, None]
    rising = (bins - left) / (center - left)
    falling = (right - bins) / (right - center)
    bank = np.maximum(0.0, np.minimum(rising, falling))
    return torch.from_numpy(bank.astype(np.float32))


def kaldi_fbank(samples: Tensor, num_frames: int) -> Tensor:
    """Return AudioMAE's normalized Kaldi filterbank (numerics: AudioMAE).

    Padding or cutting comes before normalization, so that padded frames become +0.467.

    Args:
        samples: [B, T] at 16 kHz.
        num_frames: Frames L of the result.

    Returns:
        [B, 1, L, 128].
    """
    samples = samples - samples.mean(dim=1, keepdim=True)
    if samples.shape[1] < _FBANK_FRAME:
        samples = pad(samples, (0, _FBANK_FRAME - samples.shape[1]))
    frames = samples.unfold(1, _FBANK_FRAME, _FBANK_HOP)
    frames = frames - frames.mean(dim=2, keepdim=True)
    # Pre-emphasis inside each frame; the sample before the first is the first itself.
    previous = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
    windowed = (frames - _FBANK_PREEMPHASIS * previous) * _hann(_FBANK_FRAME, False).to(samples)
    power = torch.fft.rfft(windowed, _FBANK_N_FFT).abs().square()[..., : _FBANK_N_FFT // 2]
    energies = power @ _kaldi_bank().to(samples).T
    log_energies = energies.clamp_min(torch.finfo(torch.float32).eps).log()
    missing = max(0, num_frames - log_energies.shape[1])
    log_energies = pad(log_energies, (0, 0, 0, missing))[:, :num_frames]
    return ((log_energies - FBANK_MEAN) / (2 * FBANK_STD))[:, None]
