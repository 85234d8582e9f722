"""Runs the samplers of `config.samplers`, and draws their noise.

B batch, C channels, T' F' latent grid, S sampling steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TypeAlias

import torch
from torch import Tensor

from ..config.architecture import DistilledUNetConfig
from ..config.samplers import SAMPLERS, SamplerName
from ..types import Denoiser, Step
from .schedule import Schedule

NoiseSource: TypeAlias = Callable[[Sequence[int]], Tensor]
"""(shape of one item) -> fresh normal noise [B, *shape]."""

PreStepHook: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(z [B, C, T', F'], t [B]) -> the z of the same noise level to continue from; called before every
prediction."""


class Noise:
    """A `NoiseSource` with one CPU generator per item of the batch.

    Item k of a batch therefore gets the noise it would get alone, and every device gets the same
    noise.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, shape: Sequence[int]) -> Tensor:
        """Draw [B, *shape] float32 on the CPU."""
        items = []
        for generator in self._generators:
            items.append(torch.randn(tuple(shape), generator=generator))
        return torch.stack(items)


def noise_for(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Return the first draw of `Noise(seeds)`, [B, *shape] float32 on the CPU."""
    return Noise(seeds)(shape)


def sampler_function(name: SamplerName) -> Callable[..., Iterator[Step]]:
    """Import a sampler's file and return its function.

    Args:
        name: A key of `SAMPLERS`.

    Returns:
        (denoise, z, schedule, timesteps, start=, pre_step=) -> steps; with `uses_eta` also eta= and
        noise=.
    """
    function = SAMPLERS[name].function
    module = import_module(f".samplers.{function}", __package__)
    return getattr(module, function)  # type: ignore[no-any-return]


def sampler_timesteps(
    name: SamplerName,
    schedule: Schedule,
    steps: int,
    distilled: DistilledUNetConfig | None = None,
) -> list[int]:
    """Return the train-time steps that a sampler visits, noisiest first.

    Args:
        name: A key of `SAMPLERS`.
        schedule: The noise schedule.
        steps: Their number. A distilled network has its own.
        distilled: Config of the distilled network, if the sampler runs one.

    Returns:
        The timesteps.
    """
    spacing = SAMPLERS[name].spacing
    if spacing is not None:
        return schedule.timesteps(steps, spacing)
    assert distilled is not None, "this sampler needs a distilled UNet"
    return list(distilled.timesteps)


def run_sampler(
    name: SamplerName,
    denoise: Denoiser,
    z: Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    eta: float = 0.0,
    noise: NoiseSource | None = None,
    start: int = 0,
    pre_step: PreStepHook | None = None,
) -> Iterator[Step]:
    """Run a sampler.

    Args:
        name: A key of `SAMPLERS`.
        denoise: The network with guidance.
        z: Noise [B, C, T', F'], or at `start` > 0 a noised latent.
        schedule: The noise schedule.
        timesteps: S train-time steps, noisiest first.
        eta: Amount of fresh noise per step, for samplers with `uses_eta`.
        noise: Source of that noise.
        start: Index of the first timestep to run.
        pre_step: Hook before every prediction.

    Yields:
        One step per timestep.
    """
    # only some samplers have these two parameters
    options = {"eta": eta, "noise": noise} if SAMPLERS[name].uses_eta else {}
    sample = sampler_function(name)
    yield from sample(denoise, z, schedule, timesteps, start=start, pre_step=pre_step, **options)
