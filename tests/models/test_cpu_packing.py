"""Packed layers equal plain ones.

The UNet's shared first blocks and its DeepCache do what they should.
"""

from copy import deepcopy

import pytest
import torch
from conftest import TINY
from torch import nn

from latentaudio.config.architecture import UNetConfig, VAEConfig, VocoderConfig
from latentaudio.models import cpu_packing
from latentaudio.models.cpu_packing import PackedConv, PackedGEGLU, PackedLinear, pack
from latentaudio.models.hifigan import HiFiGAN
from latentaudio.models.unet import DeepCache, UNet
from latentaudio.models.vae import VAE
from latentaudio.types import Conditioning, Context, Latent, cat_conditionings

SHAPE = {
    "channels": 16,
    "channel_mult": (1, 2, 3),
    "attention": (False, True, True),
    "num_groups": 8,
    "latent_channels": 4,
}
CONTEXTS = UNetConfig(**SHAPE, contexts=(None, 12, 20), num_heads=(2, 2, 2))
FILM = UNetConfig(**SHAPE, film_dim=8, num_heads=(2, 2, 2))
ONE_D = UNetConfig(
    **SHAPE,
    film_dim=8,
    use_prior=True,
    contexts=(12, 20),
    merge_frequency_bins=8,
    num_uniform_frequencies=4,
    num_position_frequencies=4,
    num_heads=(2, 2, 2),
)  # as mini's


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def randomized(module):
    torch.manual_seed(0)
    for name, p in module.named_parameters():
        p.normal_(0.0, p[0].numel() ** -0.5 if p.dim() > 1 else 0.2)
        if "norm" in name and name.endswith("weight"):
            p.add_(1.0)
    return module.eval().requires_grad_(False)


