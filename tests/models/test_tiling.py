"""Pieces of long things: they cover, fade, and where margins reach far enough are the whole to the last digit."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from latentaudio.config.architecture import VocoderConfig
from latentaudio.models.istft_vocoder import HiFiGAN
from latentaudio.models.tiling import blended, chunked, ramp, starts


@pytest.mark.parametrize(
    ("total", "length", "overlap"),
    [(10, 16, 4), (16, 16, 4), (17, 16, 4), (100, 16, 4), (7500, 256, 64)],
)
def test_pieces_cover_everything_and_overlap_enough(total, length, overlap):
    places = starts(total, length, overlap)
    assert places[0] == 0 and (total <= length or places[-1] + length == total)
    assert all(b - a <= length - overlap for a, b in pairwise(places))
    assert len(places) <= 1 + -(
        -max(0, total - length) // (length - overlap)
    )  # no more than are needed


def test_ramps_of_neighbours_are_complementary():
    falling, rising = ramp(16, 4, True, False), ramp(16, 4, False, True)
    torch.testing.assert_close(falling[-4:] + rising[:4], torch.ones(4))
    assert (falling[:-4] == 1).all() and (rising[4:] == 1).all()


def test_what_is_pointwise_is_blended_to_itself():
    x = torch.randn(2, 3, 50, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        blended(lambda p: p.repeat_interleave(2, 2) * 3, x, 16, 4), x.repeat_interleave(2, 2) * 3
    )
    shifts = iter((0.0, 1.0, 2.0, 3.0))
    faded = blended(lambda p: p * 0 + next(shifts), x[:, :, :40], 16, 4)[0, 0, :, 0]
    assert faded.diff().abs().max() < 0.3 and faded[0] == 0 and faded[-1] == 2


@torch.no_grad()
def test_a_vocoder_in_chunks_is_the_vocoder():
    torch.manual_seed(0)
    vocoder = HiFiGAN(VocoderConfig(channels=32)).eval()
    for weight in vocoder.parameters():
        nn.init.normal_(weight, 0.0, weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.1)
    mel = torch.randn(1, 1, 150, 64)
    whole = vocoder(mel)
    made = chunked(vocoder, mel, 80, vocoder.margin, vocoder.hop)
    assert made.shape == whole.shape and whole.std() > 0.01
    torch.testing.assert_close(made, whole, atol=1e-5, rtol=1e-5)
    seen = []
    chunked(
        lambda piece: seen.append(piece.shape[2]) or vocoder(piece),
        mel[:, :, :90],
        80,
        vocoder.margin,
        vocoder.hop,
    )
    assert len(set(seen)) == 1 and sum(seen) <= 90 + (len(seen) - 1) * (
        2 * vocoder.margin + 1
    )  # no more than is needed
    short = chunked(vocoder, mel, 80, 2, vocoder.hop)
    assert (short - whole).abs().max() > 1e-3  # it can fail
