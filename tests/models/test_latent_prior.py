"""The draft reads all of its text and nothing else, at any length, and learns when things happen."""

import pytest
import torch
from torch.testing import assert_close

from latentaudio.config.architecture import DraftConfig
from latentaudio.errors import ConfigError
from latentaudio.models.latent_prior import Draft
from latentaudio.types import Context


@pytest.fixture
def draft():
    torch.manual_seed(0)
    made = Draft(DraftConfig(width=32, layers=2, heads=4, beats=16), text=8, latent=3, bins=2)
    torch.nn.init.normal_(made.out.weight, std=32**-0.5)
    return made


@torch.no_grad()
def test_masked_words_and_neighbours_change_nothing(draft):
    words = torch.randn(2, 5, 8)
    mask = torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    drawn = draft(Context(words, mask), 12)
    assert drawn.shape == (2, 3, 12, 2)
    assert_close(drawn[:1], draft(Context.full(words[:1, :3]), 12), atol=1e-5, rtol=0)
    assert not torch.allclose(drawn[:1], draft(Context.full(words[:1, :2]), 12), atol=1e-2)


def test_gradients_reach_every_parameter(draft):
    draft(Context.full(torch.randn(2, 5, 8)), 12).square().mean().backward()
    assert not [name for name, p in draft.named_parameters() if p.grad is None or not p.grad.any()]


def test_it_learns_a_pace_from_a_word_and_draws_one_between(draft):
    """Paces of 4 to 8 moments a stroke, each a point on the way from one word to another; one that was left out is met too."""
    periods = torch.linspace(4, 8, 13)
    share = ((periods - 4) / 4)[:, None, None]
    words = Context.full(
        share * torch.tensor([1.0] * 8) - (1 - share) * torch.tensor([1.0, -1.0] * 4)
    )
    beat = torch.cos(2 * torch.pi * torch.arange(32) / periods[:, None])
    truth = beat[:, None, :, None].expand(-1, 3, -1, 2)
    kept = torch.arange(13) != 7
    optim = torch.optim.AdamW(draft.parameters(), lr=3e-3)
    for _ in range(700):
        drawn = draft(Context(words.tokens[kept], words.mask[kept]), 32)
        optim.zero_grad()
        (drawn - truth[kept]).square().mean().backward()
        optim.step()
    with torch.no_grad():
        error = (draft(words, 32) - truth).square().mean(dim=(1, 2, 3)) / truth.square().mean(
            dim=(1, 2, 3)
        )
    assert error[kept].mean() < 0.06
    assert error[7] < 0.1, "an untaught pace between taught ones"


@torch.no_grad()
def test_words_may_know_their_order():
    torch.manual_seed(0)
    words, turned = torch.randn(1, 5, 8), torch.tensor([4, 3, 2, 1, 0])
    for waves, same in ((0, True), (6, False)):
        draft = Draft(
            DraftConfig(width=32, layers=2, heads=4, beats=16, order=waves),
            text=8,
            latent=3,
            bins=2,
        )
        torch.nn.init.normal_(draft.out.weight, std=32**-0.5)
        if waves:
            torch.nn.init.normal_(draft.order.waves.weight)
        there, back = (draft(Context.full(x), 12) for x in (words, words[:, turned]))
        assert torch.allclose(there, back, atol=1e-5) == same


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ConfigError, match="draft width 30 does not divide into 4 heads"):
        DraftConfig(width=30)
