"""Packed layers compute what plain ones do; the UNet's shared beginning and kept depths are what they say."""

from copy import deepcopy

import pytest
import torch
from conftest import TINY
from torch import nn

from latentaudio.config.architecture import UNetConfig, VAEConfig, VocoderConfig
from latentaudio.models import cpu_packing
from latentaudio.models.cpu_packing import PackedConv, PackedGate, PackedLinear, pack
from latentaudio.models.istft_vocoder import HiFiGAN
from latentaudio.models.unet import Deep, UNet
from latentaudio.models.vae import VAE
from latentaudio.types import Conditioning, Context, Latent, cat_conditionings

SHAPE = {
    "channels": 16,
    "mult": (1, 2, 3),
    "attention": (False, True, True),
    "groups": 8,
    "latent": 4,
}
CONTEXTS = UNetConfig(**SHAPE, contexts=(None, 12, 20), heads=(2, 2, 2))
FILM = UNetConfig(**SHAPE, film=8, heads=(2, 2, 2))
LINE = UNetConfig(
    **SHAPE, film=8, draft=True, contexts=(12, 20), line=8, beats=4, order=4, heads=(2, 2, 2)
)  # as mini's


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def randomised(module):
    torch.manual_seed(0)
    for name, p in module.named_parameters():
        p.normal_(0.0, p[0].numel() ** -0.5 if p.dim() > 1 else 0.2)
        if "norm" in name and name.endswith("weight"):
            p.add_(1.0)
    return module.eval().requires_grad_(False)


def asked(config, count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    film = None if config.film is None else torch.randn(count, config.film, generator=generator)
    contexts = tuple(
        Context.full(torch.randn(count, 5, width, generator=generator)) for width in config.heard
    )
    draft = torch.randn(count, config.latent, 12, 8, generator=generator) if config.draft else None
    return Conditioning(film, contexts, draft)


def apart(got, want):
    return float((got - want).abs().max() / want.abs().max())


def test_packing_is_there():
    assert cpu_packing.available()  # on x86 with the supported versions of torch


@pytest.mark.parametrize(
    "config", [CONTEXTS, FILM, LINE, TINY.unet], ids=["contexts", "film", "line", "tiny"]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
def test_a_packed_unet_says_the_same(config, dtype, tolerance):
    unet, heard = randomised(UNet(config)), asked(config)
    z, t = (
        torch.randn(2, config.latent, 12, 8, generator=torch.Generator().manual_seed(1)),
        torch.tensor([900, 40]),
    )
    want = unet(z, t, heard)
    pack(unet.to(dtype))
    assert unet.turned == (config.line is None)
    pack(unet)  # once more changes nothing
    assert sum(isinstance(m, PackedConv | PackedLinear | PackedGate) for m in unet.modules()) > 20
    for rows in (slice(0, 2), slice(0, 1)):  # another batch than weights were laid out for
        got = unet(z[rows], t[rows], heard.map(lambda x, rows=rows: x[rows]))
        assert got.dtype == dtype and apart(got.float(), want[rows]) < tolerance


def test_a_packed_vae_and_vocoder_say_the_same():
    vae = randomised(VAE(VAEConfig(channels=16, mult=(1, 2), latent=4, groups=8), std=(0.5,)))
    vocoder = randomised(HiFiGAN(VocoderConfig(channels=256, rates=(5, 4, 2, 2, 2))))
    latent = Latent(torch.randn(2, 4, 8, 32, generator=torch.Generator().manual_seed(1)))
    mel = vae.decode(latent)
    raw, wave = vae.encode(mel).mean, vocoder(mel)
    pack(vae)
    pack(vocoder)
    assert apart(vae.decode(latent), mel) < 1e-5 and apart(vae.encode(mel).mean, raw) < 1e-5
    assert apart(vocoder(mel), wave) < 1e-5
    packed_wave = vocoder(mel[:1, :, :9])
    assert packed_wave.shape[-1] == vocoder(mel[:1, :, :8]).shape[-1] + 160


def test_what_has_a_side_is_not_turned():
    unet = UNet(CONTEXTS)
    unet.conv_in.padding = (1, 0)
    with pytest.raises(AssertionError, match="has a side"):
        pack(unet)


def test_groups_and_named_exceptions_stay_as_they_are():
    network = nn.Sequential(nn.Conv1d(8, 8, 3, groups=8), nn.Linear(8, 8))
    pack(network)
    assert type(network[0]) is nn.Conv1d and type(network[1]) is nn.Linear


@pytest.mark.parametrize(
    "config", [CONTEXTS, FILM, LINE, TINY.unet], ids=["contexts", "film", "line", "tiny"]
)
def test_one_latent_for_two_conditionings_is_that_latent_twice(config):
    unet, both = randomised(UNet(config)), cat_conditionings(asked(config), asked(config, seed=3))
    z, t = (
        torch.randn(2, config.latent, 12, 8, generator=torch.Generator().manual_seed(1)),
        torch.tensor([900, 40]),
    )
    torch.testing.assert_close(
        unet(z, t, both), unet(torch.cat([z, z]), torch.cat([t, t]), both), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    "config", [CONTEXTS, FILM, LINE, TINY.unet], ids=["contexts", "film", "line", "tiny"]
)
def test_depths_are_kept_for_as_many_steps_as_asked(config):
    unet, heard = randomised(UNet(config)), asked(config, 1)
    z = torch.randn(4, 1, config.latent, 12, 8, generator=torch.Generator().manual_seed(1))
    times = [torch.tensor([t]) for t in (900, 700, 500, 300)]
    fresh = [unet(one, t, heard) for one, t in zip(z, times, strict=True)]
    for every, same in ((1, {0, 1, 2, 3}), (2, {0, 2}), (3, {0, 3})):
        deep = Deep(every)
        found = [unet(one, t, heard, deep) for one, t in zip(z, times, strict=True)]
        assert {k for k in range(4) if torch.allclose(found[k], fresh[k], atol=1e-5)} == same
    deep = Deep(2)
    unet(z[0], times[0], heard, deep)
    torch.testing.assert_close(unet(z[0], times[0], heard, deep), fresh[0], atol=1e-5, rtol=1e-5)


def test_kept_depths_follow_a_batch_that_shrinks_and_are_renewed_when_it_grows():
    unet, null, heard = randomised(UNet(CONTEXTS)), asked(CONTEXTS, 1), asked(CONTEXTS, 1, seed=3)
    z, t, deep = (
        torch.randn(1, 4, 12, 8, generator=torch.Generator().manual_seed(1)),
        torch.tensor([400]),
        Deep(4),
    )
    both = unet(z, t, cat_conditionings(null, heard), deep)
    torch.testing.assert_close(unet(z, t, heard, deep), both[1:], atol=1e-5, rtol=1e-5)
    other = deepcopy(deep)
    other.kept = deep.kept[:1]
    torch.testing.assert_close(unet(z, t, cat_conditionings(null, heard), other), both, atol=1e-5, rtol=1e-5)


def test_a_vocoder_in_bf16_stays_thirty_decibels_above_its_rounding():
    vocoder = randomised(HiFiGAN(VocoderConfig(channels=256, rates=(5, 4, 2, 2, 2))))
    mel = torch.randn(1, 1, 40, 64, generator=torch.Generator().manual_seed(1))
    want = vocoder(mel)
    coarse = vocoder.bfloat16()
    pack(coarse)
    assert want.std() > 0.05 and want.var() > 1000 * (coarse(mel) - want).var()
