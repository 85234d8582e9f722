"""Guidance against its formula, written out here in two separate calls (spec 5.4)."""

import pytest
import torch
from diffusers.guiders.adaptive_projected_guidance import normalized_guidance
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from latentaudio.config.architecture import ScheduleConfig
from latentaudio.diffusion.guidance import Guidance, guided
from latentaudio.diffusion.schedule import Schedule
from latentaudio.types import Conditioning, Context

GENERATOR = torch.Generator().manual_seed(0)
Z, T = torch.randn(2, 3, 4, 5, generator=GENERATOR), torch.tensor([700, 10])
FILM, NULL_FILM = torch.randn(2, 6, generator=GENERATOR), torch.zeros(2, 6)
WORDS = Context.full(torch.randn(2, 7, 6, generator=GENERATOR))
NOTHING = Context.full(torch.randn(2, 1, 6, generator=GENERATOR))


class Network:
    """A stand-in for the UNet whose answer depends on z, t, FiLM and the attended tokens; it counts its calls."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, z, t, conditioning):
        [words] = conditioning.contexts
        copies = len(words.tokens) // len(z)
        z, t = z.repeat(copies, 1, 1, 1), t.repeat(copies)
        self.batches.append(len(z))
        heard = (words.tokens * words.mask[..., None]).sum(1) / words.mask.sum(
            1, keepdim=True
        ) + conditioning.film
        return (
            torch.tanh(z + t.view(-1, 1, 1, 1) / 1000) * heard.sum(1).view(-1, 1, 1, 1) + z.square()
        )


CONDITIONAL, NULL = Conditioning(FILM, (WORDS,)), Conditioning(NULL_FILM, (NOTHING,))
SCHEDULE = Schedule(ScheduleConfig(prediction="v"))


def denoised(network, scale, t=T, **how):
    return guided(network, CONDITIONAL, NULL, Guidance(scale, **how), SCHEDULE)(Z, t)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.5, 7.0])
def test_one_call_equals_two(scale):
    network = Network()
    c, n = network(Z, T, CONDITIONAL), network(Z, T, NULL)
    found = denoised(network, scale)
    assert torch.allclose(found, n + scale * (c - n), atol=1e-5)
    assert network.batches == [2, 2, 4]


def test_scale_one_never_computes_the_null_half():
    network = Network()
    assert torch.equal(denoised(network, 1.0), Network()(Z, T, CONDITIONAL))
    assert network.batches == [2]


@pytest.mark.parametrize("rescale", [0.3, 1.0])
def test_rescale_is_the_published_one(rescale):
    c = Network()(Z, T, CONDITIONAL)
    expected = rescale_noise_cfg(denoised(Network(), 5.0), c, rescale)
    assert torch.allclose(denoised(Network(), 5.0, rescale=rescale), expected, atol=1e-5)


def in_x0(z, t, conditioning):
    return SCHEDULE.split(z, t, Network()(z, t, conditioning))[0]


@pytest.mark.parametrize("parallel", [1.0, 0.4, 0.0])
def test_guiding_v_is_guiding_x0_however_much_of_it_is_parallel(parallel):
    c, n = in_x0(Z, T, CONDITIONAL), in_x0(Z, T, NULL)
    expected = normalized_guidance(c, n, 3.0 - 1.0, eta=parallel, use_original_formulation=True)
    found = SCHEDULE.split(Z, T, denoised(Network(), 3.0, parallel=parallel))[0]
    assert torch.allclose(found, expected, atol=1e-4)


def test_guidance_everywhere_never_waits_for_a_time_on_a_device():
    network = lambda z, t, conditioning: z.repeat(len(conditioning.film) // len(z), 1, 1, 1)  # noqa: E731
    nowhere = torch.empty(len(Z), dtype=torch.long, device="meta")  # reading a value from it raises
    schedule = Schedule(ScheduleConfig(prediction="v"))
    schedule.split = lambda z, t, prediction: (prediction, prediction)
    assert guided(network, CONDITIONAL, NULL, Guidance(3.0), schedule)(Z, nowhere).equal(Z)
    with pytest.raises((RuntimeError, NotImplementedError)):
        guided(network, CONDITIONAL, NULL, Guidance(3.0, stop=0.5), schedule)(Z, nowhere)


@pytest.mark.parametrize(
    ("t", "is_guided"), [(950, False), (900, True), (500, True), (320, True), (310, False)]
)
def test_outside_its_interval_nothing_is_guided_nor_computed(t, is_guided):
    network, times = Network(), torch.tensor([t, t])
    found = denoised(network, 3.0, t=times, start=0.1, stop=0.68)
    assert network.batches == [4 if is_guided else 2]
    assert torch.equal(found, Network()(Z, times, CONDITIONAL)) != is_guided
