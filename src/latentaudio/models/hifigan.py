"""HiFi-GAN generator, the vocoder of the published models: log-mel to samples.

See arXiv 2010.05646 (numerics: vocoder).

B batch, T mel frames, F mel bins, N samples, C channels.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.architecture import VocoderConfig
from .cpu_packing import fused_add, fused_leaky_relu

INIT_STD = 0.01  # of all weights but those of `conv_pre`, as published


class HiFiGANResBlock(nn.Module):
    """Residual block of type "1": a dilated and a plain convolution for each dilation."""

    def __init__(
        self, channels: int, kernel_size: int, dilations: tuple[int, ...], slope: float
    ) -> None:
        super().__init__()
        self.slope = slope
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, padding="same", dilation=d)
            for d in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, padding="same") for _ in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            h = fused_leaky_relu(dilated, F.leaky_relu(x, self.slope), self.slope)
            x = fused_add(plain, h, x)
        return x


class HiFiGAN(nn.Module):
    """HiFi-GAN generator.

    Attributes:
        mean: Mean of the log-mels [F], with `config.has_mel_statistics`.
        scale: Their standard deviation [F].
        hop_length: Samples per mel frame.
        margin: Mel frames to either side that a sample depends on, at most.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        width = config.channels
        self.slope = config.leaky_relu_slope
        self.has_mel_statistics = config.has_mel_statistics
        if config.has_mel_statistics:
            self.register_buffer("mean", torch.zeros(config.n_mels))
            self.register_buffer("scale", torch.ones(config.n_mels))
        self.conv_pre = nn.Conv1d(config.n_mels, width, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, size in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            padding = (size - rate) // 2
            self.ups.append(nn.ConvTranspose1d(width, width // 2, size, rate, padding=padding))
            width //= 2
            for kernel_size in config.resblock_kernel_sizes:
                dilations = config.resblock_dilations
                self.resblocks.append(
                    HiFiGANResBlock(width, kernel_size, dilations, config.leaky_relu_slope)
                )
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3)
        self.num_kernels = len(config.resblock_kernel_sizes)
        self.hop_length = math.prod(config.upsample_rates)
        self.margin = _receptive_frames(config)
        for module in (*self.ups.modules(), *self.resblocks.modules(), self.conv_post):
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                nn.init.normal_(module.weight, 0.0, INIT_STD)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Generate samples.

        Args:
            log_mel: [B, 1, T, F].

        Returns:
            Samples [B, 1, N] in (-1, 1), float32. An odd difference of kernel size and rate adds
            samples: N = 160 T + 32 at 16 kHz.
        """
        dtype = cast(Tensor, self.conv_pre.bias).dtype
        mel = log_mel.squeeze(1)
        if self.has_mel_statistics:
            mel = (mel - self.mean) / self.scale
        x = self.conv_pre(mel.transpose(1, 2).to(dtype))
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, self.slope))
            blocks = self.resblocks[i * self.num_kernels : (i + 1) * self.num_kernels]
            # one branch at a time: the order of the sum decides the last bits
            first, *rest = (block(x) for block in blocks)
            x = sum(rest, first) / self.num_kernels
        # the published models use torch's default slope here, 0.01
        x = self.conv_post(F.leaky_relu(x))
        return torch.tanh(x.float())


def _receptive_frames(config: VocoderConfig) -> int:
    """Half the receptive field in mel frames.

    The sum over the layers, each in frames of its own rate.
    """
    widest = max(config.resblock_kernel_sizes) // 2 * sum(d + 1 for d in config.resblock_dilations)
    reach = 3.0  # conv_pre
    rate = 1
    for factor, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        rate *= factor
        reach += (kernel + widest) / rate
    return math.ceil(reach + 3 / rate) + 1  # 3 for conv_post, at the sample rate
