"""Residual blocks, resampling and position embeddings that the VAE and the UNet share.

B batch, C channels, T frames, F frequency bins, N tokens, D width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .activations import ACTIVATIONS
from .cpu_packing import fused_add
from .group_norm import GroupNorm

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)
Kind = TypeVar("Kind", bound=nn.Module)

MAX_PERIOD = 10000  # of the slowest sinusoid, in steps; the Transformer's choice (arXiv 1706.03762)


class TypedModuleList(nn.ModuleList, Generic[Kind]):
    """An `nn.ModuleList` whose iteration gives the modules' own type."""

    def __iter__(self) -> Iterator[Kind]:
        """Iterate over the modules."""
        return cast(Iterator[Kind], super().__iter__())


def zero_module(layer: Layer) -> Layer:
    """Set weight and bias to zero and return the layer.

    A residual branch that ends in it starts as the identity.
    """
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class TimeConv(nn.Conv2d):
    """A 3x1 convolution over time of x [B, C, T, 1], as one matrix product.

    4.9 times as fast on a CPU at C = 208.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, padding: int = 1
    ) -> None:
        super().__init__(in_channels, out_channels, (3, 1), (stride, 1), (padding, 0))

    def prepare_for_packing(self) -> None:
        """Lay the weight out as `forward` reads it, which would copy it at every call."""
        by_frame = self.weight.data[..., 0].transpose(1, 2).contiguous()
        self.weight.data = by_frame.transpose(1, 2)[..., None]

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, 1] -> [B, C', T', 1], a view of [B, T', C']."""
        padding = int(self.padding[0])
        stride = self.stride[0]
        frames = F.pad(x[..., 0].transpose(1, 2), (0, 0, padding, padding))
        last = frames.shape[1] - 2
        # the three frames under the kernel side by side, [B, T', 3 C]
        windows = torch.cat([frames[:, k : last + k : stride] for k in range(3)], dim=2)
        out = F.linear(windows, self.weight[..., 0].transpose(1, 2).flatten(1), self.bias)
        return out.transpose(1, 2)[..., None]


def conv3(
    in_channels: int, out_channels: int, stride: int = 1, padding: int = 1, is_1d: bool = False
) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps T and F, or with `is_1d` a 3x1 one over time."""
    if is_1d:
        return TimeConv(in_channels, out_channels, stride=stride, padding=padding)
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=padding)


def sinusoidal_embedding(
    t: Tensor, width: int, freq_shift: float = 0.0, cosine_first: bool = True
) -> Tensor:
    """Embed timesteps or positions as cosines, then sines, of geometrically falling frequency.

    Source of formula and constants: (numerics: UNet).

    Args:
        t: Timesteps or positions [B], integer or fractional.
        width: Size of the embedding, even.
        freq_shift: Number that is subtracted from the count of frequencies in the exponent.
        cosine_first: Whether the cosines come before the sines.

    Returns:
        [B, width] float32.
    """
    half = width // 2
    count = torch.arange(half, device=t.device)
    frequencies = torch.exp(-math.log(MAX_PERIOD) * count / (half - freq_shift))
    # float32 even for a bf16 network: timesteps up to 999 need the mantissa
    angles = t.float()[:, None] * frequencies
    halves = [angles.cos(), angles.sin()] if cosine_first else [angles.sin(), angles.cos()]
    return torch.cat(halves, dim=1)


def uniform_fourier_features(positions: Tensor, count: int) -> Tensor:
    """Embed positions as cosines, then sines, of frequencies spaced evenly up to half a cycle.

    A periodic pattern of any rate is a weighted sum of few of them; `sinusoidal_embedding` is dense
    at slow rates only.

    Args:
        positions: [T].
        count: Number of frequencies.

    Returns:
        [T, 2 count] float32.
    """
    angles = (
        positions.float()[:, None]
        * (math.pi / count)
        * torch.arange(1, count + 1, device=positions.device)
    )
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class PositionalEmbedding(nn.Module):
    """Add a learned projection of sinusoids to each token, zero at the start of training.

    Attention does not depend on the order of tokens. The states of a text encoder describe the
    neighbors of a word better than its position. Without this embedding, "b after a" is too similar
    to "a after b".
    """

    def __init__(self, width: int, num_frequencies: int) -> None:
        super().__init__()
        self.proj = zero_module(nn.Linear(2 * num_frequencies, width, bias=False))

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, N, D] -> same."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        features = sinusoidal_embedding(positions, self.proj.in_features).to(tokens)
        return tokens + cast(Tensor, self.proj(features))


class ResBlock(nn.Module):
    """Two rounds of GroupNorm, activation and convolution around a shortcut (numerics: VAE, UNet).

    With `embedding_dim` a projection of the time embedding is added between the rounds, and the
    block starts as its shortcut: the UNet's variant. Without, the VAE's.
    """

    float_layers = ("shortcut",)  # not normalized: 8 bits would lose its small values

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_groups: int,
        eps: float,
        embedding_dim: int | None = None,
        is_1d: bool = False,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.activate = ACTIVATIONS[activation]
        self.norm1 = GroupNorm(num_groups, in_channels, eps)
        self.conv1 = conv3(in_channels, out_channels, is_1d=is_1d)
        self.embed = None if embedding_dim is None else nn.Linear(embedding_dim, out_channels)
        self.norm2 = GroupNorm(num_groups, out_channels, eps)
        last = conv3(out_channels, out_channels, is_1d=is_1d)
        self.conv2 = last if embedding_dim is None else zero_module(last)
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """x [B, C, T, F] and the already activated embedding [B, E] -> [B, C', T, F]."""
        h = self.conv1(self.activate(self.norm1(x)))
        if self.embed is not None:
            # one number per channel, the same for every cell
            h = h + self.embed(embedding)[:, :, None, None]
        h = self.activate(self.norm2(h))
        return fused_add(self.conv2, h, x if self.shortcut is None else self.shortcut(x))


class Downsample(nn.Module):
    """Halve T and F by a strided convolution; with `is_1d` halve T alone.

    The VAE pads behind the last row and column only (`asymmetric_padding`), the UNet on all sides.
    """

    float_layers = ("conv",)  # not normalized

    def __init__(self, channels: int, asymmetric_padding: bool, is_1d: bool = False) -> None:
        super().__init__()
        self.asymmetric_padding = asymmetric_padding
        padding = 0 if asymmetric_padding else 1
        self.conv = conv3(channels, channels, stride=2, padding=padding, is_1d=is_1d)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, F] -> [B, C, T/2, F/2]."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)) if self.asymmetric_padding else x)
        return out


