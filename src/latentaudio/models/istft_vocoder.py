"""From log-mel to sound: HiFi-GAN (published models) and an inverse-STFT vocoder (small models, fast on a CPU).

Knows both generators and how they frame time. Refuses to know losses, discriminators, weights files and what a mel means.

B batch, T mel frames, F mel bins, N samples, C channels, K STFT bins. Spec section 3; Vocos is arXiv 2306.00814.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.architecture import VocoderConfig
from .cpu_packing import fused_add, fused_leaky_relu
from .oscillators import ROUNDS, MelAnalyzer, stabilize_pitch, noise_stft, oscillator_bank
from .tiling import apply_chunked

LEAK = 0.1
_PIECE, _SECTION = (
    1024,
    8192,
)  # mel frames, and margins, that the inverse-STFT vocoder shapes, and sings, at once
QUIET, LOUDEST = (
    -2.0,
    5.0,
)  # natural logs of gain: where the learned parts begin, and where they end lest one step deafens


def build_vocoder(config: VocoderConfig) -> nn.Module:
    """The generator `config` describes: a module from log-mel [B, 1, T, F] to samples [B, 1, N] in float32."""
    return ISTFTVocoder(config) if config.kind == "istft" else HiFiGAN(config)


class HiFiGANResBlock(nn.Module):
    """HiFi-GAN's residual block of type "1": a dilated and a plain convolution per dilation."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding="same", dilation=d) for d in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding="same") for _ in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = fused_add(plain, fused_leaky_relu(dilated, F.leaky_relu(x, LEAK), LEAK), x)
        return x


