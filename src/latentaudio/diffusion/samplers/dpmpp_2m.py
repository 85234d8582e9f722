"""DPM-Solver++(2M): few steps, each with one prediction.

B batch, C channels, T' F' latent grid, S sampling steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...types import Denoiser, Step
from ..sampling import PreStepHook
from ..schedule import Schedule


def dpmpp_2m(
    denoise: Denoiser,
    z: Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    start: int = 0,
    pre_step: PreStepHook | None = None,
) -> Iterator[Step]:
    """Sample with DPM-Solver++(2M) to clean data; deterministic (arXiv 2211.01095, algorithm 2).

        D = (1 + 1 / 2r) x0 - 1 / 2r previous_x0
        z' = sigma' / sigma z - alpha' (exp(-h) - 1) D

    lambda = ln(alpha / sigma), h is the stride of lambda, r the previous stride divided by h.
    alpha' and sigma' are those of the next timestep. The first step has no previous x0. The last
    step ends at clean data, where h is infinite. Both therefore use first order.

    Args:
        denoise: The network with guidance.
        z: Noise [B, C, T', F'], or at `start` > 0 a noised latent.
        schedule: The noise schedule.
        timesteps: S train-time steps, noisiest first.
        start: Index of the first timestep to run.
        pre_step: Hook before every prediction.

    Yields:
        One step per timestep.
    """
    steps = len(timesteps)
    assert 0 <= start <= steps, f"start {start} lies outside {steps} steps"
    times = [*timesteps, -1]  # -1 is clean data
    previous_x0 = z
    previous_h = math.inf
    for index in range(start, steps):
        t = z.new_full(z.shape[:1], times[index], dtype=torch.long)
        z = pre_step(z, t) if pre_step is not None else z
        x0, _ = schedule.to_x0_and_eps(z, t, denoise(z, t))
        alpha, sigma = schedule.alpha_sigma(times[index])
        alpha_next, sigma_next = schedule.alpha_sigma(times[index + 1])
        h = math.inf
        if sigma_next > 0:
            h = math.log(alpha_next / sigma_next) - math.log(alpha / sigma)
        # The first step has no previous x0. The last step ends at clean data, where h is infinite.
        # Both therefore use first order.
        correction = 0.0 if math.inf in (h, previous_h) else h / (2.0 * previous_h)
        z = sigma_next / sigma * z - alpha_next * math.expm1(-h) * (
            x0 + correction * (x0 - previous_x0)
        )
        previous_x0 = x0
        previous_h = h
        yield Step(index, steps, times[index], z, x0)
