"""Guidance against its formula, computed here in two separate calls."""

import pytest
import torch
from diffusers.guiders.adaptive_projected_guidance import normalized_guidance
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from latentaudio.config.architecture import ScheduleConfig
from latentaudio.diffusion.guidance import Guidance, cfg_denoiser
from latentaudio.diffusion.schedule import Schedule
from latentaudio.types import Conditioning, Context

GENERATOR = torch.Generator().manual_seed(0)
Z, T = torch.randn(2, 3, 4, 5, generator=GENERATOR), torch.tensor([700, 10])
FILM, UNCOND_FILM = torch.randn(2, 6, generator=GENERATOR), torch.zeros(2, 6)
WORDS = Context.unmasked(torch.randn(2, 7, 6, generator=GENERATOR))
EMPTY = Context.unmasked(torch.randn(2, 1, 6, generator=GENERATOR))


class Network:
    """A stand-in for the UNet whose answer depends on z, t, FiLM and the attended tokens.

    It counts its calls.
    """

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, z, t, conditioning):
        [words] = conditioning.contexts
        copies = len(words.tokens) // len(z)
        z, t = z.repeat(copies, 1, 1, 1), t.repeat(copies)
        self.batches.append(len(z))
        features = (words.tokens * words.mask[..., None]).sum(1) / words.mask.sum(
            1, keepdim=True
        ) + conditioning.film
        return (
            torch.tanh(z + t.view(-1, 1, 1, 1) / 1000) * features.sum(1).view(-1, 1, 1, 1)
            + z.square()
        )


COND, UNCOND = Conditioning(FILM, (WORDS,)), Conditioning(UNCOND_FILM, (EMPTY,))
SCHEDULE = Schedule(ScheduleConfig(prediction="v"))


def denoised(network, scale, t=T, **settings):
    return cfg_denoiser(network, COND, UNCOND, Guidance(scale, **settings), SCHEDULE)(Z, t)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.5, 7.0])
def test_one_batched_call_equals_two(scale):
    network = Network()
    c, n = network(Z, T, COND), network(Z, T, UNCOND)
    result = denoised(network, scale)
    assert torch.allclose(result, n + scale * (c - n), atol=1e-5)
    assert network.batches == [2, 2, 4]


def test_scale_one_never_computes_the_unconditional_half():
    network = Network()
    assert torch.equal(denoised(network, 1.0), Network()(Z, T, COND))
    assert network.batches == [2]


@pytest.mark.parametrize("rescale", [0.3, 1.0])
def test_rescale_equals_diffusers(rescale):
    c = Network()(Z, T, COND)
    expected = rescale_noise_cfg(denoised(Network(), 5.0), c, rescale)
    assert torch.allclose(denoised(Network(), 5.0, rescale=rescale), expected, atol=1e-5)


def in_x0(z, t, conditioning):
    return SCHEDULE.to_x0_and_eps(z, t, Network()(z, t, conditioning))[0]


@pytest.mark.parametrize("apg_eta", [1.0, 0.4, 0.0])
def test_guiding_v_equals_guiding_x0_at_every_apg_eta(apg_eta):
    c, n = in_x0(Z, T, COND), in_x0(Z, T, UNCOND)
    expected = normalized_guidance(c, n, 3.0 - 1.0, eta=apg_eta, use_original_formulation=True)
    result = SCHEDULE.to_x0_and_eps(Z, T, denoised(Network(), 3.0, apg_eta=apg_eta))[0]
    assert torch.allclose(result, expected, atol=1e-4)


def test_guidance_without_interval_never_reads_the_timestep():
    def network(z, t, conditioning):
        return z.repeat(len(conditioning.film) // len(z), 1, 1, 1)

    unreadable = torch.empty(
        len(Z), dtype=torch.long, device="meta"
    )  # reading a value from it raises
    schedule = Schedule(ScheduleConfig(prediction="v"))
    schedule.to_x0_and_eps = lambda z, t, prediction: (prediction, prediction)
    assert cfg_denoiser(network, COND, UNCOND, Guidance(3.0), schedule)(Z, unreadable).equal(Z)
    with pytest.raises((RuntimeError, NotImplementedError)):
        cfg_denoiser(network, COND, UNCOND, Guidance(3.0, stop=0.5), schedule)(Z, unreadable)


@pytest.mark.parametrize(
    ("t", "is_guided"), [(950, False), (900, True), (500, True), (320, True), (310, False)]
)
def test_outside_its_interval_guidance_is_neither_applied_nor_computed(t, is_guided):
    network, times = Network(), torch.tensor([t, t])
    result = denoised(network, 3.0, t=times, start=0.1, stop=0.68)
    assert network.batches == [4 if is_guided else 2]
    assert torch.equal(result, Network()(Z, times, COND)) != is_guided


def test_an_interval_of_guided_steps_shares_the_last_difference():
    network = Network()
    denoise = cfg_denoiser(network, COND, UNCOND, Guidance(3.0, interval=3), SCHEDULE)
    timesteps = [torch.full((2,), t) for t in (900, 700, 500, 300)]
    results = [denoise(Z, t) for t in timesteps]
    assert network.batches == [4, 2, 2, 4]  # both halves, then the conditional one alone
    single = Network()
    kept = single(Z, timesteps[0], COND) - single(Z, timesteps[0], UNCOND)
    for k in (0, 1, 2):
        expected = single(Z, timesteps[k], COND) + 2.0 * kept
        assert torch.allclose(results[k], expected, atol=1e-5)
    kept = single(Z, timesteps[3], COND) - single(Z, timesteps[3], UNCOND)
    assert torch.allclose(results[3], single(Z, timesteps[3], COND) + 2.0 * kept, atol=1e-5)
    assert not torch.allclose(results[1], denoised(network, 3.0, timesteps[1]), atol=1e-3)


def test_unguided_steps_do_not_count_in_the_interval():
    network = Network()
    guidance = Guidance(3.0, start=0.4, interval=2)
    denoise = cfg_denoiser(network, COND, UNCOND, guidance, SCHEDULE)
    for t in (900, 700, 500, 300, 100):
        denoise(Z, torch.full((2,), t))
    assert network.batches == [2, 2, 4, 2, 4]
