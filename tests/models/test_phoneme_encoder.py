"""The phoneme encoder against transformers' VITS and the published parameter count."""

import pytest
import torch
from transformers import VitsConfig, VitsModel

from latentaudio.config.architecture import PhonemesConfig
from latentaudio.models.phoneme_encoder import PhonemeEncoder

TINY = PhonemesConfig(
    vocab_size=20,
    hidden_size=12,
    num_layers=3,
    num_heads=2,
    ffn_dim=20,
    window_size=4,
    max_length=16,
)


@pytest.fixture(scope="module")
def pair():
    """Our tiny encoder and transformers' with the same weights, all of them of some size."""
    torch.manual_seed(0)
    numbers = VitsConfig(
        vocab_size=20,
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=2,
        ffn_dim=20,
        window_size=4,
        flow_size=12,
        upsample_initial_channel=32,
        hidden_act="relu",
        pad_token_id=0,
    )
    theirs = VitsModel(numbers).text_encoder.eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape) + (parameter == 1))
    ours = PhonemeEncoder(TINY).eval()
    ours.load_state_dict({**theirs.state_dict(), "positional": torch.randn(1, 12, 16)})
    return ours, theirs


def rows(width, *lengths):
    """Random ids, padded with 0 from each length on."""
    ids = torch.randint(1, 20, (len(lengths), width))
    return ids * (torch.arange(width) < torch.tensor(lengths)[:, None])


def test_published_parameter_count():
    with torch.device("meta"):
        model = PhonemeEncoder(PhonemesConfig())
    assert sum(p.numel() for p in model.parameters()) - model.positional.numel() == 6_327_744
    assert model.positional.shape == (1, 192, 310)
    assert all(tensor.is_meta for tensor in model.state_dict().values())


def test_names_are_those_of_transformers(pair):
    ours, theirs = pair
    assert set(ours.state_dict()) == {*theirs.state_dict(), "positional"}


@pytest.mark.parametrize(
    ("width", "lengths"),
    [(16, (16, 1, 9, 5, 3)), (3, (3, 2)), (1, (1,)), (5, (5, 4, 1)), (9, (9, 2))],
)
@torch.no_grad()
def test_agrees_with_transformers(pair, width, lengths):
    ours, theirs = pair
    ids = rows(width, *lengths)
    mask = (ids != 0).float()
    context = ours(ids)
    want = theirs(ids, mask[..., None], attention_mask=mask).last_hidden_state
    assert want.abs().mean() > 0.1
    torch.testing.assert_close(context.mask, mask)
    torch.testing.assert_close(
        context.tokens - ours.positional[..., :width].transpose(1, 2),
        want,
        rtol=1e-5,
        atol=1e-5 * want.abs().max().item(),
    )


@torch.no_grad()
def test_positions_are_added_to_padding_too(pair):
    context = pair[0](rows(16, 4))
    torch.testing.assert_close(context.tokens[0, 4:], pair[0].positional[0].T[4:])


@torch.no_grad()
def test_an_unknown_symbol_masks_the_last_token(pair):
    assert pair[0](torch.tensor([[3, 0, 5, 7, 0, 0]])).mask.tolist() == [[1, 1, 1, 0, 0, 0]]


@torch.no_grad()
def test_an_empty_transcript_is_finite_and_only_positions(pair):
    context = pair[0](torch.zeros(1, 16, dtype=torch.int64))
    assert context.mask.sum() == 0
    torch.testing.assert_close(context.tokens[0], pair[0].positional[0].T)


@torch.no_grad()
def test_batch_item_equals_itself_alone(pair):
    ids = rows(16, 16, 2, 11)
    batched, alone = pair[0](ids), pair[0](ids[1:2])
    torch.testing.assert_close(batched.tokens[1:2], alone.tokens, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(batched.mask[1:2], alone.mask)


def test_more_ids_than_positions_are_an_error(pair):
    with pytest.raises(AssertionError, match="17 phonemes exceed the model's 16 positions"):
        pair[0](rows(17, 17))


def test_every_used_parameter_learns():
    model = PhonemeEncoder(TINY)
    target = torch.randn(2, 16, 12)
    (model(rows(16, 16, 7)).tokens - target).square().mean().backward()
    idle = {
        name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0
    }
    assert idle == {"project.weight", "project.bias"}
