"""The same layers for inference on a CPU: weights laid out for oneDNN once instead of at every call, neighbours fused.

Knows torch's oneDNN operators, those that torch.compile calls. Refuses to know which network it is handed: `pack` exchanges
what pays below any module. What is packed cannot learn, be saved or be moved; load the part again for that.

Letters: B batch, C channels, N tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
_laying_out = Lock()  # of several threads with one model, one lays a layer's weights out


@cache
@torch.no_grad()
def available(dtype: torch.dtype = torch.float32) -> bool:
    """Whether torch has here what packing needs and computes the same with it. Both are tried: the names are not public."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    with torch.random.fork_rng(devices=[]):  # new layers draw from dice that are somebody else's
        linear, conv, line = nn.Linear(8, 16), nn.Conv2d(8, 8, 3, padding=1), nn.Conv1d(8, 8, 3)
        wide = nn.ConvTranspose1d(8, 8, 4, 2)
    for layer in (linear, conv, line, wide):
        for weight in layer.to(dtype).parameters():
            weight.copy_(noise(*weight.shape) / 4)
    x, plane, row = noise(3, 8), noise(2, 8, 5, 4), noise(2, 8, 9)
    try:
        pairs = (
            (
                PackedLinear.of(linear).add_into(x, torch.full((3, 16), 2.0, dtype=dtype), "mul"),
                2 * linear(x),
            ),
            (PackedGEGLU(linear)(x), geglu(linear, x)),
            (PackedConv(conv).add_into(plane, plane), conv(plane) + plane),
            (PackedConv(line)(row, "leaky_relu", 0.1), F.leaky_relu(line(row), 0.1)),
            (PackedConv(wide)(row), wide(row)),
        )
    except (RuntimeError, AttributeError, TypeError):
        return False
    return all(
        torch.allclose(got, want, atol=_TOLERANCE[dtype], rtol=_TOLERANCE[dtype])
        for got, want in pairs
    )


