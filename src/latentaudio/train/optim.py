"""One optimizer step: AdamW, learning rate, gradient clipping and averaged weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .recipe import OptimizerOptions
from .sharding import full_tensors


def build_optimizer(module: nn.Module, options: OptimizerOptions) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters of a module.

    Args:
        module: Module to train. Parameters that need no gradient are left out.
        options: Settings of the optimizer.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    # Decay shrinks matrices and kernels. Gains and biases have one axis and must stay free.
    decayed = [p for p in parameters if p.ndim > 1]
    undecayed = [p for p in parameters if p.ndim <= 1]
    groups = []
    if decayed:
        groups.append({"params": decayed, "weight_decay": options.weight_decay})
    if undecayed:
        groups.append({"params": undecayed, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=options.lr, betas=options.betas, fused=True)


def learning_rate(
    step: int, num_steps: int, options: OptimizerOptions, time_fraction: float = 0.0
) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine.

    Args:
        step: Number of the step, from 0.
        num_steps: Number of steps of the run.
        options: Settings of the optimizer.
        time_fraction: Part of the run's time that has passed, 0 to 1. It takes the place of the
            steps if it is further.
    """
    if step < options.warmup_steps:
        return options.lr * (step + 1) / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, num_steps - options.warmup_steps)
    progress = max(progress, time_fraction)
    low = options.final_lr_frac
    return options.lr * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def optimizer_step(
    optimizer: torch.optim.Optimizer, module: nn.Module, lr: float, max_grad_norm: float
) -> Tensor:
    """Apply one clipped update and clear the gradients.

    A gradient norm that is not finite skips the update.

    Args:
        optimizer: Optimizer of the module.
        module: Module that holds the gradients.
        lr: Learning rate of this step.
        max_grad_norm: Largest norm of the gradients.

    Returns:
        Norm of the gradients before clipping.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    norm: Tensor = full_tensors(torch.nn.utils.clip_grad_norm_(module.parameters(), max_grad_norm))
    if torch.isfinite(norm):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


class Ema:
    """Exponential moving average of a module's trainable parameters.

    The decay of update n, from 1, is (1 + n) / (10 + n), and `decay` at most (numerics: training).
    With a decay of 0 the average is the parameters themselves, and there is no copy of them.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start the average at the module's weights.

        Args:
            module: Module in training.
            decay: Highest decay.
        """
        self.decay = decay
        self.shadow: dict[str, Tensor] = {}
        for name, parameter in module.named_parameters():
            if parameter.requires_grad and decay > 0:
                self.shadow[name] = parameter.detach().clone()

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards the module.

        Args:
            module: Module in training.
            step: Number of the update, from 0.
        """
        num_updates = step + 1
        new_weight = 1 - min(self.decay, (1 + num_updates) / (10 + num_updates))
        for name, parameter in module.named_parameters():
            if name in self.shadow:
                self.shadow[name].lerp_(parameter.detach(), new_weight)

    def averaged_state(self, module: nn.Module) -> dict[str, Tensor]:
        """Return the module's state with averaged parameters in place of the raw ones.

        Args:
            module: Module in training.
        """
        # By identity: a tied parameter has one name here but several in the state.
        averaged: dict[int, Tensor] = {}
        for name, parameter in module.named_parameters():
            if name in self.shadow:
                averaged[id(parameter)] = self.shadow[name]
        state = {}
        for name, value in module.state_dict(keep_vars=True).items():
            state[name] = averaged.get(id(value), value.detach())
        return state
