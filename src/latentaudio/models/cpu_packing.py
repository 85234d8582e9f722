"""Faster inference on a CPU.

Weights are laid out for oneDNN once instead of at every call, and neighboring layers are fused.

`pack` replaces layers below any module by layers of torch's oneDNN operators, those that
torch.compile calls. A packed module cannot be trained, saved or moved; load the component again for
that.

B batch, C channels, N tokens or samples, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cpu_int8 import MIN_WIDTH, Int8Conv, Int8GEGLU, Int8Linear, can_be_int8

MIN_CHANNELS = 8
"""Convolutions of fewer channels are faster unpacked."""

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}  # of the self-test in `available`
_pack_lock = Lock()  # threads share one model: one of them lays out a layer's weights


@cache
def available(dtype: torch.dtype = torch.float32) -> bool:
    """Return whether this torch has the operators that packing needs, with the right results.

    The operators are not public, so they are tried on small layers.
    """
    try:
        return _self_test(dtype)
    except (RuntimeError, AttributeError, TypeError):
        return False


@torch.no_grad()
def _self_test(dtype: torch.dtype) -> bool:
    """Whether every packed layer agrees with the layer that it replaces."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    with torch.random.fork_rng(
        devices=[]
    ):  # initial weights must not advance the caller's generator
        linear = nn.Linear(8, 16)
        conv = nn.Conv2d(8, 8, 3, padding=1)
        conv_1d = nn.Conv1d(8, 8, 3)
        transposed = nn.ConvTranspose1d(8, 8, 4, 2)
    for layer in (linear, conv, conv_1d, transposed):
        for weight in layer.to(dtype).parameters():
            weight.copy_(noise(*weight.shape) / 4)
    x = noise(3, 8)
    grid = noise(2, 8, 5, 4)
    signal = noise(2, 8, 9)
    twos = torch.full((3, 16), 2.0, dtype=dtype)
    pairs = (
        (PackedLinear.of(linear).add_into(x, twos, "mul"), 2 * linear(x)),
        (PackedGEGLU(linear)(x), geglu(linear, x)),
        (PackedConv(conv).add_into(grid, grid), conv(grid) + grid),
        (PackedConv(conv_1d)(signal, "leaky_relu", 0.1), F.leaky_relu(conv_1d(signal), 0.1)),
        (PackedConv(transposed)(signal), transposed(signal)),
    )
    tolerance = _TOLERANCE[dtype]
    return all(torch.allclose(a, b, atol=tolerance, rtol=tolerance) for a, b in pairs)


class PackedLinear(nn.Module):
    """x [..., D] -> [..., D'], with weights laid out for the number of rows of the first call."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.raw: Tensor | None = weight.detach()
        self.bias = None if bias is None else bias.detach()
        self.packed: Tensor | None = None

    @classmethod
    def of(cls, layer: nn.Linear) -> PackedLinear:
        """Return the packed form of a linear layer."""
        return cls(layer.weight, layer.bias)

    def _prepacked_weight(self, x: Tensor) -> Tensor:
        if self.packed is None:
            with _pack_lock:
                if self.packed is None:
                    num_rows = x.numel() // x.shape[-1]
                    self.packed = torch.ops.mkldnn._reorder_linear_weight(self.raw, num_rows)
                    self.raw = None
        return self.packed

    def forward(self, x: Tensor, activation: str = "none") -> Tensor:
        """Apply the layer and an activation, none or gelu."""
        algorithm = "none" if activation == "gelu" else ""  # "none" is the exact GELU, not tanh's
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._prepacked_weight(x), self.bias, activation, [], algorithm
        )
        return out

    def add_into(self, x: Tensor, other: Tensor, operation: str = "add") -> Tensor:
        """Return other + layer(x), or with operation="mul" other * layer(x)."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            x, other, self._prepacked_weight(x), self.bias, operation
        )
        return out


