"""Guidance against its formula, written out here in two separate calls (spec 5.4)."""

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from latentaudio.configs import ScheduleConfig
from latentaudio.diffusion.guidance import guided
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
        self.batches.append(len(z))
        [words] = conditioning.contexts
        heard = (words.tokens * words.mask[..., None]).sum(1) / words.mask.sum(1, keepdim=True) + conditioning.film
        return torch.tanh(z + t.view(-1, 1, 1, 1) / 1000) * heard.sum(1).view(-1, 1, 1, 1) + z.square()


CONDITIONAL, NULL = Conditioning(FILM, (WORDS,)), Conditioning(NULL_FILM, (NOTHING,))


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.5, 7.0])
def test_one_call_equals_two(scale):
    network = Network()
    c, n = network(Z, T, CONDITIONAL), network(Z, T, NULL)
    found = guided(network, CONDITIONAL, NULL, scale)(Z, T)
    assert torch.allclose(found, n + scale * (c - n), atol=1e-5)
    assert network.batches == [2, 2, 4]


def test_scale_one_never_computes_the_null_half():
    network = Network()
    assert torch.equal(guided(network, CONDITIONAL, NULL, 1.0)(Z, T), Network()(Z, T, CONDITIONAL))
    assert network.batches == [2]


@pytest.mark.parametrize("rescale", [0.3, 1.0])
def test_rescale_is_the_published_one(rescale):
    c = Network()(Z, T, CONDITIONAL)
    expected = rescale_noise_cfg(guided(Network(), CONDITIONAL, NULL, 5.0)(Z, T), c, rescale)
    assert torch.allclose(guided(Network(), CONDITIONAL, NULL, 5.0, rescale)(Z, T), expected, atol=1e-5)


def test_guiding_epsilon_or_v_is_guiding_x0():
    schedule = Schedule(ScheduleConfig(prediction="v"))

    def in_x0(z, t, conditioning):
        return schedule.split(z, t, Network()(z, t, conditioning))[0]

    through_v = schedule.split(Z, T, guided(Network(), CONDITIONAL, NULL, 3.0)(Z, T))[0]
    assert torch.allclose(through_v, guided(in_x0, CONDITIONAL, NULL, 3.0)(Z, T), atol=1e-4)