class PackedLinear(nn.Module):
    """x [..., D] -> [..., D'], by weights that are laid out for the number of rows first seen."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.raw: Tensor | None = weight.detach()
        self.bias = None if bias is None else bias.detach()
        self.packed: Tensor | None = None

    @classmethod
    def of(cls, layer: nn.Linear) -> PackedLinear:
        """The same as a linear layer."""
        return cls(layer.weight, layer.bias)

    def _laid_out(self, x: Tensor) -> Tensor:
        if self.packed is None:
            with _laying_out:
                if self.packed is None:
                    self.packed = torch.ops.mkldnn._reorder_linear_weight(
                        self.raw, x.numel() // x.shape[-1]
                    )
                    self.raw = None
        return self.packed

    def forward(self, x: Tensor, then: str = "none") -> Tensor:
        """`then`: none or gelu."""
        exact = "none" if then == "gelu" else ""  # not the approximation by tanh
        made: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._laid_out(x), self.bias, then, [], exact
        )
        return made

    def add_into(self, x: Tensor, other: Tensor, how: str = "add") -> Tensor:
        """other + layer(x), or with how="mul" other * layer(x)."""
        made: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            x, other, self._laid_out(x), self.bias, how
        )
        return made


class PackedGEGLU(nn.Module):
    """x [..., D] -> [..., D']: value * gelu(gate), where one linear layer to 2 D' makes both (arXiv 2002.05202, GEGLU)."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        halves = layer.weight.chunk(2), (None, None) if layer.bias is None else layer.bias.chunk(2)
        self.value, self.gate = (
            PackedLinear(w.contiguous(), b) for w, b in zip(*halves, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.value.add_into(x, self.gate(x, "gelu"), "mul")


class PackedConv(nn.Module):
    """x [B, C, H, W] -> [B, C', H', W'] in channels_last; of one dimension [B, C, N] it is the same with H = 1."""

    def __init__(self, layer: nn.Conv2d | nn.Conv1d | nn.ConvTranspose1d) -> None:
        super().__init__()
        weight = layer.weight.detach()
        self.flat = weight.ndim == 3
        self.bias = None if layer.bias is None else layer.bias.detach()
        self.transposed = layer.transposed

        def pair(numbers: Any, first: int) -> list[int]:
            return [first, int(numbers[0])] if self.flat else [int(n) for n in numbers]

        padding = layer.padding
        if isinstance(padding, str):
            assert padding == "same", padding
            padding = tuple(
                d * (k - 1) // 2 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)
            )
        self.padding, self.stride, self.dilation = (
            pair(padding, 0),
            pair(layer.stride, 1),
            pair(layer.dilation, 1),
        )
        self.raw: Tensor | None = weight[:, :, None] if self.flat else weight
        self.packed: Tensor | None = None

    def _laid_out(self, x: Tensor) -> Tensor:
        if self.packed is None:
            with _laying_out:
                if self.packed is None:
                    numbers = (self.stride, self.dilation, 1, list(x.shape))
                    if self.transposed:
                        reorder = torch.ops.mkldnn._reorder_convolution_transpose_weight
                        self.packed = reorder(self.raw, self.padding, [0, 0], *numbers)
                    else:
                        self.packed = torch.ops.mkldnn._reorder_convolution_weight(
                            self.raw, self.padding, *numbers
                        )
                    self.raw = None
        return cast(Tensor, self.packed)

    def forward(self, x: Tensor, then: str = "none", slope: float = 0.0) -> Tensor:
        """`then`: none or leaky_relu, of that slope."""
        x = x[:, :, None] if self.flat else x
        x = x.contiguous(memory_format=torch.channels_last)
        weight, numbers = self._laid_out(x), [slope] if then == "leaky_relu" else []
        if self.transposed:
            made: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(
                x,
                weight,
                self.bias,
                self.padding,
                [0, 0],
                self.stride,
                self.dilation,
                1,
                then,
                numbers,
                "",
            )
        else:
            made = torch.ops.mkldnn._convolution_pointwise(
                x, weight, self.bias, self.padding, self.stride, self.dilation, 1, then, numbers, ""
            )
        return made[:, :, 0] if self.flat else made

    def add_into(self, x: Tensor, other: Tensor) -> Tensor:
        """other + layer(x)."""
        x = (x[:, :, None] if self.flat else x).contiguous(memory_format=torch.channels_last)
        other = (other[:, :, None] if self.flat else other).contiguous(
            memory_format=torch.channels_last
        )
        made: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            x,
            other,
            self._laid_out(x),
            self.bias,
            self.padding,
            self.stride,
            self.dilation,
            1,
            "add",
            1.0,
            None,
            [],
            None,
        )
        return made[:, :, 0] if self.flat else made


def fused_add(layer: nn.Module, x: Tensor, other: Tensor) -> Tensor:
    """other + layer(x), at once where the layer is packed."""
    return (
        layer.add_into(x, other)
        if isinstance(layer, PackedLinear | PackedConv)
        else other + cast(Tensor, layer(x))
    )


def geglu(layer: nn.Module, x: Tensor) -> Tensor:
    """value * gelu(gate) of the two halves of what a layer makes of x [..., D] (GEGLU, arXiv 2002.05202)."""
    if isinstance(layer, PackedGEGLU):
        return cast(Tensor, layer(x))
    value, gate = layer(x).chunk(2, dim=-1)
    return cast(Tensor, value * F.gelu(gate))


def fused_leaky_relu(layer: nn.Module, x: Tensor, slope: float) -> Tensor:
    """leaky_relu(layer(x)), at once where the layer is packed."""
    return cast(
        Tensor,
        layer(x, "leaky_relu", slope)
        if isinstance(layer, PackedConv)
        else F.leaky_relu(layer(x), slope),
    )


def _worth(layer: nn.Conv2d) -> bool:
    """Whether packing a convolution pays; of few channels it does not, and older versions of torch cannot."""
    usual = layer.padding_mode == "zeros" and not any(layer.output_padding)
    return usual and layer.groups == 1 and min(layer.in_channels, layer.out_channels) >= _FEWEST


_FEWEST = 8
PACKS: dict[str, Callable[[nn.Linear], nn.Module]] = {"gate": PackedGEGLU, "linear": PackedLinear.of}


def pack(module: nn.Module) -> None:
    """Exchange what is below a module, in place: convolutions, and the linear layers that a module names in `packs`.

    `packs` maps the name of a layer to "gate" or "linear", or is None: nothing below is called as a layer. A module that has
    `to_be_packed` is told before.
    """
    told = getattr(module, "to_be_packed", None)
    if told is not None:
        told()
    named = getattr(module, "packs", {})
    for name, child in module.named_children() if named is not None else ():
        if name in named and isinstance(child, nn.Linear):
            setattr(module, name, PACKS[named[name]](child))
        elif type(child) in (nn.Conv2d, nn.Conv1d, nn.ConvTranspose1d) and _worth(
            cast(nn.Conv2d, child)
        ):
            setattr(module, name, PackedConv(cast(nn.Conv2d, child)))
        else:
            pack(child)
