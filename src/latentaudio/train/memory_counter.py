"""Memory of a computation that runs on the meta device, as a real device would need it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of all tensors on the meta device that exist at the same time.

    Attributes:
        live: Bytes now.
        peak: Most bytes so far.
        at_backward: Bytes when the gradients begin: the activations.
    """

    def __init__(self, existing: Iterable[Any]) -> None:
        """Begin to count.

        Args:
            existing: Modules and tensors that do not count.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self.at_backward = 0
        self._storages: dict[int, weakref.ref[Any]] = {}
        for value in existing:
            tensors = tree_leaves(value)
            if isinstance(value, nn.Module):
                tensors = [*value.parameters(), *value.buffers()]
            for tensor in tensors:
                if isinstance(tensor, Tensor):
                    self._add(tensor, 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call an operator and count its results."""
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and value.is_meta:
                self._add(value, value.untyped_storage().nbytes())
        return result

    def _add(self, tensor: Tensor, num_bytes: int) -> None:
        """Count the storage of a tensor until it is freed, unless it is known."""
        storage = tensor.untyped_storage()
        key = id(storage)
        known = self._storages.get(key)
        if known is not None and known() is storage:
            return

        def forget(_: Any) -> None:
            self.live -= num_bytes
            self._storages.pop(key, None)

        self._storages[key] = weakref.ref(storage, forget)
        self.live += num_bytes
        self.peak = max(self.peak, self.live)


class EmulatedKernels(TorchFunctionMode):
    """Replaces functions on the meta device by what a real device runs.

    Attention becomes the fused kernel. With a type of autocast, products are computed in it, unless
    the autocast of the CPU is off (`models.autocast`).

    Attributes:
        copies: Weights in the type of autocast, which exist until the losses are computed.
        flops: Operations of fused attention, which the counter of torch does not see.
    """

    def __init__(self, device_type: str, dtype: torch.dtype | None) -> None:
        """Begin to replace.

        Args:
            device_type: Device to emulate.
            dtype: Type of autocast; None: float32.
        """
        super().__init__()
        self.dtype = dtype
        self.keeps_norms = device_type == "cuda"
        self.copies: dict[int, Tensor] = {}
        self.flops = 0

    def second_run(self) -> AbstractContextManager[None]:
        """Return a context that emulates the second run of a checkpointed block."""
        return _SecondRun(self)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function, or what a real device runs instead."""
        kwargs = kwargs or {}
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        if not any(tensor.is_meta for tensor in tensors):
            return func(*args, **kwargs)
        if func is Tensor.__bool__:  # whether a mask is full: texts of examples are
            return True
        is_autocast = self.dtype is not None and torch.is_autocast_enabled("cpu")
        if is_autocast and func in _PRODUCTS:
            args = [self._lower(value) for value in args]
            kwargs = {name: self._lower(value) for name, value in kwargs.items()}
        elif is_autocast and self.keeps_norms and func in _FLOAT32_FUNCTIONS:
            args = [_float32(value) for value in args]
        if func is F.scaled_dot_product_attention:
            out: Tensor = _FusedAttention.apply(*args[:3], self)  # type: ignore[no-untyped-call]
            return out
        return func(*args, **kwargs)

    def _lower(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(self._lower(item) for item in value)
        if not isinstance(value, Tensor) or value.dtype is not torch.float32:
            return value
        if not isinstance(value, nn.Parameter):
            return value.to(self.dtype)
        if id(value) not in self.copies:
            self.copies[id(value)] = value.to(self.dtype)
        return self.copies[id(value)]


class _SecondRun(AbstractContextManager[None]):
    """Emulates inside the block.

    An exception ends a second run. A generator would keep its frames, and with them the tensors.
    """

    def __init__(self, kernels: EmulatedKernels) -> None:
        self.kernels = kernels

    def __enter__(self) -> None:
        self.kernels.__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *exception: Any) -> None:
        self.kernels.__exit__(*exception)  # type: ignore[no-untyped-call]
        self.kernels.copies.clear()  # as autocast does at the end of each run


class _FusedAttention(torch.autograd.Function):
    """Attention that stores no scores, as fused kernels compute it: shapes alone."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, kernels: EmulatedKernels) -> Tensor:
        """Return an output [B, H, N, D]; count two matrix products."""
        out = q.new_empty(*q.shape[:-1], v.shape[-1])
        sums = q.new_empty(q.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(q, k, v, out, sums)
        ctx.kernels = kernels
        kernels.flops += 2 * _product_flops(q, k)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return gradients of queries, keys and values; count five matrix products."""
        q, k, v, _, _ = ctx.saved_tensors
        ctx.kernels.flops += 5 * _product_flops(q, k)
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v), None


def _product_flops(q: Tensor, k: Tensor) -> int:
    """Operations of the product of all queries and keys."""
    return 2 * q.numel() * k.shape[-2]


def _float32(value: Any) -> Any:
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    return value.float() if is_float else value


_PRODUCTS = {
    F.linear,
    F.conv1d,
    F.conv2d,
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.scaled_dot_product_attention,
    torch.matmul,
    torch.bmm,
    torch.addmm,
    torch.baddbmm,
    torch.einsum,
    Tensor.matmul,
    Tensor.__matmul__,
    Tensor.bmm,
}
"""Functions that autocast computes in its type."""
_FLOAT32_FUNCTIONS = {
    F.layer_norm,
    F.group_norm,
    F.softmax,
    torch.softmax,
    Tensor.softmax,
    Tensor.exp,
    Tensor.log,
    Tensor.pow,
    Tensor.sum,
    Tensor.square,
}
"""Functions that autocast on CUDA computes in float32."""
