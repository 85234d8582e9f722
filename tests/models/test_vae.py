"""The mel VAE against diffusers' AutoencoderKL, torch.distributions and published sizes."""

import pytest
import torch
from diffusers import AutoencoderKL
from torch.distributions import Normal, kl_divergence

from latentaudio.config.architecture import VAEConfig
from latentaudio.models.vae import VAE, Posterior

TINY = VAEConfig(
    channels=16, channel_mult=(1, 2, 3), latent_channels=4, num_res_blocks=2, num_groups=8
)
FROM_DIFFUSERS = [
    ("down_blocks", "down"),
    ("up_blocks", "up"),
    ("downsamplers.0", "step"),
    ("upsamplers.0", "step"),
    ("mid_block.resnets.0", "middle.0"),
    ("mid_block.resnets.1", "middle.2"),
    ("mid_block.attentions.0.group_norm", "middle.1.norm"),
    ("mid_block.attentions.0", "middle.1.attention"),
    ("to_out.0", "to_out"),
    ("resnets", "blocks"),
    ("conv_shortcut", "shortcut"),
    ("conv_norm_out", "norm_out"),
]


def renamed(name):
    for old, new in FROM_DIFFUSERS:
        name = name.replace(old, new)
    return name


@pytest.fixture(scope="module")
def pair():
    """Our tiny VAE and diffusers' with the same weights."""
    torch.manual_seed(0)
    kinds = {
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
    }
    theirs = AutoencoderKL(
        1,
        1,
        block_out_channels=(16, 32, 48),
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=8,
        **kinds,
    )
    ours = VAE(TINY)
    ours.load_state_dict({renamed(name): tensor for name, tensor in theirs.state_dict().items()})
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize(
    ("mult", "latent", "count", "tensors"),
    [((1, 2, 4), 8, 55_376_873, 204), ((1, 2, 4, 8), 16, 223_535_569, None)],
)
def test_published_parameter_counts(mult, latent, count, tensors):
    with torch.device("meta"):
        vae = VAE(VAEConfig(channel_mult=mult, latent_channels=latent), std=(0.5,))
    assert sum(p.numel() for p in vae.parameters()) == count
    assert tensors is None or len(vae.state_dict()) == tensors
    assert (
        vae.latent_std.flatten().tolist() == [0.5] * latent
    )  # real numbers although the weights are meta


@torch.no_grad()
def test_encode_and_decode_agree_with_diffusers(pair):
    ours, theirs = pair
    mel = torch.randn(2, 1, 24, 16)
    want, got = theirs.encode(mel).latent_dist, ours.encode(mel)
    torch.testing.assert_close(got.mean, want.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got.logvar, want.logvar, rtol=1e-5, atol=1e-5)
    z = torch.randn(2, 4, 6, 4)
    torch.testing.assert_close(
        ours.decode(ours.normalize(z)), theirs.decode(z).sample, rtol=1e-5, atol=1e-5
    )


def test_posterior_equals_torchs_normal_distribution():
    mean, logvar = torch.randn(3, 2, 4, 2), torch.randn(3, 2, 4, 2)
    posterior, reference = Posterior(mean, logvar), Normal(mean, (0.5 * logvar).exp())
    divergence = kl_divergence(reference, Normal(torch.zeros(()), torch.ones(())))
    torch.testing.assert_close(posterior.kl(), divergence.sum(dim=(1, 2, 3)))
    torch.testing.assert_close(posterior.mode(), reference.mean)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(3))
    sample = posterior.sample(torch.Generator().manual_seed(3))
    torch.testing.assert_close(sample, reference.loc + reference.scale * noise)


@torch.no_grad()
def test_logvar_is_clamped():
    vae = VAE(TINY)
    vae.quant_conv.weight.zero_()
    vae.quant_conv.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, -99.0, 99.0, 1.0, -1.0]))
    assert vae.encode(torch.zeros(1, 1, 4, 4)).logvar.flatten().tolist() == [-30.0, 20.0, 1.0, -1.0]


@torch.no_grad()
def test_normalize_scales_to_unit_variance_and_decode_undoes_it(pair):
    mean, std = (0.5, -1.0, 2.0, 0.0), (0.3, 2.0, 1.0, 4.0)
    vae = VAE(TINY, mean, std)
    vae.load_state_dict(pair[0].state_dict())
    raw = torch.randn(8, 4, 16, 16) * torch.tensor(std).view(4, 1, 1) + torch.tensor(mean).view(
        4, 1, 1
    )
    latent = vae.normalize(raw)
    torch.testing.assert_close(latent.z.mean(dim=(0, 2, 3)), torch.zeros(4), atol=0.1, rtol=0)
    torch.testing.assert_close(latent.z.std(dim=(0, 2, 3)), torch.ones(4), atol=0.1, rtol=0)
    torch.testing.assert_close(vae.decode(latent), pair[1].decode(raw).sample, rtol=1e-4, atol=1e-4)


def test_a_reconstructed_sample_trains_every_parameter(pair):
    ours, theirs = pair
    mel = torch.randn(2, 1, 16, 16)
    posterior = ours.encode(mel)
    reconstruction = ours.decode(ours.normalize(posterior.sample(torch.Generator().manual_seed(1))))
    want = theirs.decode(
        theirs.encode(mel).latent_dist.sample(torch.Generator().manual_seed(1))
    ).sample
    torch.testing.assert_close(reconstruction, want, rtol=1e-5, atol=1e-5)
    ours.zero_grad()
    ((reconstruction - mel).square().mean() + 1e-3 * posterior.kl().mean()).backward()
    # A key bias shifts all scores of a query alike, which softmax cannot see: its gradient is zero
    # by construction.
    silent = {
        name for name, p in ours.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-8
    }
    assert all(name.endswith("to_k.bias") for name in silent)


@torch.no_grad()
def test_batch_item_equals_itself_alone(pair):
    mel = torch.randn(3, 1, 16, 16)
    batched, alone = pair[0].encode(mel), pair[0].encode(mel[1:2])
    torch.testing.assert_close(batched.mean[1:2], alone.mean, rtol=1e-5, atol=1e-5)
    raw = batched.mean
    decode = pair[0].decode
    torch.testing.assert_close(
        decode(pair[0].normalize(raw))[1:2],
        decode(pair[0].normalize(raw[1:2])),
        rtol=1e-5,
        atol=1e-5,
    )