def conditioning_for(config, count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    film = (
        None
        if config.film_dim is None
        else torch.randn(count, config.film_dim, generator=generator)
    )
    contexts = tuple(
        Context.unmasked(torch.randn(count, 5, width, generator=generator))
        for width in config.cross_attention_dims
    )
    prior = (
        torch.randn(count, config.latent_channels, 12, 8, generator=generator)
        if config.use_prior
        else None
    )
    return Conditioning(film, contexts, prior)


def relative_error(got, want):
    return float((got - want).abs().max() / want.abs().max())


def test_packing_is_available():
    assert cpu_packing.available()  # on x86 with the supported versions of torch


@pytest.mark.parametrize(
    "config", [CONTEXTS, FILM, ONE_D, TINY.unet], ids=["contexts", "film", "1d", "tiny"]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
def test_a_packed_unet_equals_the_plain_one(config, dtype, tolerance):
    unet, conditioning = randomized(UNet(config)), conditioning_for(config)
    z, t = (
        torch.randn(2, config.latent_channels, 12, 8, generator=torch.Generator().manual_seed(1)),
        torch.tensor([900, 40]),
    )
    want = unet(z, t, conditioning)
    pack(unet.to(dtype))
    assert unet.is_transposed == (config.merge_frequency_bins is None)
    pack(unet)  # once more changes nothing
    assert sum(isinstance(m, PackedConv | PackedLinear | PackedGEGLU) for m in unet.modules()) > 20
    for rows in (slice(0, 2), slice(0, 1)):  # another batch than weights were laid out for
        got = unet(z[rows], t[rows], conditioning.map(lambda x, rows=rows: x[rows]))
        assert got.dtype == dtype and relative_error(got.float(), want[rows]) < tolerance


def test_a_packed_vae_and_vocoder_equal_the_plain_ones():
    vae = randomized(
        VAE(
            VAEConfig(channels=16, channel_mult=(1, 2), latent_channels=4, num_groups=8), std=(0.5,)
        )
    )
    vocoder = randomized(HiFiGAN(VocoderConfig(channels=256, upsample_rates=(5, 4, 2, 2, 2))))
    latent = Latent(torch.randn(2, 4, 8, 32, generator=torch.Generator().manual_seed(1)))
    mel = vae.decode(latent)
    raw, wave = vae.encode(mel).mean, vocoder(mel)
    pack(vae)
    pack(vocoder)
    assert (
        relative_error(vae.decode(latent), mel) < 1e-5
        and relative_error(vae.encode(mel).mean, raw) < 1e-5
    )
    assert relative_error(vocoder(mel), wave) < 1e-5
    packed_wave = vocoder(mel[:1, :, :9])
    assert packed_wave.shape[-1] == vocoder(mel[:1, :, :8]).shape[-1] + 160


def test_an_asymmetric_convolution_is_not_transposed():
    unet = UNet(CONTEXTS)
    unet.conv_in.padding = (1, 0)
    with pytest.raises(AssertionError, match="treats time and frequency differently"):
        pack(unet)


def test_grouped_and_unlisted_layers_stay_as_they_are():
    network = nn.Sequential(nn.Conv1d(8, 8, 3, groups=8), nn.Linear(8, 8))
    pack(network)
    assert type(network[0]) is nn.Conv1d and type(network[1]) is nn.Linear


@pytest.mark.parametrize(
    "config", [CONTEXTS, FILM, ONE_D, TINY.unet], ids=["contexts", "film", "1d", "tiny"]
)
def test_one_latent_with_two_conditionings_equals_that_latent_twice(config):
    unet, both = (
        randomized(UNet(config)),
        cat_conditionings(conditioning_for(config), conditioning_for(config, seed=3)),
    )
    z, t = (
        torch.randn(2, config.latent_channels, 12, 8, generator=torch.Generator().manual_seed(1)),
        torch.tensor([900, 40]),
    )
    torch.testing.assert_close(
        unet(z, t, both), unet(torch.cat([z, z]), torch.cat([t, t]), both), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    "config", [CONTEXTS, FILM, ONE_D, TINY.unet], ids=["contexts", "film", "1d", "tiny"]
)
def test_deep_features_are_cached_for_as_many_steps_as_the_interval(config):
    unet, conditioning = randomized(UNet(config)), conditioning_for(config, 1)
    z = torch.randn(4, 1, config.latent_channels, 12, 8, generator=torch.Generator().manual_seed(1))
    times = [torch.tensor([t]) for t in (900, 700, 500, 300)]
    fresh = [unet(one, t, conditioning) for one, t in zip(z, times, strict=True)]
    for interval, same in ((1, {0, 1, 2, 3}), (2, {0, 2}), (3, {0, 3})):
        cache = DeepCache(interval)
        outputs = [unet(one, t, conditioning, cache) for one, t in zip(z, times, strict=True)]
        assert {k for k in range(4) if torch.allclose(outputs[k], fresh[k], atol=1e-5)} == same
    cache = DeepCache(2)
    unet(z[0], times[0], conditioning, cache)
    torch.testing.assert_close(
        unet(z[0], times[0], conditioning, cache), fresh[0], atol=1e-5, rtol=1e-5
    )


def test_cached_features_follow_a_shrinking_batch_and_are_recomputed_when_it_grows():
    unet, null, conditioning = (
        randomized(UNet(CONTEXTS)),
        conditioning_for(CONTEXTS, 1),
        conditioning_for(CONTEXTS, 1, seed=3),
    )
    z, t, cache = (
        torch.randn(1, 4, 12, 8, generator=torch.Generator().manual_seed(1)),
        torch.tensor([400]),
        DeepCache(4),
    )
    both = unet(z, t, cat_conditionings(null, conditioning), cache)
    torch.testing.assert_close(unet(z, t, conditioning, cache), both[1:], atol=1e-5, rtol=1e-5)
    other = deepcopy(cache)
    other.cached = cache.cached[:1]
    torch.testing.assert_close(
        unet(z, t, cat_conditionings(null, conditioning), other), both, atol=1e-5, rtol=1e-5
    )


def test_a_vocoder_in_bf16_stays_thirty_decibels_above_its_rounding():
    vocoder = randomized(HiFiGAN(VocoderConfig(channels=256, upsample_rates=(5, 4, 2, 2, 2))))
    mel = torch.randn(1, 1, 40, 64, generator=torch.Generator().manual_seed(1))
    want = vocoder(mel)
    coarse = vocoder.bfloat16()
    pack(coarse)
    assert want.std() > 0.05 and want.var() > 1000 * (coarse(mel) - want).var()
