"""The shared bricks against torch's own attention, diffusers' embeddings and closed forms."""

import pytest
import torch
from diffusers import Transformer2DModel
from diffusers.models.embeddings import get_timestep_embedding
from torch import nn
from torch.nn import functional as F

from latentaudio.models import blocks
from latentaudio.models.blocks import (
    Attention,
    Downsample,
    Fold,
    ResBlock,
    Transformer,
    Unfold,
    Upsample,
    attend,
    even_waves,
    sinusoids,
)
from latentaudio.types import Context


def test_sinusoids_agree_with_diffusers_also_between_steps():
    t = torch.tensor([0.0, 1.0, 17.25, 999.0])
    assert torch.equal(
        sinusoids(t, 32),
        get_timestep_embedding(t, 32, flip_sin_to_cos=True, downscale_freq_shift=0),
    )
    assert torch.equal(sinusoids(torch.tensor([999]), 32), sinusoids(t, 32)[3:])


@pytest.mark.parametrize("small_grid", [0, blocks.SMALL_GRID])
@pytest.mark.parametrize("masked", [False, True])
def test_both_ways_to_attend_are_torchs_multihead_attention(monkeypatch, small_grid, masked):
    monkeypatch.setattr(blocks, "SMALL_GRID", small_grid)
    torch.manual_seed(0)
    oracle = nn.MultiheadAttention(32, 4, bias=False, kdim=24, vdim=24, batch_first=True)
    ours = Attention(32, 4, context=24)
    for layer, weight in zip(
        (ours.to_q, ours.to_k, ours.to_v),
        (oracle.q_proj_weight, oracle.k_proj_weight, oracle.v_proj_weight),
        strict=True,
    ):
        layer.weight.data.copy_(weight.data)
    ours.to_out.weight.data.copy_(oracle.out_proj.weight.data)
    ours.to_out.bias.data.zero_()
    x, context = torch.randn(2, 7, 32, requires_grad=True), torch.randn(2, 5, 24)
    look = (
        torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]]).bool()
        if masked
        else torch.ones(2, 5).bool()
    )
    got = ours(x, ours.look_at(context, look[:, None, None] if masked else None))
    want = oracle(x, context, context, key_padding_mask=~look, need_weights=False)[0]
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
    slopes = [torch.autograd.grad(out.square().sum(), x)[0] for out in (got, want)]
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-6)


def test_large_grids_take_the_fused_kernel(monkeypatch):
    calls = []
    fused = F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or fused(*a, **k)
    )
    q = torch.randn(1, 1, 257, 4)
    attend(q[:, :, :256], q[:, :, :256], q[:, :, :256], None)
    assert not calls
    attend(q, q, q, None)
    assert calls


def test_downsample_pads_where_the_spec_says():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    lopsided, centred = Downsample(1, lopsided=True), Downsample(1, lopsided=False)
    for step in (lopsided, centred):
        nn.init.zeros_(step.conv.weight)
        nn.init.zeros_(step.conv.bias)
        step.conv.weight.data[0, 0, 2, 2] = (
            1.0  # the last corner of the window shows where windows lie
        )
    assert lopsided(x).flatten().tolist() == [10.0, 0.0, 0.0, 0.0]
    assert centred(x).flatten().tolist() == [5.0, 7.0, 13.0, 15.0]


