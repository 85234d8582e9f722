"""Samplers: functions of a `Denoiser` from noise to a latent, one `Step` per update.

A sampler takes S decreasing timesteps t_0 > t_1 > ... Progress, previews, cancelling and streaming
are the caller's loop over the steps. `SAMPLERS` lists all samplers.

Two arguments serve editing. `start` skips the first steps: z is then already at the noise level of
timesteps[start] (`Schedule.q_sample`). `pre_step` may replace z before each prediction.

B batch, C channels, T' F' latent grid, S sampling steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ..config.architecture import DistilledUNetConfig
from ..config.samplers import SAMPLER_TRAITS, SamplerName
from ..errors import UsageError
from ..types import Denoiser, Step
from .schedule import Schedule, Spacing

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


def keep_known_region(
    x0: Tensor, mask: Tensor, schedule: Schedule, noise: NoiseSource
) -> PreStepHook:
    """Return the inpainting hook: m q_sample(x0, t) + (1 - m) z before every step.

    See arXiv 2301.12503, section 3.5.

    Args:
        x0: Clean latent [B, C, T', F'] of the source.
        mask: [1 or B, 1, T', F'], 1 where the source stays and 0 where the sampler generates.
        schedule: The noise schedule.
        noise: Source of the noise that is drawn at every step (numerics: editing masks).

    Returns:
        A hook for a sampler's `pre_step`.
    """

    def pre_step(z: Tensor, t: Tensor) -> Tensor:
        # new noise at every step, drawn before the prediction
        return mask * schedule.q_sample(x0, noise(z.shape[1:]).to(z), t) + (1 - mask) * z

    return pre_step


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
    clean data, as published.

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
        # the last step goes to timestep 0, as published
        next_timestep = timesteps[index + 1] if index + 1 < steps else 0
        a = float(schedule.alphas_cumprod[timesteps[index]])
        a_next = float(schedule.alphas_cumprod[next_timestep])
        # max(): rounding may make these differences negative by an ulp
        s = eta * math.sqrt((1.0 - a_next) / (1.0 - a) * max(0.0, 1.0 - a / a_next))
        z = math.sqrt(a_next) * x0 + math.sqrt(max(0.0, 1.0 - a_next - s * s)) * epsilon
        if noise is not None and eta > 0:
            z = z + s * noise(z.shape[1:]).to(z)
        yield Step(index, steps, timesteps[index], z, x0)


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


def lcm(
    denoise: Denoiser,
    z: Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    start: int = 0,
    pre_step: PreStepHook | None = None,
) -> Iterator[Step]:
    """Sample to clean data in few steps with a distilled network: z' = alpha' x0 + sigma' epsilon.

    This is DDIM's update (arXiv 2010.02502, eq. 12). The network was distilled to go from each of
    `timesteps` to the next at once (phased consistency distillation, arXiv 2405.18407). It takes no
    other ones.

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


@dataclass(frozen=True)
class SamplerSpec:
    """A sampler and the facts that a caller needs to run it.

    Attributes:
        fn: (denoise, z, schedule, timesteps, start=, pre_step=) -> steps; with `uses_eta` also eta=
            and noise=.
        spacing: How its timesteps are spread. None: the distilled UNet's config lists them.
        uses_eta: Whether it takes eta and noise.
        starts_from_audio: Whether it can begin from a noised clip.
        component: The network that it runs.
    """

    fn: Callable[..., Iterator[Step]]
    spacing: Spacing | None
    uses_eta: bool = False
    starts_from_audio: bool = True
    component: Literal["unet", "distilled_unet"] = "unet"

    def timesteps(
        self, schedule: Schedule, steps: int, distilled: DistilledUNetConfig | None = None
    ) -> list[int]:
        """Return the train-time steps to sample at, noisiest first.

        Args:
            schedule: The noise schedule.
            steps: Their number. A distilled network has its own.
            distilled: Config of the distilled network, if the sampler runs one.

        Returns:
            The timesteps.
        """
        if self.spacing is not None:
            return schedule.timesteps(steps, self.spacing)
        assert distilled is not None, "this sampler needs a distilled UNet"
        return list(distilled.timesteps)

    def sample(
        self,
        denoise: Denoiser,
        z: Tensor,
        schedule: Schedule,
        timesteps: Sequence[int],
        eta: float = 0.0,
        noise: NoiseSource | None = None,
        start: int = 0,
        pre_step: PreStepHook | None = None,
    ) -> Iterator[Step]:
        """Run the sampler. Arguments as of `ddim`; eta and noise have no effect without `uses_eta`.

        Yields:
            One step per timestep.
        """
        if self.uses_eta:
            return self.fn(
                denoise,
                z,
                schedule,
                timesteps,
                eta=eta,
                noise=noise,
                start=start,
                pre_step=pre_step,
            )
        return self.fn(denoise, z, schedule, timesteps, start=start, pre_step=pre_step)


def _spec(
    name: SamplerName, fn: Callable[..., Iterator[Step]], spacing: Spacing | None
) -> SamplerSpec:
    """A row whose flags are those of `config.samplers`."""
    traits = SAMPLER_TRAITS[name]
    return SamplerSpec(fn, spacing, traits.uses_eta, traits.starts_from_audio, traits.component)


SAMPLERS: dict[SamplerName, SamplerSpec] = {
    "ddim": _spec("ddim", ddim, "leading"),
    "dpm++": _spec("dpm++", dpmpp_2m, "log_snr"),
    "lcm": _spec("lcm", lcm, None),
    "heun": _spec("heun", heun, "log_snr"),
}
"""Every sampler by its name; see `config.samplers` for how to add one."""
