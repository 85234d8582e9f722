"""Shared blocks against torch's own attention, diffusers' embeddings and closed forms."""

import pytest
import torch
from diffusers import Transformer2DModel
from diffusers.models.embeddings import get_timestep_embedding
from torch import nn
from torch.nn import functional as F

from latentaudio.models import attention
from latentaudio.models.attention import Attention, Transformer, attend
from latentaudio.models.blocks import (
    Downsample,
    FrequencyMerge,
    FrequencySplit,
    PositionalEmbedding,
    ResBlock,
    TimeConv,
    Upsample,
    sinusoidal_embedding,
    uniform_fourier_features,
)
from latentaudio.types import Context


def test_sinusoidal_embedding_agrees_with_diffusers_also_between_steps():
    t = torch.tensor([0.0, 1.0, 17.25, 999.0])
    assert torch.equal(
        sinusoidal_embedding(t, 32),
        get_timestep_embedding(t, 32, flip_sin_to_cos=True, downscale_freq_shift=0),
    )
    assert torch.equal(
        sinusoidal_embedding(torch.tensor([999]), 32), sinusoidal_embedding(t, 32)[3:]
    )


@pytest.mark.parametrize("max_scores", [0, attention.MAX_EXPLICIT_SCORES])
@pytest.mark.parametrize("masked", [False, True])
def test_explicit_and_fused_attention_equal_torchs_multihead_attention(
    monkeypatch, max_scores, masked
):
    monkeypatch.setattr(attention, "MAX_EXPLICIT_SCORES", max_scores)
    torch.manual_seed(0)
    oracle = nn.MultiheadAttention(32, 4, bias=False, kdim=24, vdim=24, batch_first=True)
    ours = Attention(32, 4, context_dim=24)
    for layer, weight in zip(
        (ours.to_q, ours.to_k, ours.to_v),
        (oracle.q_proj_weight, oracle.k_proj_weight, oracle.v_proj_weight),
        strict=True,
    ):
        layer.weight.data.copy_(weight.data)
    ours.to_out.weight.data.copy_(oracle.out_proj.weight.data)
    ours.to_out.bias.data.zero_()
    x, context = torch.randn(2, 7, 32, requires_grad=True), torch.randn(2, 5, 24)
    used = (
        torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]]).bool()
        if masked
        else torch.ones(2, 5).bool()
    )
    got = ours(x, ours.project_kv(context, used[:, None, None] if masked else None))
    want = oracle(x, context, context, key_padding_mask=~used, need_weights=False)[0]
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
    slopes = [torch.autograd.grad(out.square().sum(), x)[0] for out in (got, want)]
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-6)


def test_large_score_matrices_use_the_fused_kernel(monkeypatch):
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


def test_downsample_pads_one_side_or_both():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    asymmetric = Downsample(1, asymmetric_padding=True)
    symmetric = Downsample(1, asymmetric_padding=False)
    for step in (asymmetric, symmetric):
        nn.init.zeros_(step.conv.weight)
        nn.init.zeros_(step.conv.bias)
        # the last corner of the window shows where windows lie
        step.conv.weight.data[0, 0, 2, 2] = 1.0
    assert asymmetric(x).flatten().tolist() == [10.0, 0.0, 0.0, 0.0]
    assert symmetric(x).flatten().tolist() == [5.0, 7.0, 13.0, 15.0]


