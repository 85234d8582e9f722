"""The latent prior attends to all of its text only, at any length, and learns timing."""

import pytest
import torch
from torch.testing import assert_close

from latentaudio.config.architecture import LatentPriorConfig
from latentaudio.errors import ConfigError
from latentaudio.models.latent_prior import LatentPrior
from latentaudio.types import Context


@pytest.fixture
def prior():
    torch.manual_seed(0)
    prior = LatentPrior(
        LatentPriorConfig(hidden_size=32, num_layers=2, num_heads=4, num_uniform_frequencies=16),
        text_dim=8,
        latent_channels=3,
        num_bins=2,
    )
    torch.nn.init.normal_(prior.out.weight, std=32**-0.5)
    return prior


@torch.no_grad()
def test_masked_tokens_and_other_items_have_no_effect(prior):
    words = torch.randn(2, 5, 8)
    mask = torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    predicted = prior(Context(words, mask), 12)
    assert predicted.shape == (2, 3, 12, 2)
    assert_close(predicted[:1], prior(Context.unmasked(words[:1, :3]), 12), atol=1e-5, rtol=0)
    assert not torch.allclose(predicted[:1], prior(Context.unmasked(words[:1, :2]), 12), atol=1e-2)


def test_gradients_reach_every_parameter(prior):
    prior(Context.unmasked(torch.randn(2, 5, 8)), 12).square().mean().backward()
    assert not [name for name, p in prior.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.slow
def test_it_learns_a_rate_from_a_word_and_interpolates(prior):
    """Periods of 4 to 8 frames, each a mixture of two words.

    One that was left out of training is predicted too.
    """
    periods = torch.linspace(4, 8, 13)
    weight = ((periods - 4) / 4)[:, None, None]
    words = Context.unmasked(
        weight * torch.tensor([1.0] * 8) - (1 - weight) * torch.tensor([1.0, -1.0] * 4)
    )
    beat = torch.cos(2 * torch.pi * torch.arange(32) / periods[:, None])
    truth = beat[:, None, :, None].expand(-1, 3, -1, 2)
    trained = torch.arange(13) != 7
    optimizer = torch.optim.AdamW(prior.parameters(), lr=3e-3)
    for _ in range(700):
        predicted = prior(Context(words.tokens[trained], words.mask[trained]), 32)
        optimizer.zero_grad()
        (predicted - truth[trained]).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        error = (prior(words, 32) - truth).square().mean(dim=(1, 2, 3)) / truth.square().mean(
            dim=(1, 2, 3)
        )
    assert error[trained].mean() < 0.06
    assert error[7] < 0.1, "an unseen period between trained ones"


@torch.no_grad()
def test_text_tokens_may_have_position_embeddings():
    torch.manual_seed(0)
    words, reversed_order = torch.randn(1, 5, 8), torch.tensor([4, 3, 2, 1, 0])
    for num_frequencies, same in ((0, True), (6, False)):
        prior = LatentPrior(
            LatentPriorConfig(
                hidden_size=32,
                num_layers=2,
                num_heads=4,
                num_uniform_frequencies=16,
                num_position_frequencies=num_frequencies,
            ),
            text_dim=8,
            latent_channels=3,
            num_bins=2,
        )
        torch.nn.init.normal_(prior.out.weight, std=32**-0.5)
        if num_frequencies:
            torch.nn.init.normal_(prior.text_positions.proj.weight)
        forward, backward = (
            prior(Context.unmasked(x), 12) for x in (words, words[:, reversed_order])
        )
        assert torch.allclose(forward, backward, atol=1e-5) == same


def test_a_width_that_heads_do_not_divide_is_an_error():
    with pytest.raises(ConfigError, match="hidden_size = 30 must be a multiple of num_heads = 4"):
        LatentPriorConfig(hidden_size=30)
