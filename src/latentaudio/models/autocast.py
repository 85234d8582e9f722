"""A block without autocast, on every device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def no_autocast(tensor: Tensor) -> AbstractContextManager[None]:
    """Return a context that computes in the types of its tensors: bfloat16 loses faint bands.

    Args:
        tensor: Tensor on the device. The meta device has no autocast.
    """
    if tensor.is_meta:
        return nullcontext()
    context: AbstractContextManager[None] = torch.autocast(tensor.device.type, enabled=False)
    return context
