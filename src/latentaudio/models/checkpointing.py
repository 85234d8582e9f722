"""Activation checkpointing: blocks keep their inputs alone, and the backward pass runs them again.

See arXiv 1604.06174. Gradients are the same to the bit where a block computes the same twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .audiomae import Block
from .blocks import ResBlock
from .unet import ResAttentionBlock
from .vae import SpatialAttention

CHECKPOINTED = (ResAttentionBlock, ResBlock, SpatialAttention, Block)
"""Blocks that run again. Blocks inside of one that does are left as they are."""
CHECKPOINTED_NAMES = ("GPT2Block", "ClapTextLayer", "ClapAudioLayer")
"""Names of blocks of transformers that run again."""


def checkpoint_activations(
    module: nn.Module, around_second_run: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> int:
    """Make the blocks of a module keep their inputs alone.

    Args:
        module: Module in training; names and values of its parameters stay as they are.
        around_second_run: Returns the context of the second run, which gradients need.

    Returns:
        Number of blocks.
    """
    if isinstance(module, CHECKPOINTED) or type(module).__name__ in CHECKPOINTED_NAMES:
        forward = partial(_run_again, module.forward, around_second_run)
        module.forward = forward  # type: ignore[method-assign]
        return 1
    return sum(checkpoint_activations(child, around_second_run) for child in module.children())


def _run_again(
    forward: Callable[..., Any],
    around_second_run: Callable[[], AbstractContextManager[Any]],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Run a block; with gradients on and no cache of keys, forget what it computed inside."""
    values = (*args, *kwargs.values())
    has_cache = any(hasattr(value, "get_seq_length") for value in values)  # it grows in every run
    if has_cache or not torch.is_grad_enabled():
        return forward(*args, **kwargs)

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), around_second_run()

    return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)
