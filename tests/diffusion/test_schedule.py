"""The schedule against the published check values, diffusers' schedulers and algebra."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from latentaudio.config.architecture import ScheduleConfig
from latentaudio.diffusion.schedule import Schedule
from latentaudio.errors import UsageError

BETAS = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"}
KINDS = ["epsilon", "v", "x0"]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_alphas_cumprod_are_the_published_check_values():
    ours = Schedule().alphas_cumprod
    assert ours.dtype == torch.float64
    published = {
        0: 0.9985, 1: 0.9969944271, 249: 0.5105143008, 499: 0.1158444908,
        749: 0.00844483049, 996: 1.50951271e-4, 999: 1.423039752e-4,
    }  # fmt: skip
    for t, value in published.items():
        assert float(ours[t]) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "theirs"), [("epsilon", "epsilon"), ("v", "v_prediction"), ("x0", "sample")]
)
def test_noising_and_targets_equal_diffusers(kind, theirs):
    oracle = DDPMScheduler(**BETAS, prediction_type=theirs)
    schedule = Schedule(ScheduleConfig(prediction=kind))
    x0, noise, t = normal(4, 2, 3, 5), normal(4, 2, 3, 5, seed=1), torch.tensor([0, 250, 700, 999])
    assert torch.allclose(
        schedule.q_sample(x0, noise, t), oracle.add_noise(x0, noise, t), atol=1e-5
    )
    expected = {"epsilon": noise, "x0": x0, "v": oracle.get_velocity(x0, noise, t)}[kind]
    assert torch.allclose(schedule.training_target(x0, noise, t), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_to_x0_and_eps_inverts_training_target(kind):
    schedule = Schedule(ScheduleConfig(prediction=kind))
    x0, noise, t = (
        normal(3, 2, 4, 4).double(),
        normal(3, 2, 4, 4, seed=1).double(),
        torch.tensor([3, 400, 999]),
    )
    result = schedule.to_x0_and_eps(
        schedule.q_sample(x0, noise, t), t, schedule.training_target(x0, noise, t)
    )
    assert torch.allclose(result[0], x0, atol=1e-9)
    assert torch.allclose(result[1], noise, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_min_snr_weighs_an_error_equally_for_every_prediction(kind):
    """Nudge a perfect prediction.

    Weight * its squared error must be min(SNR, 5) * the squared error it makes in x0.
    """
    schedule = Schedule(ScheduleConfig(prediction=kind))
    x0, noise, t = (
        normal(4, 1, 2, 2).double(),
        normal(4, 1, 2, 2, seed=1).double(),
        torch.tensor([1, 100, 300, 900]),
    )
    z, nudge = schedule.q_sample(x0, noise, t), 0.01 * normal(4, 1, 2, 2, seed=2).double()
    wrong, _ = schedule.to_x0_and_eps(z, t, schedule.training_target(x0, noise, t) + nudge)
    in_x0 = (wrong - x0).square().mean((1, 2, 3))
    a = schedule.alphas_cumprod[t]
    clamped = torch.minimum(a / (1 - a), torch.tensor(5.0))
    assert torch.allclose(
        schedule.loss_weight(t, 5.0) * nudge.square().mean((1, 2, 3)), clamped * in_x0, rtol=1e-4
    )


def test_loss_weight_is_one_without_min_snr():
    assert torch.equal(Schedule().loss_weight(torch.tensor([0, 500, 999])), torch.ones(3))


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 7, 9, 25, 50, 101, 200, 300, 333, 501, 999])
def test_leading_equals_diffusers_ddim(steps):
    oracle = DDIMScheduler(**BETAS, steps_offset=1, set_alpha_to_one=False, clip_sample=False)
    oracle.set_timesteps(steps)
    assert Schedule().timesteps(steps, "leading") == oracle.timesteps.tolist()


@pytest.mark.parametrize("steps", [1, 3, 7, 20, 25, 30, 333])
def test_trailing_equals_diffusers(steps):
    oracle = DPMSolverMultistepScheduler(**BETAS, timestep_spacing="trailing")
    oracle.set_timesteps(steps)
    assert Schedule().timesteps(steps, "trailing") == oracle.timesteps.tolist()


def test_log_snr_strides_are_equal_and_reach_both_ends():
    schedule = Schedule()
    times = schedule.timesteps(20, "log_snr")
    assert (times[0], times[-1]) == (999, 0)
    strides = np.diff(schedule.half_log_snr.numpy()[times])
    assert strides[:-2] == pytest.approx(
        np.full(17, strides.mean()), rel=0.1
    )  # integer times are coarse only near t = 0


@pytest.mark.parametrize("spacing", ["leading", "trailing", "log_snr"])
@pytest.mark.parametrize("steps", [1, 2, 60, 370, 800, 999, 1000])
def test_every_spacing_gives_exactly_s_decreasing_timesteps(spacing, steps):
    times = Schedule().timesteps(steps, spacing)
    assert len(times) == steps
    assert 0 <= times[-1] <= times[0] <= 999
    assert all(later < earlier for earlier, later in pairwise(times))


@pytest.mark.parametrize("steps", [0, -3, 1001])
def test_an_impossible_step_count_is_an_error_with_the_range(steps):
    with pytest.raises(UsageError, match="choose 1 to 1000"):
        Schedule().timesteps(steps, "leading")
