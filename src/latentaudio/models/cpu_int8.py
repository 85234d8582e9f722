"""Linear layers and convolutions with 8-bit products, for CPUs without fast bf16.

Weights have one scale per output channel (per-channel, symmetric). Activations have one scale per
call, from their largest magnitude (dynamic), so nothing is calibrated. Sums are exact in 32 bits.
Results are float32 or bf16 like the input.

`cpu_packing.pack` uses these layers if it is asked for 8 bits. They are oneDNN's, as there.

B batch, C channels, N rows, D width.
"""

from __future__ import annotations

from functools import cache
from threading import Lock

import torch
from torch import Tensor, nn

MIN_WIDTH = 64
"""Layers that read fewer channels stay in floating point: too little work to pay for rounding."""

_WEIGHT_PEAK = 127
_MIN_PEAK = 1e-12  # of activations that are all zero
_LEVELS = (127, 63)
"""Largest magnitudes of rounded activations: 8 bits, or 7 where sums of pairs would saturate."""

_TOLERANCE = 0.03  # of the self-test, relative; saturated sums are off by 0.09
_pack_lock = Lock()


@cache
def levels() -> int:
    """Return the largest magnitude of rounded activations that this processor adds up right.

    Instructions before VNNI add pairs of products in 16 bits, which 8-bit activations overflow.
    0: this torch has no 8-bit operators.
    """
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 64, generator=generator)
    x = torch.randn(256, 64, generator=generator)
    target = x @ weight.T
    try:
        for candidate in _LEVELS:
            layer = Int8Linear(weight, None, candidate)
            error = float((layer(x) - target).norm() / target.norm())
            if error < _TOLERANCE:
                return candidate
    except (RuntimeError, AttributeError, TypeError):
        return 0
    return 0


def quantize(x: Tensor, peak_level: int) -> tuple[Tensor, float]:
    """Round x to unsigned 8-bit integers around `peak_level` + 1.

    Returns:
        The integers, and the scale: x is about (integers - peak_level - 1) * scale.
    """
    # the fastest operators that torch has for each part: half the time of the obvious ones
    scale = max(float(x.amax()), -float(x.amin()), _MIN_PEAK) / peak_level
    signed = x.mul(1.0 / scale).round_().to(torch.int8)
    return signed.view(torch.uint8).add_(peak_level + 1), scale


class _Int8Layer(nn.Module):
    """Weights as integers with a scale for each row.

    Attributes:
        peak_level: See `levels`.
        rounded: Integers, until the first call lays them out.
        scales: [D'], float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, peak_level: int) -> None:
        super().__init__()
        self.peak_level = peak_level
        rows = weight.detach().float()
        peaks = rows.flatten(1).abs().amax(dim=1).clamp_min(_MIN_PEAK)
        self.scales = peaks / _WEIGHT_PEAK
        shape = (-1, *(1,) * (rows.ndim - 1))
        self.rounded: Tensor | None = (rows / self.scales.view(shape)).round().to(torch.int8)
        self.zero_points = torch.zeros(len(rows), dtype=torch.int32)
        self.bias = None if bias is None else bias.detach().float()
        self.packed: Tensor | None = None

    def _prepacked_weight(self, x: Tensor, scale: float) -> Tensor:
        """The weight in oneDNN's layout for inputs of the shape of x."""
        if self.packed is None:
            with _pack_lock:
                if self.packed is None:
                    self.packed = self._pack(list(x.shape), scale)
                    self.rounded = None
        return self.packed

    def _pack(self, shape: list[int], scale: float) -> Tensor:
        raise NotImplementedError


class Int8Linear(_Int8Layer):
    """x [..., D] -> [..., D']."""

    def _pack(self, shape: list[int], scale: float) -> Tensor:
        packed: Tensor = torch.ops.onednn.qlinear_prepack(self.rounded, shape)
        return packed

    def multiply(
        self, integers: Tensor, scale: float, dtype: torch.dtype, activation: str
    ) -> Tensor:
        """Return the layer of `quantize`'s result and an activation, in a type."""
        out: Tensor = torch.ops.onednn.qlinear_pointwise(
            integers,
            scale,
            self.peak_level + 1,
            self._prepacked_weight(integers, scale),
            self.scales,
            self.zero_points,
            self.bias,
            1.0,
            0,
            dtype,
            activation,
            [],
            "none" if activation == "gelu" else "",  # the exact GELU, not tanh's
        )
        return out

    def forward(self, x: Tensor, activation: str = "none") -> Tensor:
        """Apply the layer and an activation, none or gelu."""
        rows = x.reshape(-1, x.shape[-1])
        out = self.multiply(*quantize(rows, self.peak_level), x.dtype, activation)
        return out.view(*x.shape[:-1], -1)

    def add_into(self, x: Tensor, other: Tensor) -> Tensor:
        """Return other + layer(x)."""
        out: Tensor = self(x)
        return out.add_(other)


class Int8GEGLU(nn.Module):
    """x [..., D] -> [..., D']: value * gelu(gate). GEGLU: arXiv 2002.05202."""

    def __init__(self, layer: nn.Linear, peak_level: int) -> None:
        super().__init__()
        value_weight, gate_weight = layer.weight.chunk(2)
        value_bias, gate_bias = (None, None) if layer.bias is None else layer.bias.chunk(2)
        self.value = Int8Linear(value_weight, value_bias, peak_level)
        self.gate = Int8Linear(gate_weight, gate_bias, peak_level)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        rounded = quantize(x.reshape(-1, x.shape[-1]), self.value.peak_level)
        gate = self.gate.multiply(*rounded, x.dtype, "gelu")
        out = self.value.multiply(*rounded, x.dtype, "none").mul_(gate)
        return out.view(*x.shape[:-1], -1)


class Int8Conv(_Int8Layer):
    """x [B, C, H, W] -> [B, C', H', W'] in channels_last."""

    def __init__(self, layer: nn.Conv2d, peak_level: int) -> None:
        super().__init__(layer.weight, layer.bias, peak_level)
        assert not isinstance(layer.padding, str), layer
        self.padding = list(layer.padding)
        self.stride = list(layer.stride)
        self.dilation = list(layer.dilation)

    def _pack(self, shape: list[int], scale: float) -> Tensor:
        numbers = (self.stride, self.padding, self.dilation, 1, shape)
        zero_point = self.peak_level + 1
        packed: Tensor = torch.ops.onednn.qconv_prepack(
            self.rounded, self.scales, scale, zero_point, *numbers
        )
        return packed

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        x = x.contiguous(memory_format=torch.channels_last)
        integers, scale = quantize(x, self.peak_level)
        weight = self._prepacked_weight(integers, scale)
        out: Tensor = torch.ops.onednn.qconv2d_pointwise(
            integers,
            scale,
            self.peak_level + 1,
            weight,
            self.scales,
            self.zero_points,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            1,  # groups
            1.0,
            0,
            x.dtype,
            "none",
            [],
            "",
        )
        return out

    def add_into(self, x: Tensor, other: Tensor) -> Tensor:
        """Return other + layer(x)."""
        out: Tensor = self(x)
        return out.add_(other)


def can_be_int8(layer: nn.Module) -> bool:
    """Whether a layer is a plain 2-D convolution with enough work."""
    if type(layer) is not nn.Conv2d or isinstance(layer.padding, str):
        return False
    is_plain = layer.groups == 1 and layer.padding_mode == "zeros"
    return is_plain and layer.in_channels >= MIN_WIDTH
