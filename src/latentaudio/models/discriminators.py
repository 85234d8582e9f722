"""Discriminators for adversarial training of waveforms and mels.

Waveforms are scored by period and by resolution, mels by patches (PatchGAN).

The losses are the training stages'. HiFi-GAN is arXiv 2010.05646, UnivNet 2106.07889, pix2pix
1611.07004.

B batch, C channels, N samples, T frames, F bins, P period.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from .autocast import no_autocast

LEAKY_SLOPE = 0.1
PATCH_LEAKY_SLOPE = 0.2
PATCH_INIT_STD = 0.02  # pix2pix's
PERIOD_GROWTH = (1, 4, 16, 32, 32)  # channels of each layer, in multiples of the first
PERIOD_STRIDES = (3, 3, 3, 3, 1)
SCALE_WIDTH = 4  # channels of the first layer of scales, in multiples of that of periods
SCALE_GROWTH = (1, 1, 2, 4, 8, 8, 8)  # channels of each layer, in multiples of the first
SCALE_KERNELS = (15, 41, 41, 41, 41, 41, 5)
SCALE_STRIDES = (1, 2, 2, 4, 4, 1, 1)
SCALE_GROUPS = (1, 4, 16, 16, 16, 16, 1)


class DiscriminatorOutput(NamedTuple):
    """Output of one discriminator.

    Attributes:
        logits: [B, 1, ...], one number per patch.
        features: The feature maps of all layers but the last, first layer first.
    """

    logits: Tensor
    features: list[Tensor]


class ConvDiscriminator(nn.Module):
    """Weight-normalized 2-D convolutions, each but the last followed by a leaky ReLU."""

    def __init__(self, *convs: nn.Conv2d) -> None:
        super().__init__()
        self.convs = nn.ModuleList(parametrizations.weight_norm(conv) for conv in convs)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """x [B, 1, rows, columns] -> its output."""
        features = []
        for conv in self.convs[:-1]:
            x = F.leaky_relu(conv(x), LEAKY_SLOPE)
            # the feature-matching loss compares these
            features.append(x)
        return DiscriminatorOutput(self.convs[-1](x), features)


class PeriodDiscriminator(ConvDiscriminator):
    """Reshapes the waveform into rows of P samples and convolves along the columns.

    HiFi-GAN, section 2.3.

    Channels grow from `width` by PERIOD_GROWTH up to `max_width`; the paper has 32 and 1024.
    """

    def __init__(self, period: int, width: int, max_width: int) -> None:
        widths = [1]
        for growth in PERIOD_GROWTH:
            widths.append(min(width * growth, max_width))
        convs = []
        for (inp, out), stride in zip(pairwise(widths), PERIOD_STRIDES, strict=True):
            convs.append(nn.Conv2d(inp, out, (5, 1), (stride, 1), padding=(2, 0)))
        super().__init__(*convs, nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))
        self.period = period

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """x [B, 1, N] -> output with maps [B, C, rows, P]; reflection fills the last row."""
        x = F.pad(x, (0, -x.shape[2] % self.period), mode="reflect")
        return super().forward(x.reshape(*x.shape[:2], -1, self.period))


class ResolutionDiscriminator(ConvDiscriminator):
    """Convolves the magnitude of one STFT (UnivNet, section 2.2); the hop is n_fft / 4."""

    window: Tensor

    def __init__(self, n_fft: int, width: int) -> None:
        convs = []
        for in_channels, stride in ((1, 1), (width, 2), (width, 2), (width, 2)):
            convs.append(nn.Conv2d(in_channels, width, (3, 9), (1, stride), padding=(1, 4)))
        convs.append(nn.Conv2d(width, width, 3, padding=1))
        super().__init__(*convs, nn.Conv2d(width, 1, 3, padding=1))
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft, device="cpu"), persistent=False)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """x [B, 1, N] -> output with maps [B, C, T, F]. The STFT is float32 under any autocast."""
        with no_autocast(x):
            spectrum = torch.stft(
                x.float().squeeze(1),
                self.n_fft,
                self.n_fft // 4,
                window=self.window,
                return_complex=True,
            )
            # |X| has no gradient at zero, which silence reaches
            magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()
        return super().forward(magnitude.transpose(1, 2).unsqueeze(1))


class WaveformDiscriminator(nn.Module):
    """All discriminators of a waveform: one per period, one per STFT size.

    The defaults suit a small model trained on a CPU; HiFi-GAN's own are width 32 and max_width
    1024.
    """

    def __init__(
        self,
        width: int = 16,
        max_width: int = 128,
        periods: tuple[int, ...] = (2, 3, 5, 7, 11),
        resolutions: tuple[int, ...] = (512, 1024, 2048),
    ) -> None:
        super().__init__()
        # in this order, which is that of their outputs and initial weights
        self.discriminators = nn.ModuleList()
        for period in periods:
            self.discriminators.append(PeriodDiscriminator(period, width, max_width))
        for n_fft in resolutions:
            self.discriminators.append(ResolutionDiscriminator(n_fft, width))

    def forward(self, samples: Tensor) -> list[DiscriminatorOutput]:
        """Run all discriminators.

        Args:
            samples: [B, 1, N], N more than half the longest window.

        Returns:
            One output per discriminator, periods before resolutions.
        """
        return [discriminator(samples) for discriminator in self.discriminators]


class ScaleDiscriminator(nn.Module):
    """Strided and grouped 1-D convolutions over the waveform (HiFi-GAN, section 2.3; MelGAN).

    Channels grow from `width` by SCALE_GROWTH; the published width is 128.
    """

    def __init__(self, width: int, normalize: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        in_channels = 1
        layers = zip(SCALE_GROWTH, SCALE_KERNELS, SCALE_STRIDES, SCALE_GROUPS, strict=True)
        for growth, kernel, stride, groups in layers:
            conv = nn.Conv1d(
                in_channels, width * growth, kernel, stride, kernel // 2, groups=groups
            )
            self.convs.append(normalize(conv))
            in_channels = width * growth
        self.score = normalize(nn.Conv1d(in_channels, 1, 3, padding=1))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """x [B, 1, N] -> output with maps [B, C, N']."""
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), LEAKY_SLOPE)
            features.append(x)
        return DiscriminatorOutput(self.score(x), features)


