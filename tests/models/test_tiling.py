"""Chunks of long inputs.

They cover everything, crossfade, and equal the whole if margins reach far enough.
"""

from itertools import pairwise

import pytest
import torch
from torch import nn

from latentaudio.config.architecture import VocoderConfig
from latentaudio.models.hifigan import HiFiGAN
from latentaudio.models.tiling import (
    apply_chunked,
    apply_overlapping,
    crossfade_window,
    window_starts,
)


@pytest.mark.parametrize(
    ("total", "length", "overlap"),
    [(10, 16, 4), (16, 16, 4), (17, 16, 4), (100, 16, 4), (7500, 256, 64)],
)
def test_windows_cover_everything_and_overlap_enough(total, length, overlap):
    starts = window_starts(total, length, overlap)
    assert starts[0] == 0 and (total <= length or starts[-1] + length == total)
    assert all(b - a <= length - overlap for a, b in pairwise(starts))
    assert len(starts) <= 1 + -(
        -max(0, total - length) // (length - overlap)
    )  # no more than are needed


def test_crossfades_of_neighbors_add_up_to_one():
    falling, rising = crossfade_window(16, 4, True, False), crossfade_window(16, 4, False, True)
    torch.testing.assert_close(falling[-4:] + rising[:4], torch.ones(4))
    assert (falling[:-4] == 1).all() and (rising[4:] == 1).all()


def test_overlapping_chunks_of_a_pointwise_function_equal_the_whole():
    x = torch.randn(2, 3, 50, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        apply_overlapping(lambda p: p.repeat_interleave(2, 2) * 3, x, 16, 4),
        x.repeat_interleave(2, 2) * 3,
    )
    shifts = iter((0.0, 1.0, 2.0, 3.0))
    faded = apply_overlapping(lambda p: p * 0 + next(shifts), x[:, :, :40], 16, 4)[0, 0, :, 0]
    assert faded.diff().abs().max() < 0.3 and faded[0] == 0 and faded[-1] == 2


@torch.no_grad()
def test_a_chunked_vocoder_equals_the_whole():
    torch.manual_seed(0)
    vocoder = HiFiGAN(VocoderConfig(channels=32)).eval()
    for weight in vocoder.parameters():
        nn.init.normal_(weight, 0.0, weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.1)
    mel = torch.randn(1, 1, 150, 64)
    whole = vocoder(mel)
    chunked = apply_chunked(vocoder, mel, 80, vocoder.margin, vocoder.hop_length)
    assert chunked.shape == whole.shape and whole.std() > 0.01
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=1e-5)
    lengths = []
    apply_chunked(
        lambda chunk: lengths.append(chunk.shape[2]) or vocoder(chunk),
        mel[:, :, :90],
        80,
        vocoder.margin,
        vocoder.hop_length,
    )
    assert len(set(lengths)) == 1 and sum(lengths) <= 90 + (len(lengths) - 1) * (
        2 * vocoder.margin + 1
    )  # no more than is needed
    short = apply_chunked(vocoder, mel, 80, 2, vocoder.hop_length)
    assert (short - whole).abs().max() > 1e-3  # it can fail
