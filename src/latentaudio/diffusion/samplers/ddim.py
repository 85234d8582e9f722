"""DDIM, the sampler of both papers.

B batch, C channels, T' F' latent grid, S sampling steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...errors import UsageError
from ...types import Denoiser, Step
from ..sampling import NoiseSource, PreStepHook
from ..schedule import Schedule


def ddim(
    denoise: Denoiser,
    z: Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    eta: float = 0.0,
    noise: NoiseSource | None = None,
    start: int = 0,
    pre_step: PreStepHook | None = None,
) -> Iterator[Step]:
    """Sample with DDIM (arXiv 2010.02502, eq. 12 and 16; numerics: schedules and samplers).

        z' = sqrt(a') x0 + sqrt(1 - a' - s^2) epsilon + s noise
        s = eta sqrt((1 - a') / (1 - a)) sqrt(1 - a / a')

    a is abar of this timestep, a' that of the next one. The last step goes to abar[0], not to
    clean data, as published, unless the schedule's config says otherwise.

    Args:
        denoise: The network with guidance.
        z: Noise [B, C, T', F'], or at `start` > 0 a noised latent.
        schedule: The noise schedule.
        timesteps: S train-time steps, noisiest first.
        eta: Amount of fresh noise per step, 0 (deterministic) to 1 (ancestral). One draw after
            every prediction.
        noise: Source of that noise; needed if eta > 0.
        start: Index of the first timestep to run.
        pre_step: Hook before every prediction.

    Yields:
        One step per timestep.

    Raises:
        UsageError: eta > 0 without `noise`.
    """
    if eta > 0 and noise is None:
        raise UsageError(f"eta = {eta} needs a source of noise; pass noise=Noise(seeds) or eta=0")
    steps = len(timesteps)
    assert 0 <= start <= steps, f"start {start} lies outside {steps} steps"
    for index in range(start, steps):
        t = z.new_full(z.shape[:1], timesteps[index], dtype=torch.long)
        z = pre_step(z, t) if pre_step is not None else z
        x0, epsilon = schedule.to_x0_and_eps(z, t, denoise(z, t))
        a = float(schedule.alphas_cumprod[timesteps[index]])
        a_next = schedule.ddim_next_alpha(timesteps, index)
        # max(): rounding may make these differences negative by an ulp
        s = eta * math.sqrt((1.0 - a_next) / (1.0 - a) * max(0.0, 1.0 - a / a_next))
        z = math.sqrt(a_next) * x0 + math.sqrt(max(0.0, 1.0 - a_next - s * s)) * epsilon
        if noise is not None and eta > 0:
            z = z + s * noise(z.shape[1:]).to(z)
        yield Step(index, steps, timesteps[index], z, x0)
