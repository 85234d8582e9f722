"""The mel VAE (spec 2, arXiv 2112.10752): log-mel <-> latent. Knows the latent's scale; nobody else may.

Refuses to know sound, mel front ends and training losses. Letters: B batch, C channels, T frames, F mel bins; a prime
marks the latent grid, factor times coarser along both axes.
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
from .blocks import Attention, Downsample, ResBlock, TypedModuleList, Upsample, conv3

EPS = 1e-6


@dataclass(frozen=True)
class Posterior:
    """A Gaussian per latent cell, before unit scaling: mean and logvar [B, C, T', F'], float32."""

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw [B, C, T', F']. The noise comes from the CPU, so a seed means the same on every device (spec 5.6)."""
        noise = torch.randn(self.mean.shape, generator=generator, device="cpu")
        return self.mean + torch.exp(0.5 * self.logvar) * noise.to(self.mean)

    def mode(self) -> Tensor:
        """The likeliest latent [B, C, T', F']."""
        return self.mean

    def kl(self) -> Tensor:
        """Divergence from the standard normal, summed over each item's cells -> [B], in nats."""
        return self.divergence().sum(dim=(1, 2, 3))

    def divergence(self) -> Tensor:
        """The same of every cell by itself, [B, C, T', F']."""
        return 0.5 * (self.mean**2 + self.logvar.exp() - 1 - self.logvar)


class SpatialAttention(nn.Module):
    """Single-head self-attention over all cells of the plane, as a residual."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, EPS)
        self.attention = Attention(width, heads=1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, F] -> same."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        out: Tensor = x + self.attention(tokens).transpose(1, 2).reshape(x.shape)
        return out


class MidBlock(nn.Sequential):
    """Block, attention, block at the coarsest grid."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__(
            ResBlock(width, width, groups, EPS),
            SpatialAttention(width, groups),
            ResBlock(width, width, groups, EPS),
        )


class VAEStage(nn.Module):
    """The residual blocks of one grid, then a step to the next grid unless this one is the last."""

    def __init__(
        self, inp: int, out: int, blocks: int, groups: int, step: nn.Module | None
    ) -> None:
        super().__init__()
        self.blocks = TypedModuleList[ResBlock](
            ResBlock(inp if i == 0 else out, out, groups, EPS) for i in range(blocks)
        )
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, F] -> [B, C', ...] on the next grid."""
        for block in self.blocks:
            x = block(x)
        return x if self.step is None else self.step(x)


class Encoder(nn.Module):
    """Log-mel [B, 1, T, F] -> moments [B, 2C, T', F']. `down` runs from fine to coarse."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.channel_mult]
        self.conv_in = conv3(1, config.channels)
        self.down = TypedModuleList[VAEStage]()
        for inp, out in pairwise([config.channels, *widths]):
            step = Downsample(out, lopsided=True) if len(self.down) < len(widths) - 1 else None
            self.down.append(VAEStage(inp, out, config.num_res_blocks, config.num_groups, step))
        self.middle = MidBlock(widths[-1], config.num_groups)
        self.norm_out = nn.GroupNorm(config.num_groups, widths[-1], EPS)
        self.conv_out = conv3(widths[-1], 2 * config.latent_channels)

    def forward(self, mel: Tensor) -> Tensor:
        """See the class."""
        h = self.conv_in(mel)
        for level in self.down:
            h = level(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(self.middle(h))))
        return out


class Decoder(nn.Module):
    """Latent [B, C, T', F'], not scaled -> log-mel [B, 1, T, F]. `up` runs from coarse to fine, one block more per level."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in reversed(config.channel_mult)]
        self.conv_in = conv3(config.latent_channels, widths[0])
        self.middle = MidBlock(widths[0], config.num_groups)
        self.up = TypedModuleList[VAEStage]()
        for inp, out in pairwise([widths[0], *widths]):
            step = Upsample(out) if len(self.up) < len(widths) - 1 else None
            self.up.append(VAEStage(inp, out, config.num_res_blocks + 1, config.num_groups, step))
        self.norm_out = nn.GroupNorm(config.num_groups, widths[-1], EPS)
        self.conv_out = conv3(widths[-1], 1)

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        h = self.middle(self.conv_in(z))
        for level in self.up:
            h = level(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out


class VAE(nn.Module):
    """Mel VAE with its latent's statistics, `mean` and `std`, one number per channel or one for all.

    Two views of a latent, never mixed: `encode` speaks of the raw posterior; everybody else holds a `Latent`, which only
    `latent` makes and only `decode` opens. The statistics are configuration, hence not in the
    state dict, and real numbers even when the module is built on the meta device.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self, config: VAEConfig, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.post_quant = nn.Conv2d(config.latent_channels, config.latent_channels, 1)
        self.decoder = Decoder(config)
        for name, values in (("latent_mean", mean), ("latent_std", std)):
            column = torch.tensor(values, dtype=torch.float32, device="cpu").view(1, -1, 1, 1)
            self.register_buffer(
                name, column.expand(1, config.latent_channels, 1, 1).clone(), persistent=False
            )

    def encode(self, mel: Tensor) -> Posterior:
        """Log-mel [B, 1, T, F] -> posterior over raw latents [B, C, T', F']; T and F are multiples of `config.factor`."""
        mean, logvar = (
            self.quant(self.encoder(mel.to(self.encoder.norm_out.weight.dtype)))
            .float()
            .chunk(2, dim=1)
        )
        return Posterior(mean, logvar.clamp(-30.0, 20.0))

    def normalize(self, raw: Tensor) -> Latent:
        """A posterior's sample or mode [B, C, T', F'] -> the unit-scaled latent, (raw - mean) / std."""
        return Latent((raw - self.latent_mean) / self.latent_std)

    def decode(self, latent: Latent) -> Tensor:
        """Unit-scaled latent -> log-mel [B, 1, T, F]."""
        raw = latent.z * self.latent_std + self.latent_mean
        out: Tensor = self.decoder(self.post_quant(raw.to(self.decoder.norm_out.weight.dtype)))
        return out
