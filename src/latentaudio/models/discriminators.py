"""Critics for adversarial training: of waveforms (by period and by resolution) and of mels (PatchGAN).

Knows how each critic looks at a signal. Refuses to know hinge, least squares or feature matching: those are training stages'.

B batch, C channels, N samples, T frames, F bins, P period.
HiFi-GAN is arXiv 2010.05646, UnivNet 2106.07889, pix2pix 1611.07004.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

LEAK = 0.1


class DiscriminatorOutput(NamedTuple):
    """One critic's opinion: score [B, 1, ...], a number per patch, and the feature maps that led to it, first layer first."""

    logits: Tensor
    features: list[Tensor]


class ConvDiscriminator(nn.Module):
    """Weight-normed 2-D convolutions, each followed by a leaky ReLU, the last by nothing."""

    def __init__(self, *convs: nn.Conv2d) -> None:
        super().__init__()
        self.convs = nn.ModuleList(parametrizations.weight_norm(conv) for conv in convs)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """x [B, 1, rows, columns] -> its verdict."""
        features = []
        for conv in self.convs[:-1]:
            x = F.leaky_relu(conv(x), LEAK)
            features.append(x)
        return DiscriminatorOutput(self.convs[-1](x), features)


class PeriodDiscriminator(ConvDiscriminator):
    """Folds the waveform into rows of P samples and looks down the columns: hears what repeats (HiFi-GAN section 2.3).

    Widths are `width` times 1, 4, 16, 32, 32 up to `widest`; the paper's are 32 and 1024.
    """

    def __init__(self, period: int, width: int, widest: int) -> None:
        widths = [1, *(min(width * growth, widest) for growth in (1, 4, 16, 32, 32))]
        strides = (3, 3, 3, 3, 1)
        pairs = zip(pairwise(widths), strides, strict=True)
        convs = [
            nn.Conv2d(inp, out, (5, 1), (stride, 1), padding=(2, 0)) for (inp, out), stride in pairs
        ]
        super().__init__(*convs, nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))
        self.period = period

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """x [B, 1, N] -> verdict with maps [B, C, rows, P]; the tail is filled up to a whole row by reflection."""
        x = F.pad(x, (0, -x.shape[2] % self.period), mode="reflect")
        return super().forward(x.reshape(*x.shape[:2], -1, self.period))


class ResolutionDiscriminator(ConvDiscriminator):
    """Looks at the magnitude of one STFT (UnivNet section 2.2), hop a quarter of its window."""

    window: Tensor

    def __init__(self, n_fft: int, width: int) -> None:
        def conv(inp: int, stride: int) -> nn.Conv2d:
            return nn.Conv2d(inp, width, (3, 9), (1, stride), padding=(1, 4))

        convs = [
            conv(1, 1),
            conv(width, 2),
            conv(width, 2),
            conv(width, 2),
            nn.Conv2d(width, width, 3, padding=1),
        ]
        super().__init__(*convs, nn.Conv2d(width, 1, 3, padding=1))
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft, device="cpu"), persistent=False)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """x [B, 1, N] -> verdict with maps [B, C, T, F]. The transform stays in float32 whatever the precision around it."""
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.stft(
                x.float().squeeze(1),
                self.n_fft,
                self.n_fft // 4,
                window=self.window,
                return_complex=True,
            )
            # |X| has no gradient at zero, and silence is a sound too
            magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()
        return super().forward(magnitude.transpose(1, 2).unsqueeze(1))


class WaveformDiscriminator(nn.Module):
    """All critics of a waveform: one per period, one per STFT size.

    The defaults suit a miniature trained on a CPU; HiFi-GAN's own are width 32, widest 1024.
    """

    def __init__(
        self,
        width: int = 16,
        widest: int = 128,
        periods: tuple[int, ...] = (2, 3, 5, 7, 11),
        resolutions: tuple[int, ...] = (512, 1024, 2048),
    ) -> None:
        super().__init__()
        self.critics = nn.ModuleList(
            [
                *(PeriodDiscriminator(p, width, widest) for p in periods),
                *(ResolutionDiscriminator(n, width) for n in resolutions),
            ]
        )

    def forward(self, samples: Tensor) -> list[DiscriminatorOutput]:
        """samples [B, 1, N], N more than half the longest window -> a verdict per critic, periods before resolutions."""
        return [critic(samples) for critic in self.critics]


class PatchDiscriminator(nn.Module):
    """PatchGAN on mels (pix2pix; spec 10.1): every score judges a patch, with `layers` 3 one of 70 x 70 cells."""

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(layers + 1)]
        self.stages = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2))]
        )
        for i, (inp, out) in enumerate(pairwise(widths), start=1):
            conv = nn.Conv2d(inp, out, 4, 2 if i < layers else 1, 1, bias=False)
            self.stages.append(nn.Sequential(conv, nn.BatchNorm2d(out), nn.LeakyReLU(0.2)))
        self.logits = nn.Conv2d(widths[-1], 1, 4, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(self, mel: Tensor) -> DiscriminatorOutput:
        """mel [B, 1, T, F], at least 24 cells along each axis -> score [B, 1, T / 8 - 2, F / 8 - 2] and its feature maps."""
        features = [mel]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return DiscriminatorOutput(self.logits(features[-1]), features[1:])
