"""Choice of the device and of the number format that a model computes with.

`torch_defaults` keeps settings of the host program, such as its default dtype, out of our results.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

from .config.instruction_sets import INSTRUCTION_SETS, held_set
from .errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

_BF16_FLAGS = ("avx512_bf16", "amx_bf16")

PRECISIONS = ("auto", "bf16", "fp32", "int8")


def pick_device(name: str | torch.device) -> torch.device:
    """Return a device by its name, if this machine has it.

    Args:
        name: "cpu", "cuda", "mps" or "cuda:1", or a device; "auto" is CUDA, then Apple's MPS, then
            the CPU.

    Raises:
        UsageError: If this machine has no such device.
    """
    name = str(name)
    is_available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    available = [kind for kind in is_available if is_available[kind]]
    if name == "auto":
        return torch.device(available[0])
    if name.partition(":")[0] not in available:
        raise UsageError(
            f"device {name!r} is not available; choose auto or one of: {', '.join(available)}"
        )
    try:
        return torch.device(name)
    except RuntimeError:
        raise UsageError(
            f"{name!r} is not a device; write auto, cpu, cuda or, for the second GPU, cuda:1"
        ) from None


def fast_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """Return the number format of the large networks.

    Args:
        device: The device they run on.
        precision: "bf16", "fp32", or "auto": bf16 if the hardware multiplies it faster. "int8":
            as "auto"; it is the format of what is not computed with 8-bit products.

    Returns:
        `torch.bfloat16`, or None for float32.

    Raises:
        UsageError: If there is no such precision.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision = {precision!r} must be one of: {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return None
    if precision == "bf16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    return torch.bfloat16 if device.type == "cpu" and _cpu_has_bf16() else None


def uses_int8(device: torch.device, precision: str) -> bool:
    """Return whether a precision means 8-bit products in the UNet.

    Args:
        device: The device that the UNet runs on.
        precision: See `fast_dtype`.

    Raises:
        UsageError: If they are asked for on another device than a CPU.
    """
    if precision == "int8" and device.type != "cpu":
        raise UsageError(f"precision int8 is for CPUs, not for {device}; choose auto or bf16")
    return precision == "int8"


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Run a block under torch's own defaults, and restore those of the host program.

    The defaults are float32, the CPU, no autocast and full float32 products. Without this, the same
    request would give another clip, or an error, in a program with other settings.
    """
    dtype = torch.get_default_dtype()
    precision = torch.get_float32_matmul_precision()
    with ExitStack() as stack:
        # These two hold for all threads, so they are left alone where they are right already.
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        if precision != "highest":
            torch.set_float32_matmul_precision("highest")
            stack.callback(torch.set_float32_matmul_precision, precision)
        if torch.get_default_device().type != "cpu":  # the context costs time at every operation
            stack.enter_context(torch.device("cpu"))
        for device_type in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        yield


def with_torch_defaults(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to run under `torch_defaults`."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch_defaults():
            return function(*args, **kwargs)

    return wrapper


def iterate_with_torch_defaults(
    function: Callable[P, Iterator[R]],
) -> Callable[P, Iterator[R]]:
    """Decorate a generator function: between two items the host program has its settings back."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        with torch_defaults():
            iterator = function(*args, **kwargs)
        while True:
            with torch_defaults():
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    return wrapper


@cache
def _cpu_has_bf16() -> bool:
    """Whether Linux reports instructions for bf16 dot products, and this process may use them."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return False
    flags = set(cpuinfo.read_text().split())
    limit = held_set(os.environ)
    if limit:
        flags &= set(INSTRUCTION_SETS[limit].flags)
    return not flags.isdisjoint(_BF16_FLAGS)
