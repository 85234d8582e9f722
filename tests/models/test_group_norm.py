"""Group norm on large grids against float64, and against torch's own elsewhere."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from latentaudio.models.group_norm import GroupNorm

SHAPE = (1, 16, 1024, 64)


def make(kind, seed=0):
    generator = torch.Generator().manual_seed(seed)
    norm = kind(8, 16, 1e-6)
    with torch.no_grad():
        for weight in norm.parameters():
            weight.copy_(torch.randn(16, generator=generator))
    x = torch.randn(SHAPE, generator=generator) + 1
    return norm, x.contiguous(memory_format=torch.channels_last)


def relative_error(norm, x):
    weight = norm.weight.double()
    expected = F.group_norm(x.double(), norm.num_groups, weight, norm.bias.double(), norm.eps)
    return float((norm(x) - expected).norm() / expected.norm())


@torch.no_grad()
def test_sums_of_a_large_grid_are_exact():
    assert relative_error(*make(GroupNorm)) < 5e-7
    assert relative_error(*make(nn.GroupNorm)) > 1e-6  # the reason for the class


@torch.no_grad()
def test_the_layout_stays():
    norm, x = make(GroupNorm)
    assert norm(x).is_contiguous(memory_format=torch.channels_last)
    assert norm(x).dtype == torch.float32


@pytest.mark.parametrize("case", ["small", "contiguous", "bfloat16", "training"])
def test_everything_else_is_as_torch_does_it(case):
    ours, x = make(GroupNorm)
    theirs, _ = make(nn.GroupNorm)
    if case == "small":
        x = x[:, :, :64].contiguous(memory_format=torch.channels_last)
    if case == "contiguous":
        x = x.contiguous()
    if case == "bfloat16":
        x = x.bfloat16()
        ours.bfloat16()
        theirs.bfloat16()
    with torch.set_grad_enabled(case == "training"):
        torch.testing.assert_close(ours(x), theirs(x), atol=0, rtol=0)
