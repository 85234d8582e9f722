"""The bricks that VAE and UNet share. Knows residual blocks, resampling and attention; refuses to know how they are stacked.

Letters: B batch, C channels, T frames, F frequency bins, N tokens, D width, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..types import Context
from .cpu_packing import fused_add, geglu

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)
Kind = TypeVar("Kind", bound=nn.Module)
SMALL_GRID = 256 * 256
"""Score matrices up to this size are cheaper to write out than to fuse, on a CPU."""


class TypedModuleList(nn.ModuleList, Generic[Kind]):
    """A list of modules that remembers of what kind they are."""

    def __iter__(self) -> Iterator[Kind]:
        return cast(Iterator[Kind], super().__iter__())


def zero_module(layer: Layer) -> Layer:
    """The same layer with zero weight and bias: a branch that ends in it starts as "add nothing"."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class TimeConv(nn.Conv2d):
    """A 3x1 convolution over T of x [B, C, T, 1], as one matrix product: 4.9 times as fast at C = 208 on a CPU."""

    def __init__(self, inp: int, out: int, stride: int = 1, padding: int = 1) -> None:
        super().__init__(inp, out, (3, 1), (stride, 1), (padding, 0))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, 1] -> [B, C', T', 1], as a view of [B, T', C']."""
        padding, stride = int(self.padding[0]), self.stride[0]
        moments = F.pad(x[..., 0].transpose(1, 2), (0, 0, padding, padding))
        last = moments.shape[1] - 2
        windows = torch.cat([moments[:, k : last + k : stride] for k in range(3)], dim=2)
        made = F.linear(windows, self.weight[..., 0].transpose(1, 2).flatten(1), self.bias)
        return made.transpose(1, 2)[..., None]


def conv3(inp: int, out: int, stride: int = 1, padding: int = 1, line: bool = False) -> nn.Conv2d:
    """A 3x3 convolution, by default one that keeps T and F; on a `line` it runs over T alone, 3x1."""
    return (TimeConv if line else partial(nn.Conv2d, kernel_size=3))(
        inp, out, stride=stride, padding=padding
    )


def sinusoidal_embedding(t: Tensor, width: int) -> Tensor:
    """Steps t [B], whole or fractional -> [B, width] float32: cosines, then sines, of falling frequency (spec 4.1)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=t.device) / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class ResBlock(nn.Module):
    """Two rounds of GroupNorm, SiLU, conv around a shortcut (spec 2, 4.1).

    With `embedding`, a projection of that vector is added between the rounds and the block starts as its shortcut: the UNet's
    kind. Without, the VAE's kind.
    """

    def __init__(
        self,
        inp: int,
        out: int,
        groups: int,
        eps: float,
        embedding: int | None = None,
        line: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inp, eps)
        self.conv1 = conv3(inp, out, line=line)
        self.embed = None if embedding is None else nn.Linear(embedding, out)
        self.norm2 = nn.GroupNorm(groups, out, eps)
        last = conv3(out, out, line=line)
        self.conv2 = last if embedding is None else zero_module(last)
        self.shortcut = None if inp == out else nn.Conv2d(inp, out, 1)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """x [B, C, T, F] and the already activated embedding [B, E] -> [B, C', T, F]."""
        h = self.conv1(F.silu(self.norm1(x)))
        if self.embed is not None:
            h = h + self.embed(embedding)[:, :, None, None]
        return fused_add(
            self.conv2, F.silu(self.norm2(h)), x if self.shortcut is None else self.shortcut(x)
        )


class Downsample(nn.Module):
    """Halve T and F by a strided conv. The VAE pads only after the last row and column (`lopsided`), the UNet all around.

    On a `line` only T is halved.
    """

    def __init__(self, width: int, lopsided: bool, line: bool = False) -> None:
        super().__init__()
        self.lopsided = lopsided
        self.conv = conv3(width, width, stride=2, padding=0 if lopsided else 1, line=line)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, F] -> [B, C, T/2, F/2]."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)) if self.lopsided else x)
        return out


