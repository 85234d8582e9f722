"""Sampling with a scheduler object of diffusers, or any other object with the same methods.

Imports no diffusers.

B batch, C channels, T' F' latent grid.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor

from ..types import Denoiser, Step


class Scheduler(Protocol):
    """The members that all schedulers of diffusers share."""

    config: Any
    timesteps: Tensor
    init_noise_sigma: Any

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        """Choose the timesteps."""

    def scale_model_input(self, sample: Tensor, timestep: Any) -> Tensor:
        """Return the network's input for the sampler's state."""

    def step(self, model_output: Tensor, timestep: Any, sample: Tensor, **kwargs: Any) -> Any:
        """Return an object whose `prev_sample` is the next state."""


def run_scheduler(
    denoise: Denoiser, z: Tensor, scheduler: Scheduler, steps: int, **kwargs: Any
) -> Iterator[Step]:
    """Sample with a scheduler object.

    Args:
        denoise: The network with guidance.
        z: Noise [B, C, T', F'] of unit variance.
        scheduler: The scheduler.
        steps: Number of inference steps. Second-order solvers visit a timestep twice, so there may
            be more updates.
        kwargs: Arguments for the scheduler's `step`, such as eta and generator; those that it does
            not take are dropped, as diffusers' pipelines do.

    Yields:
        One step per update.
    """
    scheduler.set_timesteps(steps, device=z.device)
    accepted = inspect.signature(scheduler.step).parameters
    extra = {name: value for name, value in kwargs.items() if name in accepted}
    z = z * scheduler.init_noise_sigma
    total = len(scheduler.timesteps)
    for index, t in enumerate(scheduler.timesteps):
        prediction = denoise(scheduler.scale_model_input(z, t), t.expand(len(z)))
        output = scheduler.step(prediction, t, z, **extra)
        z = output.prev_sample
        x0 = getattr(output, "pred_original_sample", None)  # not every scheduler estimates it
        yield Step(index, total, t.item(), z, z if x0 is None else x0)
