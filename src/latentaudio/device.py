"""Where arithmetic happens and in which type. Knows torch's devices; refuses to know models."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from .errors import UsageError


def pick_device(wish: str) -> torch.device:
    """The device called `wish`; "auto" is CUDA, then Apple's MPS, then the CPU. Raises UsageError for one that is not there."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wish == "auto":
        return torch.device(next(name for name, found in there.items() if found))
    if not there.get(wish.partition(":")[0], False):
        found = ", ".join(name for name, found in there.items() if found)
        raise UsageError(f"there is no device {wish!r} here; choose auto or one of: {found}")
    try:
        return torch.device(wish)
    except RuntimeError:
        raise UsageError(
            f"{wish!r} names no device; write auto, cpu, cuda or, for the second GPU, cuda:1"
        ) from None


def fast_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """The fast type: bf16 where asked for or, with "auto", where the hardware multiplies it faster; None is float32."""
    if precision not in ("auto", "bf16", "fp32"):
        raise UsageError(f"precision {precision!r} is not known; choose auto, bf16 or fp32")
    if precision == "fp32":
        return None
    if precision == "bf16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    return torch.bfloat16 if device.type == "cpu" and _cpu_has_bf16() else None


@cache
def _cpu_has_bf16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and any(
        flag in cpuinfo.read_text() for flag in ("avx512_bf16", "amx_bf16")
    )