class Upsample(nn.Module):
    """Double T and F, or on a `line` T alone: repeat every cell, then smooth by a conv."""

    def __init__(self, width: int, line: bool = False) -> None:
        super().__init__()
        self.scale = (2, 1 if line else 2)
        self.conv = conv3(width, width, line=line)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """x [B, C, T, F] -> [B, C, 2T, 2F], or to the grid `size`, which came from halving an odd one."""
        wanted = size or (x.shape[2] * self.scale[0], x.shape[3] * self.scale[1])
        out: Tensor = self.conv(F.interpolate(x, size=wanted, mode="nearest"))
        return out


def uniform_fourier_features(places: Tensor, count: int) -> Tensor:
    """Places [T] -> [T, 2 count] float32: cosines, then sines, of `count` frequencies spread evenly up to half a turn a place.

    Whatever repeats is a weighted sum of few of them, at any pace; the falling frequencies of `sinusoids` know slow paces only.
    """
    angles = (
        places.float()[:, None]
        * (math.pi / count)
        * torch.arange(1, count + 1, device=places.device)
    )
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class PositionalEmbedding(nn.Module):
    """Tokens that know their places: a learnt sum of falling waves is added to each, at first nothing.

    Attention sees a set; what encoders write of a word holds its neighbours better than its place, so that "b after a" reads
    like "a after b".
    """

    def __init__(self, width: int, waves: int) -> None:
        super().__init__()
        self.waves = zero_module(nn.Linear(2 * waves, width, bias=False))

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, N, D] -> same."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return tokens + cast(
            Tensor, self.waves(sinusoidal_embedding(places, self.waves.in_features).to(tokens))
        )


