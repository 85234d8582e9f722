"""Steps of weights: optimiser, learning rate over time, clipping, exponential moving average.

Knows parameters and step numbers. Refuses to know losses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .recipe import Optim


def optimiser(module: nn.Module, settings: Optim) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; gains, biases and tables of one axis are not decayed."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=settings.lr, betas=settings.betas, fused=True
    )


def rate_at(step: int, steps: int, settings: Optim) -> float:
    """Learning rate of `step` (0-based): linear warm-up, then half a cosine from lr to final * lr over the rest."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(1, steps - settings.warmup)
    low = settings.final
    return settings.lr * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))


def advance(optim: torch.optim.Optimizer, module: nn.Module, rate: float, clip: float) -> Tensor:
    """One clipped update at learning rate `rate`; returns the gradient's norm before clipping.

    A norm that is not finite skips the update.
    """
    for group in optim.param_groups:
        group["lr"] = rate
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
    if torch.isfinite(norm):
        optim.step()
    optim.zero_grad(set_to_none=True)
    return norm


class Ema:
    """Exponential moving average of a module's trainable parameters; the decay ramps up as (1 + n) / (10 + n) (spec 10.2)."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {
            k: p.detach().clone() for k, p in module.named_parameters() if p.requires_grad
        }

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards the module after update number `step` (0-based)."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for key, value in module.named_parameters():
            if key in self.shadow:
                self.shadow[key].lerp_(value.detach(), share)

    def state_of(self, module: nn.Module) -> dict[str, Tensor]:
        """The module's whole state with averaged parameters in place of the raw ones, under every name a tied one has."""
        averaged = {
            p.data_ptr(): self.shadow[k] for k, p in module.named_parameters() if k in self.shadow
        }
        return {k: averaged.get(v.data_ptr(), v) for k, v in module.state_dict().items()}