class PackedGEGLU(nn.Module):
    """x [..., D] -> [..., D']: value * gelu(gate), both from one linear layer to 2 D'.

    GEGLU: arXiv 2002.05202.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        # two layers, so that the gate's GELU and the product fuse into them
        value_weight, gate_weight = layer.weight.chunk(2)
        value_bias, gate_bias = (None, None) if layer.bias is None else layer.bias.chunk(2)
        self.value = PackedLinear(value_weight.contiguous(), value_bias)
        self.gate = PackedLinear(gate_weight.contiguous(), gate_bias)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.value.add_into(x, self.gate(x, "gelu"), "mul")


class PackedConv(nn.Module):
    """x [B, C, H, W] -> [B, C', H', W'] in channels_last; a 1-D x [B, C, N] is treated as H = 1."""

    def __init__(self, layer: nn.Conv2d | nn.Conv1d | nn.ConvTranspose1d) -> None:
        super().__init__()
        weight = layer.weight.detach()
        self.is_1d = weight.ndim == 3
        self.bias = None if layer.bias is None else layer.bias.detach()
        self.is_transposed_conv = layer.transposed
        # oneDNN takes numbers only
        padding = layer.padding
        if isinstance(padding, str):
            assert padding == "same", padding
            padding = tuple(
                d * (k - 1) // 2 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)
            )
        self.padding = self._pair(padding, 0)
        self.stride = self._pair(layer.stride, 1)
        self.dilation = self._pair(layer.dilation, 1)
        self.raw: Tensor | None = weight[:, :, None] if self.is_1d else weight
        self.packed: Tensor | None = None

    def _pair(self, numbers: Any, first: int) -> list[int]:
        """Both axes' numbers; `first` is the one of the axis that a 1-D layer lacks."""
        return [first, int(numbers[0])] if self.is_1d else [int(n) for n in numbers]

    def _prepacked_weight(self, x: Tensor) -> Tensor:
        if self.packed is None:
            with _pack_lock:
                if self.packed is None:
                    self.packed = self._reorder(list(x.shape))
                    self.raw = None
        return self.packed

    def _reorder(self, shape: list[int]) -> Tensor:
        """The weight in oneDNN's layout for inputs of that shape."""
        numbers = (self.stride, self.dilation, 1, shape)
        if self.is_transposed_conv:
            reorder = torch.ops.mkldnn._reorder_convolution_transpose_weight
            packed: Tensor = reorder(self.raw, self.padding, [0, 0], *numbers)
        else:
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            packed = reorder(self.raw, self.padding, *numbers)
        return packed

    def forward(self, x: Tensor, activation: str = "none", slope: float = 0.0) -> Tensor:
        """Apply the layer and an activation, none or leaky_relu with that slope."""
        x = self._to_channels_last(x)
        weight = self._prepacked_weight(x)
        scalars = [slope] if activation == "leaky_relu" else []
        numbers = (self.stride, self.dilation, 1, activation, scalars, "")
        if self.is_transposed_conv:
            transposed = torch.ops.mkldnn._convolution_transpose_pointwise
            out: Tensor = transposed(x, weight, self.bias, self.padding, [0, 0], *numbers)
        else:
            convolve = torch.ops.mkldnn._convolution_pointwise
            out = convolve(x, weight, self.bias, self.padding, *numbers)
        return out[:, :, 0] if self.is_1d else out

    def add_into(self, x: Tensor, other: Tensor) -> Tensor:
        """Return other + layer(x)."""
        x = self._to_channels_last(x)
        other = self._to_channels_last(other)
        weight = self._prepacked_weight(x)
        numbers = (self.padding, self.stride, self.dilation, 1)
        # "add" with factor 1, then no activation
        operation: tuple[Any, ...] = ("add", 1.0, None, [], None)
        convolve = torch.ops.mkldnn._convolution_pointwise.binary
        out: Tensor = convolve(x, other, weight, self.bias, *numbers, *operation)
        return out[:, :, 0] if self.is_1d else out

    def _to_channels_last(self, x: Tensor) -> Tensor:
        x = x[:, :, None] if self.is_1d else x
        # oneDNN's convolutions are fastest in this layout, and keep it
        return x.contiguous(memory_format=torch.channels_last)


def fused_add(layer: nn.Module, x: Tensor, other: Tensor) -> Tensor:
    """Return other + layer(x), in one kernel if the layer is packed."""
    if isinstance(layer, PackedLinear | PackedConv | Int8Linear | Int8Conv):
        return layer.add_into(x, other)
    return other + cast(Tensor, layer(x))


def geglu(layer: nn.Module, x: Tensor) -> Tensor:
    """Return value * gelu(gate) of the two halves of layer(x), x [..., D].

    GEGLU: arXiv 2002.05202.
    """
    if isinstance(layer, PackedGEGLU | Int8GEGLU):
        return cast(Tensor, layer(x))
    value, gate = layer(x).chunk(2, dim=-1)
    return cast(Tensor, value * F.gelu(gate))


def fused_leaky_relu(layer: nn.Module, x: Tensor, slope: float) -> Tensor:
    """Return leaky_relu(layer(x)), in one kernel if the layer is packed."""
    if isinstance(layer, PackedConv):
        return cast(Tensor, layer(x, "leaky_relu", slope))
    return F.leaky_relu(layer(x), slope)


def _should_pack(layer: nn.Conv2d) -> bool:
    """Whether packing makes a convolution faster.

    With few channels it does not, and older versions of torch fail.
    """
    is_plain = layer.padding_mode == "zeros" and not any(layer.output_padding)
    has_channels = min(layer.in_channels, layer.out_channels) >= MIN_CHANNELS
    return is_plain and layer.groups == 1 and has_channels


PACKERS: dict[str, Callable[[nn.Linear], nn.Module]] = {
    "geglu": PackedGEGLU,
    "linear": PackedLinear.of,
}
"""Packed form of a linear layer, by the value that a module's `packable_layers` gives it."""


def pack(module: nn.Module, peak_level: int = 0) -> None:
    """Replace layers below a module in place.

    Convolutions, and the linear layers listed in a module's `packable_layers`.

    `packable_layers` maps the name of a linear layer to "geglu" or "linear". None: the module uses
    its layers' weights itself, so they stay. A module's `prepare_for_packing` is called first.
    `float_layers` names convolutions whose products never have 8 bits.

    Args:
        module: The module.
        peak_level: Largest magnitude of 8-bit activations, see `cpu_int8.levels`. 0: products in
            the type of the weights.
    """
    prepare = getattr(module, "prepare_for_packing", None)
    if prepare is not None:
        prepare()
    packable = getattr(module, "packable_layers", {})
    if packable is None:
        return
    float_layers = getattr(module, "float_layers", ())
    for name, child in module.named_children():
        if name in packable and isinstance(child, nn.Linear):
            setattr(module, name, _packed_linear(child, packable[name], peak_level))
        elif peak_level and name not in float_layers and can_be_int8(child):
            setattr(module, name, Int8Conv(cast(nn.Conv2d, child), peak_level))
        elif type(child) in (nn.Conv2d, nn.Conv1d, nn.ConvTranspose1d) and _should_pack(
            cast(nn.Conv2d, child)
        ):
            # subclasses have a forward of their own, hence the exact type above
            setattr(module, name, PackedConv(cast(nn.Conv2d, child)))
        else:
            pack(child, peak_level)


def _packed_linear(layer: nn.Linear, kind: str, peak_level: int) -> nn.Module:
    """The packed form of a linear layer, with 8-bit products if it is wide enough."""
    if not peak_level or layer.in_features < MIN_WIDTH:
        return PACKERS[kind](layer)
    if kind == "geglu":
        return Int8GEGLU(layer, peak_level)
    return Int8Linear(layer.weight, layer.bias, peak_level)
