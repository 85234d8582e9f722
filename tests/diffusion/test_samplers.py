"""Samplers against hand-computed steps, diffusers, and Gaussian data with a known denoiser."""

import math
from pathlib import Path
from typing import get_args

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from latentaudio.config.architecture import DistilledUNetConfig, ScheduleConfig
from latentaudio.config.options import GenerationOptions
from latentaudio.config.samplers import SAMPLERS
from latentaudio.diffusion import samplers
from latentaudio.diffusion.samplers.ddim import ddim
from latentaudio.diffusion.samplers.distilled import distilled
from latentaudio.diffusion.samplers.dpmpp_2m import dpmpp_2m
from latentaudio.diffusion.samplers.heun import heun
from latentaudio.diffusion.sampling import Noise, noise_for, run_sampler, sampler_timesteps
from latentaudio.diffusion.schedule import Schedule
from latentaudio.errors import UsageError

BETAS = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"}
NAMES = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}
MEAN, STD = 0.7, 0.4


def leading(schedule, steps):
    return schedule.timesteps(steps, "leading")


def curved(z, t):
    """A smooth denoiser."""
    return torch.tanh(z + torch.cos(t.to(z) / 300).view(-1, 1, 1, 1)) + 0.1 * z


def gaussian(schedule: Schedule):
    """The perfect denoiser of data distributed as N(MEAN, STD^2), as the schedule predicts."""

    def denoise(z, t):
        a = schedule.alphas_cumprod[t].view(-1, 1, 1, 1).to(z)
        x0 = MEAN + a.sqrt() * STD**2 / (a * STD**2 + 1 - a) * (z - a.sqrt() * MEAN)
        return schedule.training_target(x0, (z - a.sqrt() * x0) / (1 - a).sqrt(), t)

    return denoise


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_takes_the_hand_computed_step(eta):
    """The last step of every run, t = 1 to abar[0], from published numbers.

    Noise is 2 everywhere, epsilon 0.5, z 1.
    """
    a, a_next = 0.9969944271, 0.9985
    sigma = eta * math.sqrt((1 - a_next) / (1 - a) * (1 - a / a_next))
    x0 = (1 - math.sqrt(1 - a) * 0.5) / math.sqrt(a)
    expected = math.sqrt(a_next) * x0 + math.sqrt(1 - a_next - sigma**2) * 0.5 + sigma * 2
    z = torch.ones(1, 1, 2, 2)
    [step] = ddim(
        lambda z, t: 0.5 * z, z, Schedule(), [1], eta, lambda shape: torch.full((1, *shape), 2.0)
    )
    assert step.t == 1
    assert torch.allclose(step.x0, torch.full_like(z, x0), atol=1e-6)
    assert torch.allclose(step.z, torch.full_like(z, expected), atol=1e-6)


