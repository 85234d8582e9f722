"""The inverse-STFT vocoder in operations that ONNX has.

ONNX graphs have no complex numbers and no loops over blocks. Here a spectrum is real parts, then
imaginary parts. Both Fourier transforms are convolutions. The pitch filter and the oscillators
compute all frames at once. The results equal those of `models.istft_vocoder` but for rounding.

B batch, T mel frames, F mel bins (bands), K STFT bins, N samples, G frames that are pooled, P
pooled frames, A neighbors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.istft_vocoder import InverseSTFT, ISTFTVocoder
from ..models.oscillators import (
    FILTER_ROUNDS,
    POOL_FRAMES,
    SAME_NOTE_LOG_RATIO,
    at_borders,
    bilateral_step,
    log_ratio,
)

NOISE = "noise"
"""Name of the vocoder's noise in its graph."""

NOISE_BLOCK = 16
"""torch draws normal numbers in blocks. The noise of a clip of whole blocks begins that of a longer
clip."""


class VocoderGraph(nn.Module):
    """A log-mel to samples, for clips of one section.

    Attributes:
        noise: The noise of the vocoder for the longest clip, [1, (T - 1) hop + n_fft].
    """

    noise: Tensor

    def __init__(self, vocoder: ISTFTVocoder, max_frames: int) -> None:
        """Prepare the graph.

        Args:
            vocoder: The vocoder.
            max_frames: Mel frames T of the longest clip.
        """
        super().__init__()
        self.vocoder = vocoder
        self.register_buffer(NOISE, vocoder.fixed_noise(max_frames))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Generate samples.

        Args:
            log_mel: [1, 1, T, F].

        Returns:
            Samples [1, T hop], not clipped.
        """
        vocoder = self.vocoder
        hop = vocoder.inverse.hop_length
        num_samples = (log_mel.shape[2] - 1) * hop + vocoder.inverse.n_fft
        noise = self.noise[:, :num_samples]
        controls = vocoder.predict_controls(log_mel[:, 0], polar)
        spectrum = _scale(stft(noise, vocoder.inverse), controls.noise_magnitude)
        spectrum = controls.coherent + spectrum
        samples = inverse_stft(spectrum, vocoder.inverse)
        amplitude = controls.amplitudes()
        pitches = controls.pitches()
        bands = log_mel.shape[3]
        if vocoder.pitch_smoothing_frames:
            steady = stabilize_pitch(
                pitches[..., :bands],
                amplitude[..., :bands],
                vocoder.pitch_smoothing_frames,
                vocoder.mel_analyzer.centers,
            )
            pitches = torch.cat([steady, pitches[..., bands:]], dim=2)
        if vocoder.harmonics is not None:
            harmonics = pitches[..., -1:] * vocoder.harmonics.numbers
            pitches = torch.cat([pitches[..., :-1], harmonics], dim=2)
        sines = oscillators(pitches / vocoder.mel_analyzer.sample_rate, amplitude, hop)
        if controls.attacks is None:
            return samples + sines
        inverse = vocoder.attack_inverse
        edge = (vocoder.inverse.n_fft - hop) // 2 - (inverse.n_fft - inverse.hop_length) // 2
        spectrum = stft(noise[:, edge : noise.shape[1] - edge], inverse)
        spectrum = _scale(spectrum, controls.attacks.noise_magnitude)
        spectrum = controls.attacks.coherent + spectrum
        attacks = inverse_stft(spectrum, inverse)
        return (samples + sines) * controls.attacks.long_gain + attacks


def polar(magnitude: Tensor, phase: Tensor) -> Tensor:
    """Magnitudes and phases [B, T, K] -> real, then imaginary parts [B, T, 2 K]."""
    return torch.cat([magnitude * phase.cos(), magnitude * phase.sin()], dim=2)


def _scale(spectrum: Tensor, magnitude: Tensor) -> Tensor:
    """Multiply a spectrum [B, T, 2 K] by magnitudes [B, T, K]."""
    return spectrum * torch.cat([magnitude, magnitude], dim=2)


def _fourier_rows(n_fft: int) -> Tensor:
    """Cosines, then negative sines, of every bin: [2 K, n_fft]."""
    # whole turns are removed from the angles before they are rounded to float32
    turns = torch.outer(torch.arange(n_fft // 2 + 1), torch.arange(n_fft)).remainder(n_fft)
    angles = turns.float() * (2 * math.pi / n_fft)
    return torch.cat([angles.cos(), -angles.sin()])


def stft(noise: Tensor, inverse: InverseSTFT) -> Tensor:
    """STFT [1, T, 2 K], of mean magnitude 1, of normal noise [1, N]; see `noise_stft`."""
    window = inverse.window
    scale = (window.square().sum() * math.pi / 4).sqrt()
    rows = _fourier_rows(inverse.n_fft) * (window / scale)
    return F.conv1d(noise[:, None], rows[:, None], stride=inverse.hop_length).transpose(1, 2)


def inverse_stft(spectrum: Tensor, inverse: InverseSTFT) -> Tensor:
    """Spectrum [1, T, 2 K] -> samples [1, T hop]; see `InverseSTFT`."""
    n_fft = inverse.n_fft
    hop = inverse.hop_length
    num_bins = n_fft // 2 + 1
    # all bins but the first and the last stand for two
    counts = torch.full((num_bins,), 2.0)
    counts[0] = 1.0
    counts[-1] = 1.0
    rows = _fourier_rows(n_fft) * torch.cat([counts, counts])[:, None] * (inverse.window / n_fft)
    summed = F.conv_transpose1d(spectrum.transpose(1, 2), rows[:, None], stride=hop)
    ones = torch.ones_like(spectrum[:, None, :, 0])
    envelope = F.conv_transpose1d(ones, inverse.window.square()[None, None], stride=hop)
    edge = (n_fft - hop) // 2
    samples = summed[:, 0, edge:-edge]
    return samples / envelope[:, 0, edge:-edge]


def stabilize_pitch(frequency: Tensor, loudness: Tensor, reach: int, reference: Tensor) -> Tensor:
    """Hold wavering frequencies [1, T, F] at one pitch; see `models.oscillators`.

    T is a multiple of `POOL_FRAMES`.
    """
    arms = -(-reach // POOL_FRAMES)
    original = log_ratio(frequency, reference)
    pitch = original.transpose(1, 2).unflatten(2, (-1, POOL_FRAMES))
    weight = loudness.transpose(1, 2).unflatten(2, (-1, POOL_FRAMES))
    total = weight.sum(3)
    nearness = torch.hann_window(2 * arms + 3, periodic=False)[1:-1]
    # pooled frame p has the neighbors p to p + 2 arms of the padded sequence
    neighbors = torch.arange(total.shape[2])[:, None] + torch.arange(2 * arms + 1)
    levels = F.pad(total, (arms, arms))[:, :, neighbors] * nearness
    for _ in range(FILTER_ROUNDS):
        pooled = (pitch * weight).sum(3) / total.clamp_min(1e-20)
        pitch = bilateral_step(pitch, F.pad(pooled, (arms, arms))[:, :, neighbors], levels)
    moved = pitch.flatten(2).transpose(1, 2) - original
    limit = torch.exp(-0.5 * (moved / (2 * SAME_NOTE_LOG_RATIO)).square())
    return frequency * torch.exp(moved * limit)


def oscillators(frequency: Tensor, amplitude: Tensor, hop: int) -> Tensor:
    """Sines of frequencies [1, T, S] in cycles per sample -> samples [1, T hop].

    See `models.oscillators.oscillator_bank`.
    """
    pitch = at_borders(frequency)
    level = at_borders(amplitude)
    cycles = ((pitch[:, 1:] + pitch[:, :-1]) * (hop / 2)).remainder(1)
    # in float64: a sum of 1,000 frames in float32 would be out of phase
    start = cycles.double().cumsum(1).float() - cycles
    n = torch.arange(hop, dtype=torch.float32)
    rate = pitch[:, :-1, :, None]
    slope = (pitch[:, 1:, :, None] - rate) / (2 * hop)
    phase = start[..., None] + rate * n + slope * (n * n)
    gain = level[:, :-1]
    ramp = torch.stack([gain, (level[:, 1:] - gain) / hop], dim=2)
    constant, growing = (ramp @ torch.sin(2 * math.pi * phase)).unbind(2)
    return (constant + growing * n).flatten(1)
