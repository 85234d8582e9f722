"""The mel VAE: log-mel spectrogram <-> latent (arXiv 2112.10752; numerics: VAE).

The latent of the rest of the package is unit-scaled. Only `VAE.normalize` and `VAE.decode` convert
between it and the raw one.

B batch, C channels, T frames, F mel bins, T' F' the latent grid: T and F divided by
`config.downsampling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.architecture import VAEConfig
from ..types import Latent
from .attention import Attention
from .blocks import Downsample, ResBlock, TypedModuleList, Upsample, conv3
from .group_norm import GroupNorm

EPS = 1e-6  # of the group norms, as published
LOGVAR_RANGE = (-30.0, 20.0)  # keeps exp() finite in float32


@dataclass(frozen=True)
class Posterior:
    """A Gaussian per latent cell, before unit scaling.

    Attributes:
        mean: [B, C, T', F'] float32.
        logvar: Logarithm of the variance, same shape.
    """

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent [B, C, T', F'].

        The noise comes from the CPU, so that a seed is the same on every device.
        """
        noise = torch.randn(self.mean.shape, generator=generator, device="cpu")
        return self.mean + torch.exp(0.5 * self.logvar) * noise.to(self.mean)

    def mode(self) -> Tensor:
        """Return the most likely latent [B, C, T', F']."""
        return self.mean

    def kl(self) -> Tensor:
        """Return the KL divergence from the standard normal, summed over each item's cells.

        The result is [B], in nats.
        """
        return self.divergence().sum(dim=(1, 2, 3))

    def divergence(self) -> Tensor:
        """Return the KL divergence of each cell, [B, C, T', F']."""
        return 0.5 * (self.mean**2 + self.logvar.exp() - 1 - self.logvar)


class SpatialAttention(nn.Module):
    """Single-head self-attention over all cells of the grid, as a residual."""

    def __init__(self, channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm = GroupNorm(num_groups, channels, EPS)
        self.attention = Attention(channels, num_heads=1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, F] -> same."""
        # [B, C, T, F] -> [B, T F, C]
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        out: Tensor = x + self.attention(tokens).transpose(1, 2).reshape(x.shape)
        return out


class MidBlock(nn.Sequential):
    """Residual block, attention, residual block at the coarsest grid."""

    def __init__(self, channels: int, num_groups: int, activation: str) -> None:
        super().__init__(
            ResBlock(channels, channels, num_groups, EPS, activation=activation),
            SpatialAttention(channels, num_groups),
            ResBlock(channels, channels, num_groups, EPS, activation=activation),
        )


class VAEStage(nn.Module):
    """The residual blocks of one grid, then a step to the next grid unless this is the last."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_blocks: int,
        num_groups: int,
        step: nn.Module | None,
        activation: str,
    ) -> None:
        super().__init__()
        self.blocks = TypedModuleList[ResBlock]()
        for i in range(num_blocks):
            block_in = in_channels if i == 0 else out_channels
            block = ResBlock(block_in, out_channels, num_groups, EPS, activation=activation)
            self.blocks.append(block)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, F] -> [B, C', ...] on the next grid."""
        for block in self.blocks:
            x = block(x)
        return x if self.step is None else self.step(x)


class Encoder(nn.Module):
    """Log-mel [B, 1, T, F] -> mean and log-variance [B, 2C, T', F'].

    `down` runs from fine to coarse.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.channel_mult]
        self.conv_in = conv3(1, config.channels)
        self.down = TypedModuleList[VAEStage]()
        for inp, out in pairwise([config.channels, *widths]):
            # the coarsest grid is not halved again
            is_last = len(self.down) == len(widths) - 1
            step = None if is_last else Downsample(out, asymmetric_padding=True)
            self.down.append(
                VAEStage(
                    inp, out, config.num_res_blocks, config.num_groups, step, config.activation
                )
            )
        self.middle = MidBlock(widths[-1], config.num_groups, config.activation)
        self.norm_out = GroupNorm(config.num_groups, widths[-1], EPS)
        # mean and log-variance; SiLU before it, whatever `config.activation` is, as in diffusers
        self.conv_out = conv3(widths[-1], 2 * config.latent_channels)

    def forward(self, mel: Tensor) -> Tensor:
        """See the class."""
        h = self.conv_in(mel)
        for stage in self.down:
            h = stage(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(self.middle(h))))
        return out


class Decoder(nn.Module):
    """Raw latent [B, C, T', F'] -> log-mel [B, 1, T, F].

    `up` runs from coarse to fine, with one block more per stage.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in reversed(config.channel_mult)]
        self.conv_in = conv3(config.latent_channels, widths[0])
        self.middle = MidBlock(widths[0], config.num_groups, config.activation)
        self.up = TypedModuleList[VAEStage]()
        for inp, out in pairwise([widths[0], *widths]):
            step = None if len(self.up) == len(widths) - 1 else Upsample(out)
            self.up.append(
                VAEStage(
                    inp, out, config.num_res_blocks + 1, config.num_groups, step, config.activation
                )
            )
        self.norm_out = GroupNorm(config.num_groups, widths[-1], EPS)
        self.conv_out = conv3(widths[-1], 1)

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        h = self.middle(self.conv_in(z))
        for stage in self.up:
            h = stage(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out


class VAE(nn.Module):
    """A mel VAE and the statistics of its latent, one number per channel or one for all.

    `encode` returns the raw posterior. Everything else holds a `Latent`, unit-scaled, which
    `normalize` makes and `decode` reads. The statistics are configuration: not in the state dict,
    and real numbers even on the meta device.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self, config: VAEConfig, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)
    ) -> None:
        super().__init__()
        self.config = config
        channels = config.latent_channels
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.post_quant_conv = nn.Conv2d(channels, channels, 1)
        self.decoder = Decoder(config)
        for name, values in (("latent_mean", mean), ("latent_std", std)):
            # on the CPU even under torch.device('meta')
            column = torch.tensor(values, dtype=torch.float32, device="cpu").view(1, -1, 1, 1)
            value = column.expand(1, channels, 1, 1).clone()
            self.register_buffer(name, value, persistent=False)

    def encode(self, mel: Tensor) -> Posterior:
        """Encode log-mels.

        Args:
            mel: [B, 1, T, F]; T and F are multiples of `config.downsampling`.

        Returns:
            The posterior over raw latents [B, C, T', F'], in float32.
        """
        # the posterior is float32, whatever the weights are
        h = self.encoder(mel.to(self.encoder.norm_out.weight.dtype))
        mean, logvar = self.quant_conv(h).float().chunk(2, dim=1)
        return Posterior(mean, logvar.clamp(*LOGVAR_RANGE))

    def normalize(self, raw: Tensor) -> Latent:
        """Scale a sample or the mode of a posterior [B, C, T', F'] to unit variance.

        The result is (raw - mean) / std.
        """
        return Latent((raw - self.latent_mean) / self.latent_std)

    def decode(self, latent: Latent) -> Tensor:
        """Decode a unit-scaled latent to a log-mel [B, 1, T, F]."""
        raw = latent.z * self.latent_std + self.latent_mean
        weight = self.decoder.norm_out.weight
        out: Tensor = self.decoder(self.post_quant_conv(raw.to(weight.dtype)))
        return out