class HiFiGAN(nn.Module):
    """HiFi-GAN generator (arXiv 2010.05646; spec 3)."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        width = config.channels
        self.conv_pre = nn.Conv1d(config.n_mels, width, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(
                nn.ConvTranspose1d(width, width // 2, kernel, rate, padding=(kernel - rate) // 2)
            )
            width //= 2
            self.resblocks.extend(
                HiFiGANResBlock(width, k, config.resblock_dilations) for k in config.resblock_kernel_sizes
            )
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3)
        self.parallel = len(config.resblock_kernel_sizes)
        self.hop = math.prod(config.upsample_rates)
        self.margin = self._reach(config)
        """Mel frames to either side that a sample depends on, at most."""
        for module in (*self.ups.modules(), *self.resblocks.modules(), self.conv_post):
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                nn.init.normal_(module.weight, 0.0, 0.01)

    @staticmethod
    def _reach(config: VocoderConfig) -> int:
        """Every layer's reach, each in frames of its own rate, summed."""
        wide = max(config.resblock_kernel_sizes) // 2 * sum(d + 1 for d in config.resblock_dilations)
        reach, rate = 3.0, 1
        for factor, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            rate *= factor
            reach += (kernel + wide) / rate
        return math.ceil(reach + 3 / rate) + 1

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel [B, 1, T, F] -> samples [B, 1, N] in (-1, 1). Odd kernel - rate adds samples: N = 160 T + 32 at 16 kHz."""
        x = self.conv_pre(
            log_mel.squeeze(1).transpose(1, 2).to(cast(Tensor, self.conv_pre.bias).dtype)
        )
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, LEAK))
            blocks = self.resblocks[i * self.parallel : (i + 1) * self.parallel]
            first, *rest = (block(x) for block in blocks)
            x = sum(rest, first) / self.parallel
        x = self.conv_post(
            F.leaky_relu(x)
        )  # the slope of this one is torch's default, 0.01, in the published models
        return torch.tanh(x.float())


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron over channels, scaled and added (arXiv 2201.03545)."""

    def __init__(self, channels: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, hidden)
        self.project = nn.Linear(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.scale * self.project(F.gelu(self.expand(y)))
        out: Tensor = x + y.transpose(1, 2)
        return out


class InverseSTFT(nn.Module):
    """Overlap-add with "same" framing: frame t is centred on sample (t + 1/2) hop, so T frames make exactly T hop samples.

    That is the framing of the mel front end (spec 1.1 (1)): (n_fft - hop) / 2 samples padded on each side, no centring.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        assert (n_fft - hop) % 2 == 0, "framing needs n_fft - hop to be even"
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft, device="cpu"), persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        """spectrum [B, T, K] complex -> samples [B, T hop], the least-squares inverse (Griffin and Lim 1984, equation 6)."""
        frames = torch.fft.irfft(spectrum, self.n_fft) * self.window
        envelope = self.window.square().expand(1, frames.shape[1], -1)
        return self._overlap_add(frames) / self._overlap_add(envelope)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        batch, count, _ = frames.shape
        length = (count - 1) * self.hop + self.n_fft
        summed = F.fold(frames.transpose(1, 2), (1, length), (1, self.n_fft), stride=(1, self.hop))
        edge = (self.n_fft - self.hop) // 2
        return summed.reshape(batch, length)[:, edge : length - edge]


class ISTFTVocoder(nn.Module):
    """Vocos with sources: ConvNeXt blocks at the frame rate decide what one inverse STFT and an oscillator bank play.

    Three parts, each relative to what `MelReader` reads off the mel, so that an untrained one already is a noise vocoder:
    an STFT of predicted magnitude and phase (Vocos: attacks, anything coherent), noise per band, and one sine per band, which
    with `reach` holds its pitch where it only wavers.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.reach = config.pitch_smoothing_frames
        self.sizes = [config.n_fft // 2 + 1] * 2 + [config.n_mels] * 3
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
        """Mel frames to either side that all but the tones depend on, at most."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.trunc_normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel [B, 1, T, F] -> samples [B, 1, T hop], not clipped. Same mel, same sound: only training draws new noise."""
        return self.synthesize(log_mel)[0]

    def synthesize(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` returns, and the frequency in Hz [B, T, F] of every band's sine in it."""
        batch, _, frames, bands = log_mel.shape
        hop, beside = self.inverse.hop, -(-(self.margin + ROUNDS * self.reach) // 8 + 1) * 8
        noise, phase = self._noise(batch, frames).to(log_mel.device), None
        if frames > _SECTION:
            phase = torch.zeros(batch, bands, device=log_mel.device)
        sound, sung = noise.new_empty(batch, frames * hop), noise.new_empty(batch, frames, bands)
        for first in range(0, frames, _SECTION):
            last = min(first + _SECTION, frames)
            low, high = max(0, first - beside), min(frames, last + beside)
            grain = noise[:, low * hop : (high - 1) * hop + self.inverse.n_fft]
            made = self._parts(log_mel[:, :, low:high], grain).transpose(1, 2)
            samples, frequency, amplitude = (
                made[..., :hop],
                made[..., hop:-bands],
                made[..., -bands:],
            )
            if self.reach:
                frequency = stabilize_pitch(frequency, amplitude, self.reach)
            before, behind = min(first, 1), min(frames - last, 1)  # a neighbour
            heard = slice(first - before - low, last + behind - low)
            pitch = frequency[:, heard] / self.mel_analyzer.rate
            tones = oscillator_bank(pitch, amplitude[:, heard], hop, phase, before, behind)
            sound[:, first * hop : last * hop] = tones.add_(
                samples[:, first - low : last - low].flatten(1)
            )
            sung[:, first:last] = frequency[:, first - low : last - low]
        return sound.unsqueeze(1), sung

    def _parts(self, log_mel: Tensor, noise: Tensor) -> Tensor:
        """What `_part` makes of log-mel [B, 1, T, F] and noise [B, (T - 1) hop + n_fft], piece by piece, [B, hop + 2F, T]."""
        hop = self.inverse.hop

        def piece(places: Tensor) -> Tensor:
            first, last = int(places[0, 0, 0]), int(places[0, 0, -1]) + 1
            grain = noise[:, first * hop : (last - 1) * hop + self.inverse.n_fft]
            return self._part(log_mel[:, 0, first:last], noise_stft(grain, hop, self.inverse.window))

        places = torch.arange(log_mel.shape[2]).view(1, 1, -1)
        return apply_chunked(piece, places, _PIECE + 2 * self.margin, self.margin, 1)

    def _part(self, log_mel: Tensor, noise: Tensor) -> Tensor:
        """Of log-mel [B, T, F] and noise [B, T, K], side by side [B, hop + 2F, T]: samples without tones, the tones' frequency
        in Hz, their amplitude."""
        x = self.embed(log_mel.transpose(1, 2))
        x = self.norm_in(x.transpose(1, 2)).transpose(1, 2)
        x = self.norm_out(self.blocks(x).transpose(1, 2))
        with torch.autocast(
            x.device.type, enabled=False
        ):  # phase does not survive 8 bits of mantissa, and FFTs refuse them
            mel, controls = log_mel.float().exp(), self.head(x.float())
            loudness, phase, hissing, tone, bend = torch.split(controls, self.sizes, dim=-1)
            coherent = torch.polar(self.mel_analyzer.envelope(mel) * _gain(loudness, QUIET), phase)
            spectrum = coherent + self.mel_analyzer.envelope(mel * _gain(hissing, 0.0)) * noise
            frequency, amplitude = self.mel_analyzer.estimate_tones(mel)
            frequency = frequency + torch.tanh(bend / 10) * self.mel_analyzer.half_widths
            samples = self.inverse(spectrum).unflatten(1, (-1, self.inverse.hop))
            return torch.cat([samples, frequency, amplitude * _gain(tone, QUIET)], dim=2).transpose(
                1, 2
            )

    def _noise(self, batch: int, frames: int) -> Tensor:
        """New noise for every item in training; otherwise always the same, whatever the batch."""
        generator = None if self.training else torch.Generator().manual_seed(0)
        length = (frames - 1) * self.inverse.hop + self.inverse.n_fft
        return torch.randn(batch if self.training else 1, length, generator=generator, device="cpu")


def _gain(control: Tensor, start: float) -> Tensor:
    """A factor of e^start at control 0, growing exponentially up to e^LOUDEST."""
    return (control + start).clamp(max=LOUDEST).exp()
