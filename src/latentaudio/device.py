"""Choice of the device and of the number format that a model computes with."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from .errors import UsageError

PRECISIONS = ("auto", "bf16", "fp32")


def pick_device(name: str) -> torch.device:
    """Return a device by its name.

    Args:
        name: "cpu", "cuda", "mps" or "cuda:1"; "auto" is CUDA, then Apple's MPS, then the CPU.

    Raises:
        UsageError: If this machine has no such device.
    """
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
        precision: "bf16", "fp32", or "auto": bf16 if the hardware multiplies it faster.

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


@cache
def _cpu_has_bf16() -> bool:
    """Whether Linux reports instructions for bf16 dot products."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return False
    flags = cpuinfo.read_text()
    return "avx512_bf16" in flags or "amx_bf16" in flags
