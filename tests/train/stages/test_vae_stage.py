"""The VAE stage: frozen encoders, the energy distance and the statistics of latents."""

import shutil

import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file, save_file

from latentaudio.errors import ConfigError
from latentaudio.loaders.model_folder import load_component, read_config
from latentaudio.train.loop import train
from latentaudio.train.stages.vae import patch_energy_distance, renoise_inactive_channels

NUM_CHANNELS = TINY.vae.latent_channels
ENERGY = {"crop_frames": 32, "freeze_encoder": True, "weights": {"energy": 1.0}}


def test_a_frozen_encoder_and_its_statistics_stay(run_stage, tiny_folder):
    options = {"crop_frames": 32, "freeze_encoder": True}
    run_folder, _ = run_stage("vae", tiny_folder, options=options)
    model_folder = run_folder / "model"
    before = load_component(tiny_folder, "vae", TINY).state_dict()
    after = load_component(model_folder, "vae", TINY).state_dict()
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"decoder", "post_quant_conv"}
    assert read_config(tiny_folder)[1].latent_std == read_config(model_folder)[1].latent_std


def test_the_energy_distance_is_least_for_textures_as_rough_as_the_true_ones():
    generator = torch.Generator().manual_seed(0)
    target, first, second = torch.randn(3, 8, 1, 64, 64, generator=generator)

    def loss(roughness: float, energy: float) -> float:
        attraction = patch_energy_distance(roughness * first, target)
        repulsion = patch_energy_distance(roughness * first, roughness * second)
        return float(attraction - energy / 2 * repulsion)

    roughnesses = (0.0, 0.5, 0.8, 1.0, 1.25, 2.0)
    assert min(roughnesses, key=lambda r: loss(r, 1.0)) == 1.0
    # Without repulsion the flat median is best.
    assert min(roughnesses, key=lambda r: loss(r, 0.0)) == 0.0


def test_fresh_noise_replaces_inactive_channels_only():
    z = torch.randn(4, 3, 8, 8)
    inactive = torch.tensor([False, True, True])[None, :, None, None]
    both = renoise_inactive_channels(z, inactive, torch.Generator().manual_seed(0))
    first, second = both.chunk(2)
    assert torch.equal(first[:, 0], z[:, 0]) and torch.equal(second[:, 0], z[:, 0])
    for noise in (first[:, 1:], second[:, 1:], (first - second)[:, 1:] / 2**0.5):
        assert float(noise.std()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("freeze_encoder", [False, True])
def test_the_energy_distance_needs_whole_patches(freeze_encoder, data, tmp_path, stage_recipe):
    options = {"crop_frames": 40, "freeze_encoder": freeze_encoder, "weights": {"energy": 1.0}}
    recipe = stage_recipe("vae", options=options)
    with pytest.raises(ConfigError, match="multiple of 16"):
        train(recipe, (data,), tmp_path / "run")


def test_the_energy_distance_of_a_trained_encoder_compares_two_draws_of_the_posterior(
    tiny_stage, tiny_folder
):
    stage = tiny_stage("vae", {"crop_frames": 32, "weights": {"energy": 1.0}}, tiny_folder)
    batch = stage.batch(0)
    losses = stage.losses(batch, "vae", torch.Generator().manual_seed(0))
    assert losses["vae/energy_repulsion"].item() > 1e-3
    losses["vae/energy_attraction"].backward()
    assert all(p.grad is not None for p in stage.vae.encoder.parameters())
    generator = torch.Generator().manual_seed(0)
    z = torch.cat([stage.vae.encode(batch).sample(generator) for _ in range(2)])
    expected = stage.vae.decoder(stage.vae.post_quant_conv(z))
    distance = patch_energy_distance(expected, torch.cat([batch, batch]))
    torch.testing.assert_close(losses["vae/energy_attraction"], distance)


def test_feature_matching_compares_the_discriminators_feature_maps(tiny_stage, tiny_folder):
    options = {"crop_frames": 32, "disc_channels": 4, "weights": {"feature_matching": 2.0}}
    stage = tiny_stage("vae", options, tiny_folder)
    assert set(stage.trainables) == {"vae", "disc"}
    assert stage.loss_weights["vae/feature_matching"] == 2.0
    batch = stage.batch(0)
    same = stage.generator_losses(batch, batch)
    assert same["vae/feature_matching"].item() == 0.0
    reconstruction = torch.zeros_like(batch).requires_grad_()
    stage.generator_losses(reconstruction, batch)["vae/feature_matching"].backward()
    assert float(reconstruction.grad.abs().max()) > 0


def test_without_feature_matching_the_adversarial_loss_is_alone(tiny_stage, tiny_folder):
    options = {"crop_frames": 32, "disc_channels": 4, "weights": {"adv_gen": 0.1}}
    stage = tiny_stage("vae", options, tiny_folder)
    losses = stage.losses(stage.batch(0), "vae", torch.Generator().manual_seed(0))
    assert set(losses) == {"vae/kl", "vae/l1", "vae/adv_gen"}


def test_the_energy_distance_needs_inactive_channels(run_stage, tiny_stage, tmp_path, tiny_folder):
    model_folder = shutil.copytree(tiny_folder, tmp_path / "all_active")
    path = model_folder / "vae.safetensors"
    state = load_file(path)
    state["quant_conv.bias"][:NUM_CHANNELS] += 1.0
    save_file(state, path)
    with pytest.raises(ConfigError, match="needs inactive latent channels"):
        run_stage("vae", model_folder, options=ENERGY)
    state["quant_conv.weight"].zero_()
    state["quant_conv.bias"].zero_()[0] += 1.0
    save_file(state, path)
    stage = tiny_stage("vae", ENERGY, model_folder)
    assert stage.inactive_channels.flatten().tolist() == [False] + [True] * (NUM_CHANNELS - 1)
    losses = stage.losses(stage.batch(0), "vae", torch.Generator().manual_seed(0))
    assert losses["vae/energy_repulsion"].item() > 1e-3


def test_latents_get_a_mean_per_channel_and_one_deviation(run_stage, tiny_stage, tiny_folder):
    options = {"crop_frames": 32, "latent_stats_crops": 64}
    run_folder, _ = run_stage("vae", tiny_folder, options=options)
    model_folder = run_folder / "model"
    config = read_config(model_folder)[1]
    assert len(config.latent_mean) == NUM_CHANNELS
    assert len(config.latent_std) == 1
    stage = tiny_stage("vae", options, model_folder, config=config)
    vae = load_component(model_folder, "vae", config)
    with torch.no_grad():
        latents = [vae.normalize(vae.encode(stage.batch(i)).mode()).z for i in range(16)]
    z = torch.cat(latents)
    zeros = torch.zeros(NUM_CHANNELS)
    torch.testing.assert_close(z.mean(dim=(0, 2, 3)), zeros, atol=1e-3, rtol=0)
    assert float(z.square().mean()) == pytest.approx(1.0, abs=1e-2)
