"""The sampler of a distilled UNet: its own few timesteps, without guidance.

B batch, C channels, T' F' latent grid, S sampling steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...types import Denoiser, Step
from ..sampling import PreStepHook
from ..schedule import Schedule


def distilled(
    denoise: Denoiser,
    z: Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    start: int = 0,
    pre_step: PreStepHook | None = None,
) -> Iterator[Step]:
    """Sample to clean data in few steps with a distilled network: z' = alpha' x0 + sigma' epsilon.

    This is DDIM's update (arXiv 2010.02502, eq. 12) with eta = 0; LCM sampling would draw new noise
    at each step. The network was distilled to go from each of `timesteps` to the next at once
    (phased consistency distillation, arXiv 2405.18407). It takes no other ones.

    Args:
        denoise: The distilled network, without guidance.
        z: Noise [B, C, T', F'].
        schedule: The noise schedule.
        timesteps: The S train-time steps that it was distilled for, noisiest first.
        start: Index of the first timestep to run.
        pre_step: Hook before every prediction.

    Yields:
        One step per timestep.
    """
    times = [*timesteps, -1]  # -1 is clean data
    for index in range(start, len(timesteps)):
        t = z.new_full(z.shape[:1], times[index], dtype=torch.long)
        z = pre_step(z, t) if pre_step is not None else z
        x0, epsilon = schedule.to_x0_and_eps(z, t, denoise(z, t))
        # alpha and sigma of the next timestep
        alpha, sigma = schedule.alpha_sigma(times[index + 1])
        z = alpha * x0 + sigma * epsilon
        yield Step(index, len(timesteps), times[index], z, x0)
