"""An inverse-STFT vocoder with noise and sine sources.

Log-mel to samples, for small models, fast on a CPU.

ConvNeXt blocks at the frame rate predict the parameters of one inverse STFT (Vocos, arXiv
2306.00814), of filtered noise and of a bank of oscillators. Long clips are synthesized in sections,
of which the network sees chunks; the result does not depend on either.

B batch, T mel frames, F mel bins (bands), N samples, C channels, K STFT bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.architecture import VocoderConfig
from .oscillators import FILTER_ROUNDS, MelAnalyzer, noise_stft, oscillator_bank, stabilize_pitch
from .tiling import apply_chunked

CHUNK_FRAMES = 1024
"""Mel frames that the network processes at once, besides margins."""

SECTION_FRAMES = 8192
"""Mel frames that are synthesized at once, besides margins."""

INITIAL_LOG_GAIN = -2.0
"""Natural logarithm of the learned parts' gain at the start of training: quiet beside the untrained
noise vocoder."""

MAX_LOG_GAIN = 5.0
"""Upper limit of that logarithm, so that a bad training step cannot produce extreme levels."""

WEIGHT_STD = 0.02


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron over channels, scaled and added.

    See arXiv 2201.03545.
    """

    def __init__(self, channels: int, ffn_dim: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, ffn_dim)
        self.project = nn.Linear(ffn_dim, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.scale * self.project(F.gelu(self.expand(y)))
        out: Tensor = x + y.transpose(1, 2)
        return out


class InverseSTFT(nn.Module):
    """Overlap-add with "same" framing.

    Frame t is centered on sample (t + 1/2) hop, so T frames make exactly T hop samples.

    The mel front end has the same framing: (n_fft - hop) / 2 samples of padding on each side
    (numerics: mel front ends).
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        assert (n_fft - hop_length) % 2 == 0, "framing needs n_fft - hop_length to be even"
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.register_buffer("window", torch.hann_window(n_fft, device="cpu"), persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        """spectrum [B, T, K] complex -> samples [B, T hop], the least-squares inverse.

        Griffin and Lim 1984, equation 6.
        """
        frames = torch.fft.irfft(spectrum, self.n_fft) * self.window
        envelope = self.window.square().expand(1, frames.shape[1], -1)
        return self._overlap_add(frames) / self._overlap_add(envelope)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """[B, T, n_fft] -> [B, T hop], without the padding at both ends."""
        batch, count, _ = frames.shape
        length = (count - 1) * self.hop_length + self.n_fft
        stride = (1, self.hop_length)
        summed = F.fold(frames.transpose(1, 2), (1, length), (1, self.n_fft), stride=stride)
        edge = (self.n_fft - self.hop_length) // 2
        return summed.reshape(batch, length)[:, edge : length - edge]


class ISTFTVocoder(nn.Module):
    """Vocos with sources: the sum of an inverse STFT, noise per band, and one sine per band.

    All three are relative to what `MelAnalyzer` computes from the mel, so that the untrained
    vocoder already is a noise vocoder. The STFT's predicted magnitude and phase give attacks and
    anything coherent. With `pitch_smoothing_frames` a sine whose pitch only wavers is held steady.

    Attributes:
        margin: Mel frames to either side that all but the sines depend on, at most.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.pitch_smoothing_frames = config.pitch_smoothing_frames
        num_bins = config.n_fft // 2 + 1
        # log gain and phase of the coherent part; log gains of noise and sines; shift of the sines'
        # frequency
        self.sizes = [num_bins] * 2 + [config.n_mels] * 3
        self.embed = nn.Conv1d(config.n_mels, config.channels, 7, padding=3)
        self.norm_in = nn.LayerNorm(config.channels, eps=1e-6)
        self.blocks = nn.Sequential(
            *(
                ConvNeXtBlock(config.channels, config.ffn_dim, 1 / config.num_layers)
                for _ in range(config.num_layers)
            )
        )
        self.norm_out = nn.LayerNorm(config.channels, eps=1e-6)
        self.head = nn.Linear(config.channels, sum(self.sizes))
        self.mel_analyzer = MelAnalyzer(config)
        self.inverse = InverseSTFT(config.n_fft, config.hop_length)
        self.margin = 3 * (1 + config.num_layers) + math.ceil(config.n_fft / config.hop_length)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.trunc_normal_(parameter, std=WEIGHT_STD)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel [B, 1, T, F] -> samples [B, 1, T hop], not clipped.

        Deterministic, but for new noise in training.
        """
        return self.synthesize(log_mel)[0]

    def synthesize(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Generate samples, section by section.

        Args:
            log_mel: [B, 1, T, F].

        Returns:
            Samples [B, 1, T hop], and the frequency in Hz [B, T, F] of every band's sine in them.
        """
        batch, _, num_frames, bands = log_mel.shape
        hop = self.inverse.hop_length
        # frames beside a section that its samples depend on, a multiple of 8
        beside = -(-(self.margin + FILTER_ROUNDS * self.pitch_smoothing_frames) // 8 + 1) * 8
        noise = self._noise(batch, num_frames).to(log_mel.device)
        phase = None  # of the sines where a section begins; one section needs none
        if num_frames > SECTION_FRAMES:
            phase = torch.zeros(batch, bands, device=log_mel.device)
        output = noise.new_empty(batch, num_frames * hop)
        frequencies = noise.new_empty(batch, num_frames, bands)
        for first in range(0, num_frames, SECTION_FRAMES):
            last = min(first + SECTION_FRAMES, num_frames)
            low = max(0, first - beside)
            high = min(num_frames, last + beside)
            section_noise = noise[:, low * hop : (high - 1) * hop + self.inverse.n_fft]
            predicted = self._predict_section(log_mel[:, :, low:high], section_noise)
            predicted = predicted.transpose(1, 2)
            samples = predicted[..., :hop]
            frequency = predicted[..., hop:-bands]
            amplitude = predicted[..., -bands:]
            if self.pitch_smoothing_frames:
                frequency = stabilize_pitch(frequency, amplitude, self.pitch_smoothing_frames)
            # the oscillators also need one neighbor frame at each inner end of the section
            before = min(first, 1)
            behind = min(num_frames - last, 1)
            current = slice(first - before - low, last + behind - low)
            cycles_per_sample = frequency[:, current] / self.mel_analyzer.sample_rate
            sines = oscillator_bank(
                cycles_per_sample, amplitude[:, current], hop, phase, before, behind
            )
            stft_part = samples[:, first - low : last - low].flatten(1)
            output[:, first * hop : last * hop] = sines.add_(stft_part)
            frequencies[:, first:last] = frequency[:, first - low : last - low]
        return output.unsqueeze(1), frequencies

    def _predict_section(self, log_mel: Tensor, noise: Tensor) -> Tensor:
        """`_predict` of log-mel [B, 1, T, F] and noise [B, (T - 1) hop + n_fft], chunk by chunk.

        The result is [B, hop + 2F, T].
        """
        hop = self.inverse.hop_length

        def predict_chunk(positions: Tensor) -> Tensor:
            first = int(positions[0, 0, 0])
            last = int(positions[0, 0, -1]) + 1
            chunk = noise[:, first * hop : (last - 1) * hop + self.inverse.n_fft]
            spectrum = noise_stft(chunk, hop, self.inverse.window)
            return self._predict(log_mel[:, 0, first:last], spectrum)

        # positions stand for the inputs, which have two different lengths
        positions = torch.arange(log_mel.shape[2]).view(1, 1, -1)
        return apply_chunked(
            predict_chunk, positions, CHUNK_FRAMES + 2 * self.margin, self.margin, 1
        )

    def _predict(self, log_mel: Tensor, noise: Tensor) -> Tensor:
        """Samples without sines, frequency in Hz and amplitude of the sines, side by side.

        The result is [B, hop + 2F, T].

        log_mel: [B, T, F]. noise: [B, T, K].
        """
        x = self.embed(log_mel.transpose(1, 2))
        x = self.norm_in(x.transpose(1, 2)).transpose(1, 2)
        x = self.norm_out(self.blocks(x).transpose(1, 2))
        # in float32: 8 bits of mantissa are too few for phase, and FFTs do not support bf16
        with torch.autocast(x.device.type, enabled=False):
            mel = log_mel.float().exp()
            controls = self.head(x.float())
            coherent, phase, noise_level, sine_level, bend = torch.split(
                controls, self.sizes, dim=-1
            )
            analyzer = self.mel_analyzer
            spectrum = torch.polar(
                analyzer.envelope(mel) * _gain(coherent, INITIAL_LOG_GAIN), phase
            )
            spectrum = spectrum + analyzer.envelope(mel * _gain(noise_level, 0.0)) * noise
            frequency, amplitude = analyzer.estimate_tones(mel)
            # a sine may move by half a band
            frequency = frequency + torch.tanh(bend / 10) * analyzer.half_widths
            amplitude = amplitude * _gain(sine_level, INITIAL_LOG_GAIN)
            samples = self.inverse(spectrum).unflatten(1, (-1, self.inverse.hop_length))
            return torch.cat([samples, frequency, amplitude], dim=2).transpose(1, 2)

    def _noise(self, batch: int, num_frames: int) -> Tensor:
        """New noise for every item in training.

        Otherwise the same noise [1, N] for every item and call, from the fixed seed 0. The seed of
        a request does not change it.
        """
        generator = None if self.training else torch.Generator().manual_seed(0)
        length = (num_frames - 1) * self.inverse.hop_length + self.inverse.n_fft
        size = batch if self.training else 1
        return torch.randn(size, length, generator=generator, device="cpu")


def _gain(control: Tensor, start: float) -> Tensor:
    """A factor of e^start at control 0, growing exponentially up to e^MAX_LOG_GAIN."""
    return (control + start).clamp(max=MAX_LOG_GAIN).exp()
