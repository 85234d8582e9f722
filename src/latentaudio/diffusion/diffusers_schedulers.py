"""Sampling with somebody else's scheduler object, such as any of diffusers'. Knows their protocol, not their library."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor

from ..types import Denoiser, Step


class Scheduler(Protocol):
    """What every scheduler of diffusers has."""

    config: Any
    timesteps: Tensor
    init_noise_sigma: Any

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        """Choose the times of that many steps."""

    def scale_model_input(self, sample: Tensor, timestep: Any) -> Tensor:
        """The network's input made of the sampler's state."""

    def step(self, model_output: Tensor, timestep: Any, sample: Tensor, **more: Any) -> Any:
        """One update; the result has `prev_sample`."""


def run_scheduler(
    denoise: Denoiser, z: Tensor, scheduler: Scheduler, steps: int, **more: Any
) -> Iterator[Step]:
    """Sampling by a scheduler object from noise z [B, C, T', F'] of unit variance.

    more: what its `step` may take besides, such as eta and generator; what it does not know is left out, as its own pipelines
    do. Solvers of second order visit a time twice, so there may be more updates than `steps`.
    """
    scheduler.set_timesteps(steps, device=z.device)
    known = inspect.signature(scheduler.step).parameters
    extra = {name: value for name, value in more.items() if name in known}
    z = z * scheduler.init_noise_sigma
    total = len(scheduler.timesteps)
    for index, t in enumerate(scheduler.timesteps):
        prediction = denoise(scheduler.scale_model_input(z, t), t.expand(len(z)))
        done = scheduler.step(prediction, t, z, **extra)
        z = done.prev_sample
        clean = getattr(done, "pred_original_sample", None)
        yield Step(index, total, t.item(), z, z if clean is None else clean)