class Upsample(nn.Module):
    """Double T and F, or with `is_1d` T alone: nearest-neighbor repetition, then a convolution."""

    float_layers = ("conv",)  # not normalized

    def __init__(self, channels: int, is_1d: bool = False) -> None:
        super().__init__()
        self.scale = (2, 1 if is_1d else 2)
        self.conv = conv3(channels, channels, is_1d=is_1d)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """x [B, C, T, F] -> [B, C, 2T, 2F], or [B, C, *size] to undo the halving of an odd size."""
        size = size or (x.shape[2] * self.scale[0], x.shape[3] * self.scale[1])
        out: Tensor = self.conv(F.interpolate(x, size=size, mode="nearest"))
        return out


class FrequencyMerge(nn.Module):
    """Merge the frequency axis into channels.

    From a 2-D grid to a 1-D sequence over time, with position embeddings.

    The sinusoidal embedding is fixed. `num_uniform_frequencies` adds a learned projection of evenly
    spaced frequencies, by which the network can place events at a steady rate.
    """

    packable_layers = None  # `forward` reads the weights itself

    def __init__(
        self, in_channels: int, out_channels: int, num_bins: int, num_uniform_frequencies: int = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, (1, num_bins), (1, num_bins))
        self.uniform_proj = None
        if num_uniform_frequencies:
            projection = nn.Linear(2 * num_uniform_frequencies, out_channels, bias=False)
            self.uniform_proj = zero_module(projection)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, F] -> [B, C', T, 1]."""
        # the convolution's windows do not overlap, so it is one matrix product
        spectra = x.transpose(1, 2).flatten(2)
        out = F.linear(spectra, self.conv.weight.flatten(1), self.conv.bias)
        # a 1-D network has no padding at the start of a clip to find its position by
        positions = torch.arange(x.shape[2], device=x.device)
        out = out + sinusoidal_embedding(positions, out.shape[2]).to(out)
        if self.uniform_proj is not None:
            num_frequencies = self.uniform_proj.in_features // 2
            features = uniform_fourier_features(positions, num_frequencies)
            out = out + self.uniform_proj(features.to(out))
        return out.transpose(1, 2)[..., None]


class FrequencySplit(nn.Module):
    """Split channels into a frequency axis: from a 1-D sequence over time back to a 2-D grid."""

    packable_layers = None  # `forward` reads the weights itself

    def __init__(self, in_channels: int, out_channels: int, num_bins: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, (1, num_bins), (1, num_bins))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, 1] -> [B, C', T, F], as one matrix product."""
        bias = cast(Tensor, self.conv.bias)[:, None, None]
        weight = self.conv.weight  # [C, C', 1, F]
        spectra = F.linear(x[..., 0].transpose(1, 2), weight.flatten(1).T)
        grid = spectra.unflatten(2, weight.shape[1:2] + weight.shape[3:])
        out: Tensor = grid.transpose(1, 2) + bias
        return out
