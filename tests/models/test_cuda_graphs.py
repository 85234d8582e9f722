"""CUDA graphs: arguments are copied into the recorded memory, results out of it.

The graph itself needs a GPU. A stand-in follows the same rules here: it always reads the tensors
that it was recorded with, and always results in the same memory.
"""

import pytest
import torch
from conftest import TINY

from latentaudio.models.cuda_graphs import (
    CUDAGraphRunner,
    capture,
    flatten_tensors,
    replace_tensors,
)
from latentaudio.models.unet import UNet
from latentaudio.types import Conditioning, Context


class Recorder:
    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, fn, tensors):
        output = fn(*tensors).clone()
        self.recorded += 1

        def replay():
            self.replayed += 1
            return output.copy_(fn(*tensors))

        return replay


@pytest.fixture
def unet():
    torch.manual_seed(0)
    module = UNet(TINY.unet).eval().requires_grad_(False)
    for weight in module.parameters():
        if not weight.any():
            weight.normal_(0.0, 0.1)
    return module


def conditioning_for(count, seed):
    generator = torch.Generator().manual_seed(seed)
    config = TINY.unet
    film = torch.randn(count, config.film_dim, generator=generator) if config.film_dim else None
    contexts = tuple(
        Context.unmasked(torch.randn(count, 5, width, generator=generator))
        for width in config.cross_attention_dims
    )
    prior = (
        torch.randn(
            count, config.latent_channels, 8, config.merge_frequency_bins or 8, generator=generator
        )
        if config.use_prior
        else None
    )
    return Conditioning(film, contexts, prior)


def arguments_for(unet, rows, seed):
    z = torch.randn(
        rows,
        TINY.unet.latent_channels,
        8,
        TINY.unet.merge_frequency_bins or 8,
        generator=torch.Generator().manual_seed(seed),
    )
    return z, torch.full((rows,), 100 * seed), unet.prepare(conditioning_for(rows, seed))


@torch.inference_mode()
def test_a_replayed_unet_equals_the_unet(unet):
    recorder = Recorder()
    graphs = CUDAGraphRunner(unet, recorder)
    results = []
    for rows, seed in ((1, 1), (1, 2), (2, 3), (1, 4)):
        z, t, conditioning = arguments_for(unet, rows, seed)
        for later in (0, 300):  # steps of one run share the conditioning
            results.append(
                (
                    graphs(z + later / 1000, t + later, conditioning),
                    unet(z + later / 1000, t + later, conditioning),
                )
            )
    for got, want in results:  # compared last: an answer must not be overwritten by the next
        torch.testing.assert_close(got, want)
    assert recorder.recorded == 2 and recorder.replayed == 8


@torch.inference_mode()
def test_only_the_graphs_used_last_are_kept(unet):
    recorder = Recorder()
    graphs = CUDAGraphRunner(unet, recorder, max_graphs=2)
    for rows in (1, 2, 1, 3, 1, 2):  # 2 leaves for 3, because 1 was used since; then 3 leaves for 2
        graphs(*arguments_for(unet, rows, 1))
    assert recorder.recorded == 4 and len(graphs._graphs) == 2
    usual = CUDAGraphRunner(unet, Recorder())
    for rows in (1, 2, 3, 4):
        usual(*arguments_for(unet, rows, 1))
    assert len(usual._graphs) == usual.max_graphs == 4


def test_nested_values_keep_their_structure(unet):
    value = arguments_for(unet, 1, 1)
    tensors = flatten_tensors(value)
    again = replace_tensors(value, [tensor + 1 for tensor in tensors])
    assert len(tensors) > 5 and [tensor.shape for tensor in flatten_tensors(again)] == [
        tensor.shape for tensor in tensors
    ]
    assert all(torch.equal(a, b + 1) for a, b in zip(flatten_tensors(again), tensors, strict=True))
    assert type(again[2]) is type(value[2]) and again[2].num_clips == value[2].num_clips


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records a CUDA graph")
@torch.inference_mode()
def test_a_real_graph_equals_the_unet(unet):
    expected = [unet(*arguments_for(unet, 1, seed)) for seed in (1, 2, 3)]
    on_gpu = unet.cuda()
    graphs = CUDAGraphRunner(on_gpu, capture)
    for seed, want in zip((1, 2, 3), expected, strict=True):
        z = torch.randn(
            1,
            TINY.unet.latent_channels,
            8,
            TINY.unet.merge_frequency_bins or 8,
            generator=torch.Generator().manual_seed(seed),
        ).cuda()
        t = torch.full((1,), 100 * seed).cuda()
        got = graphs(z, t, on_gpu.prepare(conditioning_for(1, seed).map(lambda x: x.cuda())))
        torch.testing.assert_close(got.cpu(), want, atol=1e-3, rtol=1e-3)
    assert len(graphs._graphs) == 1
