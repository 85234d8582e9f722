"""A block without autocast, on every device."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def no_autocast(tensor: Tensor) -> AbstractContextManager[None]:
    """Return a context that computes in the types of its tensors: bfloat16 loses faint bands.

    Args:
        tensor: Tensor on the device. The meta device stands for the CPU.
    """
    device_type = "cpu" if tensor.is_meta else tensor.device.type
    context: AbstractContextManager[None] = torch.autocast(device_type, enabled=False)
    return context