def test_upsample_repeats_cells():
    up = Upsample(1)
    nn.init.zeros_(up.conv.weight)
    nn.init.zeros_(up.conv.bias)
    up.conv.weight.data[0, 0, 1, 1] = 1.0
    assert up(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [
        [[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]
    ]


def test_a_fold_is_one_projection_of_each_moments_spectrum_and_says_when():
    torch.manual_seed(0)
    fold, x = Fold(3, 8, 4), torch.randn(2, 3, 5, 4)
    spectra = x.permute(0, 2, 1, 3).reshape(2, 5, 12)
    want = F.linear(spectra, fold.conv.weight.reshape(8, 12), fold.conv.bias)
    want = want + get_timestep_embedding(
        torch.arange(5), 8, flip_sin_to_cos=True, downscale_freq_shift=0
    )
    torch.testing.assert_close(fold(x)[..., 0].transpose(1, 2), want)


def test_a_fold_with_beats_starts_as_one_without_and_can_tell_even_moments_from_odd_ones():
    fold, x = Fold(3, 8, 4, beats=6), torch.randn(2, 3, 7, 4)
    plain = Fold(3, 8, 4)
    plain.conv.load_state_dict(fold.conv.state_dict())
    assert torch.equal(fold(x), plain(x))
    fold.beats.weight.data[2, 5] = 1.0  # the fastest cosine
    want = torch.zeros(8, 7)
    want[2] = torch.tensor([1.0, -1, 1, -1, 1, -1, 1])
    torch.testing.assert_close(
        (fold(x) - plain(x))[..., 0], want.expand(2, 8, 7), atol=1e-5, rtol=0
    )


def test_order_is_nothing_at_first_and_then_the_same_wave_wherever_a_token_comes_from():
    torch.manual_seed(0)
    order, tokens = blocks.Order(8, waves=3), torch.randn(2, 5, 8)
    assert torch.equal(order(tokens), tokens)
    torch.nn.init.normal_(order.waves.weight)
    table = get_timestep_embedding(torch.arange(5), 6, flip_sin_to_cos=True, downscale_freq_shift=0)
    torch.testing.assert_close(order(tokens), tokens + table @ order.waves.weight.T)


def test_even_waves_are_the_columns_of_a_fourier_basis():
    waves = even_waves(torch.arange(12), 6)
    basis = torch.cat(
        [torch.ones(12, 1), waves[:, :-1]], dim=1
    )  # the last sine is zero at whole places
    want = torch.diag(torch.tensor([12.0] + [6.0] * 5 + [12.0] + [6.0] * 5))
    torch.testing.assert_close(basis.T @ basis, want, atol=1e-4, rtol=0)


def test_an_unfold_is_one_projection_to_each_moments_spectrum():
    torch.manual_seed(0)
    unfold, x = Unfold(8, 3, 4), torch.randn(2, 8, 5, 1)
    weight, bias = unfold.conv.weight.reshape(8, 12).T, unfold.conv.bias.repeat_interleave(4)
    spectra = F.linear(x[..., 0].transpose(1, 2), weight, bias)
    torch.testing.assert_close(unfold(x), spectra.reshape(2, 5, 3, 4).transpose(1, 2))


@pytest.mark.parametrize(
    ("stride", "padding", "length"), [(1, 1, 7), (2, 1, 8), (2, 1, 7), (1, 0, 5)]
)
def test_a_convolution_on_a_line_is_torchs(stride, padding, length):
    torch.manual_seed(0)
    conv, x = blocks.LineConv(3, 5, stride, padding), torch.randn(2, 3, length, 1)
    torch.testing.assert_close(
        conv(x), F.conv2d(x, conv.weight, conv.bias, (stride, 1), (padding, 0))
    )


def test_a_block_on_a_line_is_convolution_in_time():
    torch.manual_seed(0)
    block, x = ResBlock(8, 8, 4, 1e-5, line=True), torch.randn(2, 8, 6, 1)
    h = F.conv1d(
        F.silu(F.group_norm(x[..., 0], 4, eps=1e-5)),
        block.conv1.weight[..., 0],
        block.conv1.bias,
        padding=1,
    )
    h = F.conv1d(
        F.silu(F.group_norm(h, 4, eps=1e-5)),
        block.conv2.weight[..., 0],
        block.conv2.bias,
        padding=1,
    )
    torch.testing.assert_close(block(x)[..., 0], h + x[..., 0])


def test_new_branches_change_nothing():
    x, context = torch.randn(2, 8, 4, 2), Context.full(torch.randn(2, 3, 6))
    transformer = Transformer(8, 2, context=6, depth=2, groups=4)
    assert torch.equal(transformer(x, transformer.look_at(context)), x)
    assert torch.equal(ResBlock(8, 8, 4, 1e-5, embedding=16)(x, torch.randn(2, 16)), x)
    assert not torch.equal(ResBlock(8, 8, 4, 1e-6)(x), x)


def test_the_embedding_is_added_per_channel_between_the_convolutions():
    torch.manual_seed(0)
    block = ResBlock(8, 8, 4, 1e-5, embedding=16)
    nn.init.normal_(block.conv2.weight)
    x, embedding = torch.randn(2, 8, 4, 2), torch.randn(2, 16)
    moved = block.conv1(F.silu(F.group_norm(x, 4, eps=1e-5))) + block.embed(embedding).view(
        2, 8, 1, 1
    )
    want = x + F.conv2d(F.silu(F.group_norm(moved, 4, eps=1e-5)), block.conv2.weight, padding=1)
    torch.testing.assert_close(block(x, embedding), want)


@torch.no_grad()
def test_a_transformer_agrees_with_diffusers_also_on_quiet_input():
    """Input of variance 1e-6 weighs as much as the norm's epsilon, so a wrong epsilon shows."""
    torch.manual_seed(0)
    theirs = Transformer2DModel(
        2, 4, in_channels=8, norm_num_groups=4, double_self_attention=True
    ).eval()
    ours = Transformer(8, 2, context=None, depth=1, groups=4)
    names = [
        ("transformer_blocks", "blocks"),
        ("ff.net.0.proj", "ff_in"),
        ("ff.net.2", "ff_out"),
        ("to_out.0", "to_out"),
    ]
    weights = theirs.state_dict()
    for old, new in names:
        weights = {name.replace(old, new): tensor for name, tensor in weights.items()}
    ours.load_state_dict(weights)
    x = 1e-3 * torch.randn(2, 8, 4, 2)
    torch.testing.assert_close(ours(x, [None]), theirs(x).sample, rtol=1e-5, atol=1e-6)