class HiFiGANDiscriminator(nn.Module):
    """HiFi-GAN's discriminators: one per period, and one each for the sound and its averages.

    HiFi-GAN, section 2.3: the first discriminator of scales has spectral norms, all others have
    weight norms. The published width is 32.
    """

    def __init__(
        self, width: int = 32, periods: tuple[int, ...] = (2, 3, 5, 7, 11), num_scales: int = 3
    ) -> None:
        super().__init__()
        self.periods = nn.ModuleList()
        for period in periods:
            self.periods.append(PeriodDiscriminator(period, width, PERIOD_GROWTH[-1] * width))
        self.scales = nn.ModuleList()
        for index in range(num_scales):
            normalize = parametrizations.weight_norm if index else parametrizations.spectral_norm
            self.scales.append(ScaleDiscriminator(SCALE_WIDTH * width, normalize))

    def forward(self, samples: Tensor) -> list[DiscriminatorOutput]:
        """Run all discriminators.

        Args:
            samples: [B, 1, N].

        Returns:
            One output per discriminator, periods before scales.
        """
        outputs = [discriminator(samples) for discriminator in self.periods]
        for index, discriminator in enumerate(self.scales):
            if index:
                samples = F.avg_pool1d(samples, 4, 2, padding=2)
            outputs.append(discriminator(samples))
        return outputs


class PatchDiscriminator(nn.Module):
    """PatchGAN on mels (pix2pix).

    Each logit covers a patch, of 70 x 70 cells with 3 layers (numerics: training).
    """

    def __init__(self, width: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(num_layers + 1)]
        self.stages = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(PATCH_LEAKY_SLOPE))]
        )
        for i, (inp, out) in enumerate(pairwise(widths), start=1):
            stride = 2 if i < num_layers else 1
            conv = nn.Conv2d(inp, out, 4, stride, 1, bias=False)
            activation = nn.LeakyReLU(PATCH_LEAKY_SLOPE)
            self.stages.append(nn.Sequential(conv, nn.BatchNorm2d(out), activation))
        self.score = nn.Conv2d(widths[-1], 1, 4, 1, 1)
        # pix2pix's initialization, of convolutions and norms
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, PATCH_INIT_STD)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, PATCH_INIT_STD)

    def forward(self, mel: Tensor) -> DiscriminatorOutput:
        """Run the discriminator.

        Args:
            mel: [B, 1, T, F], at least 24 cells along each axis.

        Returns:
            Logits [B, 1, T / 8 - 2, F / 8 - 2] and feature maps.
        """
        features = [mel]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return DiscriminatorOutput(self.score(features[-1]), features[1:])