def test_upsample_repeats_cells():
    up = Upsample(1)
    nn.init.zeros_(up.conv.weight)
    nn.init.zeros_(up.conv.bias)
    up.conv.weight.data[0, 0, 1, 1] = 1.0
    assert up(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [
        [[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]
    ]


def test_frequency_merge_projects_each_frames_spectrum_and_adds_its_position():
    torch.manual_seed(0)
    merge, x = FrequencyMerge(3, 8, 4), torch.randn(2, 3, 5, 4)
    spectra = x.permute(0, 2, 1, 3).reshape(2, 5, 12)
    want = F.linear(spectra, merge.conv.weight.reshape(8, 12), merge.conv.bias)
    want = want + get_timestep_embedding(
        torch.arange(5), 8, flip_sin_to_cos=True, downscale_freq_shift=0
    )
    torch.testing.assert_close(merge(x)[..., 0].transpose(1, 2), want)


def test_uniform_frequencies_start_at_zero_and_can_separate_even_from_odd_frames():
    merge, x = FrequencyMerge(3, 8, 4, num_uniform_frequencies=6), torch.randn(2, 3, 7, 4)
    plain = FrequencyMerge(3, 8, 4)
    plain.conv.load_state_dict(merge.conv.state_dict())
    assert torch.equal(merge(x), plain(x))
    merge.uniform_proj.weight.data[2, 5] = 1.0  # the fastest cosine
    want = torch.zeros(8, 7)
    want[2] = torch.tensor([1.0, -1, 1, -1, 1, -1, 1])
    torch.testing.assert_close(
        (merge(x) - plain(x))[..., 0], want.expand(2, 8, 7), atol=1e-5, rtol=0
    )


def test_positional_embedding_is_zero_at_first_and_depends_on_the_position_only():
    torch.manual_seed(0)
    positions, tokens = PositionalEmbedding(8, num_frequencies=3), torch.randn(2, 5, 8)
    assert torch.equal(positions(tokens), tokens)
    torch.nn.init.normal_(positions.proj.weight)
    table = get_timestep_embedding(torch.arange(5), 6, flip_sin_to_cos=True, downscale_freq_shift=0)
    torch.testing.assert_close(positions(tokens), tokens + table @ positions.proj.weight.T)


def test_uniform_fourier_features_are_the_columns_of_a_fourier_basis():
    features = uniform_fourier_features(torch.arange(12), 6)
    basis = torch.cat(
        [torch.ones(12, 1), features[:, :-1]], dim=1
    )  # the last sine is zero at integer positions
    want = torch.diag(torch.tensor([12.0] + [6.0] * 5 + [12.0] + [6.0] * 5))
    torch.testing.assert_close(basis.T @ basis, want, atol=1e-4, rtol=0)


def test_frequency_split_projects_to_each_frames_spectrum():
    torch.manual_seed(0)
    split, x = FrequencySplit(8, 3, 4), torch.randn(2, 8, 5, 1)
    weight, bias = split.conv.weight.reshape(8, 12).T, split.conv.bias.repeat_interleave(4)
    spectra = F.linear(x[..., 0].transpose(1, 2), weight, bias)
    torch.testing.assert_close(split(x), spectra.reshape(2, 5, 3, 4).transpose(1, 2))


@pytest.mark.parametrize(
    ("stride", "padding", "length"), [(1, 1, 7), (2, 1, 8), (2, 1, 7), (1, 0, 5)]
)
def test_time_conv_equals_torchs_convolution(stride, padding, length):
    torch.manual_seed(0)
    conv, x = TimeConv(3, 5, stride, padding), torch.randn(2, 3, length, 1)
    torch.testing.assert_close(
        conv(x), F.conv2d(x, conv.weight, conv.bias, (stride, 1), (padding, 0))
    )


def test_1d_res_block_convolves_over_time():
    torch.manual_seed(0)
    block, x = ResBlock(8, 8, 4, 1e-5, is_1d=True), torch.randn(2, 8, 6, 1)
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


def test_new_residual_branches_are_the_identity():
    x, context = torch.randn(2, 8, 4, 2), Context.unmasked(torch.randn(2, 3, 6))
    transformer = Transformer(8, 2, context_dim=6, depth=2, num_groups=4)
    assert torch.equal(transformer(x, transformer.project_kv(context)), x)
    assert torch.equal(ResBlock(8, 8, 4, 1e-5, embedding_dim=16)(x, torch.randn(2, 16)), x)
    assert not torch.equal(ResBlock(8, 8, 4, 1e-6)(x), x)


def test_the_embedding_is_added_per_channel_between_the_convolutions():
    torch.manual_seed(0)
    block = ResBlock(8, 8, 4, 1e-5, embedding_dim=16)
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
    ours = Transformer(8, 2, context_dim=None, depth=1, num_groups=4)
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


def test_a_packed_time_convolution_computes_the_same_bits_without_copying_its_weight():
    torch.manual_seed(0)
    conv = TimeConv(12, 20)
    x = torch.randn(2, 12, 33, 1)
    expected = conv(x)
    weight = conv.weight.detach().clone()
    conv.prepare_for_packing()
    assert torch.equal(conv.weight, weight)
    flat = conv.weight[..., 0].transpose(1, 2).flatten(1)
    assert flat.is_contiguous() and flat.data_ptr() == conv.weight.data_ptr()
    assert torch.equal(conv(x), expected)