class FrequencyMerge(nn.Module):
    """All frequency bins of a moment become one: a plane becomes a line in time, whose moments know their places."""

    packable_layers = None

    def __init__(self, inp: int, out: int, bins: int, beats: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inp, out, (1, bins), (1, bins))
        self.beats = zero_module(nn.Linear(2 * beats, out, bias=False)) if beats else None

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, F] -> [B, C', T, 1]. The convolution's windows do not overlap, so it is one matrix product."""
        spectra = x.transpose(1, 2).flatten(2)
        out = F.linear(spectra, self.conv.weight.flatten(1), self.conv.bias)
        places = torch.arange(x.shape[2], device=x.device)
        out = out + sinusoidal_embedding(places, out.shape[2]).to(out)
        if self.beats is not None:
            out = out + self.beats(uniform_fourier_features(places, self.beats.in_features // 2).to(out))
        return out.transpose(1, 2)[..., None]


class FrequencySplit(nn.Module):
    """A line in time becomes a plane again."""

    packable_layers = None

    def __init__(self, inp: int, out: int, bins: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inp, out, (1, bins), (1, bins))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, 1] -> [B, C', T, F], again as one matrix product."""
        bias = cast(Tensor, self.conv.bias)[:, None, None]
        spectra = F.linear(x[..., 0].transpose(1, 2), self.conv.weight.flatten(1).T)
        out: Tensor = (
            spectra.unflatten(
                2, self.conv.weight.shape[1:2] + self.conv.weight.shape[3:]
            ).transpose(1, 2)
            + bias
        )
        return out


class KeyValue(NamedTuple):
    """What attention looks at: keys and values [B, H, N, D/H], and a boolean mask [B, 1, 1, N] (True = look) or None."""

    keys: Tensor
    values: Tensor
    mask: Tensor | None = None


def attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q k' / sqrt(width)) v per head: [B, H, N, D/H] like q; `mask` leaves every query a token to look at.

    Written out for small grids on the CPU in training, where the fused kernel's backward takes five to ten times as long.
    """
    if (
        q.device.type != "cpu"
        or q.shape[2] * keys.shape[2] > SMALL_GRID
        or not torch.is_grad_enabled()
    ):
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
    scores = (q * q.shape[3] ** -0.5) @ keys.transpose(2, 3)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    out: Tensor = scores.softmax(dim=3) @ values
    return out


class Attention(nn.Module):
    """Multi-head attention over its own tokens, or over a context `context` wide. `bias` is for q, k and v."""

    def __init__(
        self, width: int, heads: int, context: int | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias)
        self.to_k = nn.Linear(context or width, width, bias)
        self.to_v = nn.Linear(context or width, width, bias)
        self.to_out = nn.Linear(width, width)
        own = ("to_q", "to_out") if context else ("to_q", "to_k", "to_v", "to_out")
        self.packable_layers = dict.fromkeys(own, "linear")

    def split(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, H, N, D/H], a view."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def project_kv(self, tokens: Tensor, mask: Tensor | None = None) -> KeyValue:
        """Tokens [B, N, D] (and mask [B, 1, 1, N]) -> their keys and values, reusable as long as the tokens stay the same."""
        return KeyValue(self.split(self.to_k(tokens)), self.split(self.to_v(tokens)), mask)

    def attend_to(self, x: Tensor, seen: KeyValue | None = None) -> Tensor:
        """What x [B, N, D] finds in `seen`, or in itself, before `to_out` [B, N, D]."""
        keys, values, mask = seen or self.project_kv(x)
        return attend(self.split(self.to_q(x)), keys, values, mask).transpose(1, 2).flatten(2)

    def forward(self, x: Tensor, seen: KeyValue | None = None) -> Tensor:
        """x [B, N, D] looks at `seen`, or at itself -> [B, N, D]."""
        out: Tensor = self.to_out(self.attend_to(x, seen))
        return out


class TransformerBlock(nn.Module):
    """Self-attention, attention to a context (or again to itself), gated feed-forward; each a residual (spec 4.1)."""

    packable_layers = {"ff_in": "gate", "ff_out": "linear"}  # noqa: RUF012

    def __init__(self, width: int, heads: int, context: int | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, heads, context)
        self.norm3 = nn.LayerNorm(width)
        self.ff_in = nn.Linear(width, 8 * width)
        self.ff_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, seen: KeyValue | None) -> Tensor:
        """x [B, N, D] -> same; `seen` is None where this block has no context."""
        x = fused_add(self.attn1.to_out, self.attn1.attend_to(self.norm1(x)), x)
        x = fused_add(self.attn2.to_out, self.attn2.attend_to(self.norm2(x), seen), x)
        return fused_add(self.ff_out, geglu(self.ff_in, self.norm3(x)), x)


class Transformer(nn.Module):
    """A residual over the plane's cells as tokens, time-major (token = t * F' + f), with a context `context` wide or none.

    Its last projection starts at zero, so a new transformer changes nothing (spec 4.1).
    """

    def __init__(
        self, width: int, heads: int, context: int | None, depth: int, groups: int
    ) -> None:
        super().__init__()
        self.context = context
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.blocks = TypedModuleList[TransformerBlock](
            TransformerBlock(width, heads, context) for _ in range(depth)
        )
        self.proj_out = zero_module(nn.Conv2d(width, width, 1))

    def project_kv(self, context: Context | None) -> list[KeyValue | None]:
        """Keys and values of one context for every block in order; None is for looking at oneself."""
        if context is None:
            return [None] * len(self.blocks)
        return [
            block.attn2.project_kv(context.tokens, context.mask[:, None, None].bool())
            for block in self.blocks
        ]

    def forward(self, x: Tensor, seen: list[KeyValue | None]) -> Tensor:
        """x [B, C, T', F'] -> same."""
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block, keys in zip(self.blocks, seen, strict=True):
            tokens = block(tokens, keys)
        return fused_add(self.proj_out, tokens.transpose(1, 2).unflatten(2, x.shape[2:]), x)
