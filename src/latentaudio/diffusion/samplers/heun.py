"""Heun's method: two predictions per step, second order.

B batch, C channels, T' F' latent grid, S sampling steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...types import Denoiser, Step
from ..sampling import PreStepHook
from ..schedule import Schedule


def heun(
    denoise: Denoiser,
    z: Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    start: int = 0,
    pre_step: PreStepHook | None = None,
) -> Iterator[Step]:
    """Sample with Heun's method of second order (arXiv 2206.00364, algorithm 1); deterministic.

    With x = z / alpha and s = sigma / alpha:

        dx / ds = (x - x0) / s

    Each step takes the mean of the derivatives at its two ends. So it calls the network twice.
    The last step returns x0.

    Args:
        denoise: The network with guidance.
        z: Noise [B, C, T', F'], or at `start` > 0 a noised latent.
        schedule: The noise schedule.
        timesteps: S train-time steps, noisiest first.
        start: Index of the first timestep to run.
        pre_step: Hook before the first prediction of every step.

    Yields:
        One step per timestep.
    """
    times = [*timesteps, -1]  # -1 is clean data
    for index in range(start, len(timesteps)):
        t = z.new_full(z.shape[:1], times[index], dtype=torch.long)
        z = pre_step(z, t) if pre_step is not None else z
        x0, _ = schedule.to_x0_and_eps(z, t, denoise(z, t))
        alpha, sigma = schedule.alpha_sigma(times[index])
        alpha_next, sigma_next = schedule.alpha_sigma(times[index + 1])
        if sigma_next == 0:  # no derivative exists at clean data
            z = x0
        else:
            x = z / alpha
            stride = sigma_next / alpha_next - sigma / alpha  # negative: the noise falls
            derivative = (x - x0) * alpha / sigma
            euler = x + stride * derivative  # first-order guess of the end of the step
            t_next = z.new_full(z.shape[:1], times[index + 1], dtype=torch.long)
            z_euler = alpha_next * euler
            x0_next, _ = schedule.to_x0_and_eps(z_euler, t_next, denoise(z_euler, t_next))
            derivative_next = (euler - x0_next) * alpha_next / sigma_next
            z = alpha_next * (x + stride * (derivative + derivative_next) / 2)
        yield Step(index, len(timesteps), times[index], z, x0)
