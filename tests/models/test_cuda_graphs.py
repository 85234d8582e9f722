"""Calls that are played back: arguments reach the recorded memory, results leave it. The graph itself needs a GPU; a stand-in
keeps its rules here: it always reads the tensors it was recorded with and always answers in the same memory."""

import pytest
import torch
from conftest import TINY

from latentaudio.models.cuda_graphs import Graphs, recorded, tensors_of, with_tensors
from latentaudio.models.unet import UNet
from latentaudio.types import Conditioning, Context


class Recorder:
    def __init__(self):
        self.recorded = self.played = 0

    def __call__(self, work, tensors):
        made = work(*tensors).clone()
        self.recorded += 1

        def play():
            self.played += 1
            return made.copy_(work(*tensors))

        return play


@pytest.fixture
def unet():
    torch.manual_seed(0)
    module = UNet(TINY.unet).eval().requires_grad_(False)
    for weight in module.parameters():
        if not weight.any():
            weight.normal_(0.0, 0.1)
    return module


def asked(count, seed):
    generator = torch.Generator().manual_seed(seed)
    config = TINY.unet
    film = torch.randn(count, config.film, generator=generator) if config.film else None
    contexts = tuple(
        Context.full(torch.randn(count, 5, width, generator=generator)) for width in config.heard
    )
    draft = (
        torch.randn(count, config.latent, 8, config.line or 8, generator=generator)
        if config.draft
        else None
    )
    return Conditioning(film, contexts, draft)


def given(unet, rows, seed):
    z = torch.randn(
        rows,
        TINY.unet.latent,
        8,
        TINY.unet.line or 8,
        generator=torch.Generator().manual_seed(seed),
    )
    return z, torch.full((rows,), 100 * seed), unet.prepare(asked(rows, seed))


@torch.inference_mode()
def test_a_played_back_unet_says_what_the_unet_says(unet):
    recorder = Recorder()
    graphs = Graphs(unet, recorder)
    answers = []
    for rows, seed in ((1, 1), (1, 2), (2, 3), (1, 4)):
        z, t, heard = given(unet, rows, seed)
        for later in (0, 300):  # steps of one walk share what is heard
            answers.append(
                (
                    graphs(z + later / 1000, t + later, heard),
                    unet(z + later / 1000, t + later, heard),
                )
            )
    for got, want in answers:  # compared last: an answer must not be overwritten by the next
        torch.testing.assert_close(got, want)
    assert recorder.recorded == 2 and recorder.played == 8


@torch.inference_mode()
def test_the_graphs_used_last_are_kept(unet):
    recorder = Recorder()
    graphs = Graphs(unet, recorder, most=2)
    for rows in (1, 2, 1, 3, 1, 2):  # 2 leaves for 3, because 1 was used since; then 3 leaves for 2
        graphs(*given(unet, rows, 1))
    assert recorder.recorded == 4 and len(graphs._graphs) == 2
    usual = Graphs(unet, Recorder())
    for rows in (1, 2, 3, 4):
        usual(*given(unet, rows, 1))
    assert len(usual._graphs) == usual.most == 4


def test_nests_keep_their_shape(unet):
    value = given(unet, 1, 1)
    tensors = tensors_of(value)
    again = with_tensors(value, [one + 1 for one in tensors])
    assert len(tensors) > 5 and [one.shape for one in tensors_of(again)] == [
        one.shape for one in tensors
    ]
    assert all(torch.equal(a, b + 1) for a, b in zip(tensors_of(again), tensors, strict=True))
    assert type(again[2]) is type(value[2]) and again[2].count == value[2].count


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records a CUDA graph")
@torch.inference_mode()
def test_a_real_graph_says_the_same(unet):
    wanted = [unet(*given(unet, 1, seed)) for seed in (1, 2, 3)]
    there = unet.cuda()
    graphs = Graphs(there, recorded)
    for seed, want in zip((1, 2, 3), wanted, strict=True):
        z = torch.randn(
            1,
            TINY.unet.latent,
            8,
            TINY.unet.line or 8,
            generator=torch.Generator().manual_seed(seed),
        ).cuda()
        t = torch.full((1,), 100 * seed).cuda()
        got = graphs(z, t, there.prepare(asked(1, seed).map(lambda x: x.cuda())))
        torch.testing.assert_close(got.cpu(), want, atol=1e-3, rtol=1e-3)
    assert len(graphs._graphs) == 1
