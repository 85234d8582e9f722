"""Samplers: functions of a `Denoiser` that yield steps. Refuses to know networks, conditioning and devices.

Each goes through S decreasing times t_0 > t_1 > ... and yields one `Step` per update, so that progress, preview, cancelling and
streaming are the caller's loop. `start` leaves out the first steps: z is then expected at the noise level of times[start]
(`Schedule.q_sample`); `times` takes the place of what `spacing` says; `before` may change z before each prediction. That is all
that editing needs.

Letters: B batch, C channels, T' F' latent grid, S sampling steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from ..errors import UsageError
from ..types import Denoiser, Step
from .schedule import Schedule, Spacing

NoiseSource: TypeAlias = Callable[[Sequence[int]], Tensor]
"""(shape of one item) -> fresh normal noise [B, *shape]."""
PreStepHook: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(z [B, C, T', F'], t [B]) -> the z of that noise level to go on from, asked before every prediction."""


SPACING: dict[str, Spacing] = {"ddim": "leading", "dpm++": "log_snr"}
"""How each sampler spreads its times."""


class Noise:
    """A `NoiseSource` in which every item of a batch has its own CPU generator.

    Item k of a batch therefore gets the noise it would get alone, and every device gets the noise of every other.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, shape: Sequence[int]) -> Tensor:
        return torch.stack(
            [torch.randn(tuple(shape), generator=generator) for generator in self._generators]
        )


def noise_for(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """The first draw of `Noise(seeds)`, [B, *shape] float32 on the CPU. Keep the `Noise` itself when a sampler needs more."""
    return Noise(seeds)(shape)


def keep_known_region(x0: Tensor, mask: Tensor, schedule: Schedule, noise: NoiseSource) -> PreStepHook:
    """Inpainting's mix m q_sample(x0, t) + (1 - m) z, with noise drawn at every step (arXiv 2301.12503, section 3.5; spec 8.2).

    x0 [B, C, T', F'] is the clean latent; mask [1 or B, 1, T', F'] is 1 where it is kept and 0 where it is made anew.
    """

    def mixed(z: Tensor, t: Tensor) -> Tensor:
        return mask * schedule.q_sample(x0, noise(z.shape[1:]).to(z), t) + (1 - mask) * z

    return mixed


def ddim(
    denoise: Denoiser,
    z: Tensor,
    schedule: Schedule,
    steps: int,
    eta: float = 0.0,
    noise: NoiseSource | None = None,
    start: int = 0,
    spacing: Spacing = "leading",
    before: PreStepHook | None = None,
    times: Sequence[int] | None = None,
) -> Iterator[Step]:
    """DDIM (arXiv 2010.02502, eq. 12 and 16; spec 5.2) from noise z [B, C, T', F'].

    z' = sqrt(a') x0 + sqrt(1 - a' - s^2) epsilon + s noise,  s = eta sqrt((1 - a') / (1 - a)) sqrt(1 - a / a')
    The last step goes to abar[0], not to clean data, as published. With eta > 0 one noise is drawn after every prediction.
    Raises UsageError when eta > 0 comes without `noise`.
    """
    if eta > 0 and noise is None:
        raise UsageError(f"eta = {eta} needs a source of noise; pass noise=Noise(seeds) or eta=0")
    assert 0 <= start <= steps, f"start {start} lies outside {steps} steps"
    times = times or schedule.timesteps(steps, spacing)
    for index in range(start, steps):
        t = z.new_full(z.shape[:1], times[index], dtype=torch.long)
        z = before(z, t) if before is not None else z
        x0, epsilon = schedule.to_x0_and_eps(z, t, denoise(z, t))
        a = float(schedule.alphas_cumprod[times[index]])
        a_next = float(schedule.alphas_cumprod[times[index + 1] if index + 1 < steps else 0])
        s = eta * math.sqrt((1.0 - a_next) / (1.0 - a) * max(0.0, 1.0 - a / a_next))
        z = math.sqrt(a_next) * x0 + math.sqrt(max(0.0, 1.0 - a_next - s * s)) * epsilon
        if noise is not None and eta > 0:
            z = z + s * noise(z.shape[1:]).to(z)
        yield Step(index, steps, times[index], z, x0)


def dpmpp_2m(
    denoise: Denoiser,
    z: Tensor,
    schedule: Schedule,
    steps: int,
    start: int = 0,
    spacing: Spacing = "log_snr",
    before: PreStepHook | None = None,
    times: Sequence[int] | None = None,
) -> Iterator[Step]:
    """DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2) from noise z [B, C, T', F'] to clean data; deterministic.

    With lambda = ln(alpha / sigma), h the stride of lambda and r the previous stride over this one:
    D = (1 + 1 / 2r) x0 - 1 / 2r x0_before,  z' = sigma' / sigma z - alpha' (exp(-h) - 1) D
    The first step has no x0_before, and the last has h = infinity (z' = x0): both are of first order.
    """
    assert 0 <= start <= steps, f"start {start} lies outside {steps} steps"
    times = [*(times or schedule.timesteps(steps, spacing)), -1]
    x0_before, h_before = z, math.inf
    for index in range(start, steps):
        t = z.new_full(z.shape[:1], times[index], dtype=torch.long)
        z = before(z, t) if before is not None else z
        x0, _ = schedule.to_x0_and_eps(z, t, denoise(z, t))
        (alpha, sigma), (alpha_next, sigma_next) = map(
            schedule.alpha_sigma, times[index : index + 2]
        )
        h = (
            math.log(alpha_next / sigma_next) - math.log(alpha / sigma)
            if sigma_next > 0
            else math.inf
        )
        # h_before is infinite before the first step and h after the last one: the correction vanishes at both ends
        correction = 0.0 if math.inf in (h, h_before) else h / (2.0 * h_before)
        z = sigma_next / sigma * z - alpha_next * math.expm1(-h) * (
            x0 + correction * (x0 - x0_before)
        )
        x0_before, h_before = x0, h
        yield Step(index, steps, times[index], z, x0)


def lcm(
    denoise: Denoiser,
    z: Tensor,
    schedule: Schedule,
    stops: Sequence[int],
    before: PreStepHook | None = None,
) -> Iterator[Step]:
    """From noise z [B, C, T', F'] over the times `stops`, noisiest first, to clean data: z' = alpha' x0 + sigma' epsilon.

    DDIM's update (arXiv 2010.02502, eq. 12) with a network that was taught to go from each stop to the next at once.
    """
    times = [*stops, -1]
    for index, time in enumerate(stops):
        t = z.new_full(z.shape[:1], time, dtype=torch.long)
        z = before(z, t) if before is not None else z
        x0, epsilon = schedule.to_x0_and_eps(z, t, denoise(z, t))
        alpha, sigma = schedule.alpha_sigma(times[index + 1])
        z = alpha * x0 + sigma * epsilon
        yield Step(index, len(stops), time, z, x0)