@pytest.mark.parametrize("kind", list(NAMES))
@pytest.mark.parametrize(("steps", "eta"), [(10, 0.0), (7, 0.0), (20, 1.0)])
def test_ddim_follows_diffusers(kind, steps, eta):
    oracle = DDIMScheduler(
        **BETAS,
        steps_offset=1,
        set_alpha_to_one=False,
        clip_sample=False,
        prediction_type=NAMES[kind],
    )
    oracle.set_timesteps(steps)
    theirs = ours = noise_for([5, 6], (2, 3, 4))
    draws, again = Noise([1, 2]), Noise([1, 2])
    schedule = Schedule(ScheduleConfig(prediction=kind))
    timesteps = schedule.timesteps(steps, "leading")
    for step in ddim(curved, ours, schedule, timesteps, eta, draws):
        t = int(oracle.timesteps[step.index])
        variance_noise = again((2, 3, 4)) if eta else None
        answer = curved(theirs, torch.tensor([t, t]))
        theirs = oracle.step(answer, t, theirs, eta=eta, variance_noise=variance_noise).prev_sample
        assert (step.total, step.t) == (steps, t)
        assert torch.allclose(step.z, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", list(NAMES))
@pytest.mark.parametrize(
    ("steps", "spacing"), [(8, "trailing"), (20, "trailing"), (20, "log_snr"), (1, "log_snr")]
)
def test_dpmpp_2m_follows_diffusers(kind, steps, spacing):
    schedule = Schedule(ScheduleConfig(prediction=kind))
    oracle = DPMSolverMultistepScheduler(
        **BETAS, prediction_type=NAMES[kind], algorithm_type="dpmsolver++"
    )
    timesteps = schedule.timesteps(steps, spacing)
    oracle.set_timesteps(timesteps=timesteps)
    theirs = ours = noise_for([5, 6], (2, 3, 4))
    for step, t in zip(dpmpp_2m(curved, ours, schedule, timesteps), oracle.timesteps, strict=True):
        theirs = oracle.step(curved(theirs, t.repeat(2)), t, theirs).prev_sample
        assert torch.allclose(step.z, theirs, atol=1e-5, rtol=1e-5)
    assert torch.equal(step.z, step.x0)


@pytest.mark.parametrize("kind", list(NAMES))
@pytest.mark.parametrize("sampler", ["ddim", "ancestral", "dpm++", "heun"])
def test_a_perfect_denoiser_samples_the_data_distribution(kind, sampler):
    schedule = Schedule(ScheduleConfig(prediction=kind))
    noise = Noise([11])
    z, denoise = noise((1, 100, 100)), gaussian(schedule)
    run = {
        "ddim": lambda: ddim(denoise, z, schedule, leading(schedule, 100)),
        "ancestral": lambda: ddim(denoise, z, schedule, leading(schedule, 1000), 1.0, noise),
        "dpm++": lambda: dpmpp_2m(denoise, z, schedule, schedule.timesteps(20, "log_snr")),
        "heun": lambda: heun(denoise, z, schedule, schedule.timesteps(20, "log_snr")),
    }[sampler]
    *_, last = run()
    assert float(last.z.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(last.z.std()) == pytest.approx(STD, rel=0.05)


def exact(schedule: Schedule, z: torch.Tensor, t: int) -> torch.Tensor:
    """End of the probability flow ODE from z at t: for Gaussian data the same quantile."""
    a = float(schedule.alphas_cumprod[t])
    return MEAN + STD * (z - math.sqrt(a) * MEAN) / math.sqrt(a * STD**2 + 1 - a)


@pytest.mark.parametrize("sampler", [dpmpp_2m, heun])
def test_samplers_are_of_second_order(sampler):
    """Halving the stride must quarter the error that is not the last step's.

    Far better than halving it.
    """
    schedule = Schedule()
    z = noise_for([3], (1, 8, 8)).double()

    def error(steps):
        timesteps = schedule.timesteps(steps, "log_snr")
        *_, before_last, _ = sampler(gaussian(schedule), z, schedule, timesteps)
        reached = exact(schedule, before_last.z, 0)
        return float((reached - exact(schedule, z, 999)).abs().max())

    assert error(40) < error(20) / 3


@pytest.mark.parametrize("name", ["ddim", "dpm++", "heun"])
def test_a_late_start_denoises_a_noised_latent(name):
    schedule = Schedule()
    x0 = torch.full((1, 1, 4, 4), 1.3).double()
    steps, start = 200, 160
    timesteps = sampler_timesteps(name, schedule, steps)
    t = timesteps[start]
    noisy = schedule.q_sample(x0, noise_for([1], (1, 4, 4)).double(), torch.tensor([t]))
    taken = list(run_sampler(name, gaussian(schedule), noisy, schedule, timesteps, start=start))
    assert [step.index for step in taken] == list(range(start, steps))
    assert torch.allclose(taken[-1].z, exact(schedule, noisy, t), atol=0.02)


def test_heun_takes_the_mean_of_the_derivatives_at_both_ends():
    """One step from t = 500 to 200, written out in the variable x = z / alpha."""
    schedule = Schedule()
    z = noise_for([4], (1, 2, 2)).double()
    times = [torch.tensor([500]), torch.tensor([200])]
    levels = [float(schedule.alphas_cumprod[int(t)]) for t in times]
    sigmas = [math.sqrt((1 - a) / a) for a in levels]
    denoise = gaussian(schedule)

    def slope(x, k):
        scaled = math.sqrt(levels[k]) * x
        x0, _ = schedule.to_x0_and_eps(scaled, times[k], denoise(scaled, times[k]))
        return (x - x0) / sigmas[k]

    x = z / math.sqrt(levels[0])
    first = slope(x, 0)
    second = slope(x + (sigmas[1] - sigmas[0]) * first, 1)
    expected = x + (sigmas[1] - sigmas[0]) * (first + second) / 2
    step, last = heun(denoise, z, schedule, [500, 200])
    torch.testing.assert_close(step.z, math.sqrt(levels[1]) * expected)
    torch.testing.assert_close(last.z, last.x0)


def test_noise_is_drawn_once_after_every_prediction():
    events = []

    def denoise(z, t):
        events.append(int(t[0]))
        return z

    def noise(shape):
        events.append("noise")
        return torch.zeros(1, *shape)

    schedule = Schedule()
    list(ddim(denoise, torch.zeros(1, 1, 2, 2), schedule, leading(schedule, 4), 1.0, noise))
    assert events == [751, "noise", 501, "noise", 251, "noise", 1, "noise"]


def test_batch_item_equals_itself_alone():
    schedule = Schedule()

    def last(seeds):
        noise = Noise(seeds)
        timesteps = leading(schedule, 10)
        *_, step = ddim(curved, noise((2, 4, 4)), schedule, timesteps, 1.0, noise)
        return step.z

    batched = last([7, 8, 9])
    for k, seed in enumerate([7, 8, 9]):
        assert torch.allclose(batched[k], last([seed])[0], atol=1e-5)
    assert not torch.allclose(batched[0], batched[1], atol=0.1)


def test_noise_is_the_sequence_of_torchs_generator():
    noise = Noise([4])
    generator = torch.Generator().manual_seed(4)
    for _ in range(2):
        assert torch.equal(noise((3, 5))[0], torch.randn(3, 5, generator=generator))


def test_eta_without_noise_is_an_error_that_names_the_argument():
    with pytest.raises(UsageError, match="noise=Noise"):
        next(ddim(curved, torch.zeros(1, 1, 2, 2), Schedule(), [751, 501], eta=1.0))


def test_the_distilled_sampler_takes_its_own_timesteps_and_ends_with_clean_data():
    """z' = alpha' x0 + sigma' epsilon, written out; the last step returns x0."""
    schedule = Schedule()
    z = start = noise_for([2], (1, 4, 4))
    timesteps = [999, 499]
    steps = list(distilled(curved, z, schedule, timesteps))
    for step, t, t_next in zip(steps, timesteps, [499, None], strict=True):
        x0, epsilon = schedule.to_x0_and_eps(z, torch.tensor([t]), curved(z, torch.tensor([t])))
        a = 1.0 if t_next is None else float(schedule.alphas_cumprod[t_next])
        z = math.sqrt(a) * x0 + math.sqrt(1 - a) * epsilon
        assert (step.t, step.total) == (t, 2)
        torch.testing.assert_close(step.z, z)
    torch.testing.assert_close(steps[-1].z, steps[-1].x0)
    assert start.shape == steps[-1].z.shape


def test_the_options_offer_every_sampler_of_the_table():
    names = get_args(GenerationOptions.model_fields["sampler"].annotation)
    assert names == tuple(SAMPLERS)


def test_every_file_of_a_sampler_has_a_row():
    folder = Path(samplers.__file__).parent
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert files == {spec.function for spec in SAMPLERS.values()}


def test_the_table_runs_each_sampler_with_what_it_takes():
    schedule = Schedule()
    noise = Noise([1])
    z = noise((1, 4, 4))
    for name in SAMPLERS:
        timesteps = sampler_timesteps(name, schedule, 4, DistilledUNetConfig((999, 499)))
        *_, last = run_sampler(name, curved, z, schedule, timesteps, 0.5, noise)
        assert last.index == len(timesteps) - 1 == (1 if name == "distilled" else 3)
