"""Every stage trains in a few steps, and the model in its run folder loads and generates."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file

import latentaudio
from latentaudio.errors import ConfigError
from latentaudio.loaders.model_folder import load_component, write_config
from latentaudio.train.loop import train

COMPONENT_OF = {
    "diffusion": "unet",
    "joint": "translator",
    "distillation": "distilled_unet",
}
"""Components of stages that have another name."""


@pytest.mark.parametrize(
    ("stage", "options", "logged"),
    [
        (
            "vocoder",
            {"crop_frames": 20, "weights": {"adv_gen": 1.0}, "disc_channels": 2},
            {"vocoder/feature_matching", "vocoder/adv_gen", "disc/hinge", "disc/grad_norm"},
        ),
        (
            "vocoder",
            {"crop_frames": 32, "vae_resynthesis_prob": 0.5, "weights": {"pitch": 3.0}},
            {"vocoder/pitch", "vocoder/mel"},
        ),
        (
            "vocoder",
            {"crop_frames": 32, "weights": {"energy": 1.0}},
            {"vocoder/mel", "vocoder/magnitude", "vocoder/energy_repulsion"},
        ),
        (
            "vae",
            {
                "crop_frames": 32,
                "weights": {"adv_gen": 0.1},
                "disc_channels": 4,
                "latent_stats_crops": 4,
            },
            {"vae/kl", "vae/adv_gen", "disc/hinge"},
        ),
        (
            "vae",
            {"crop_frames": 32, "freeze_encoder": True, "weights": {"energy": 1.0}},
            {"vae/energy_attraction", "vae/energy_repulsion"},
        ),
        ("audiomae", {"crop_frames": 128}, {"audiomae/mse"}),
        ("clap", {}, {"clap/audio_to_text", "clap/text_to_audio"}),
        ("translator", {"frames_per_batch": 512}, {"translator/l1", "translator/free_running"}),
        ("latent_prior", {"frames_per_batch": 512, "dropout": 0.1}, {"latent_prior/mse"}),
        ("latent_prior", {"frames_per_batch": 1024, "concat_fraction": 0.5}, {"latent_prior/mse"}),
        ("diffusion", {"frames_per_batch": 512}, {"unet/mse"}),
        ("diffusion", {"frames_per_batch": 512, "true_loa_prob": 0.25}, {"unet/mse"}),
        ("joint", {"frames_per_batch": 512}, {"unet/mse", "translator/l1"}),
        (
            "distillation",
            {"frames_per_batch": 512, "timesteps": [999, 499], "teacher_substeps": 2},
            {"unet/mse"},
        ),
    ],
)
def test_a_stage_trains_its_component_and_leaves_a_model_that_generates(
    stage, options, logged, run_stage, tiny_folder
):
    run_folder, log = run_stage(stage, tiny_folder, options=options)
    assert logged <= log[-1].keys()
    assert all(np.isfinite(value) for value in log[-1].values())
    component = COMPONENT_OF.get(stage, stage)
    start = "unet" if stage == "distillation" else component
    before = load_component(tiny_folder, start, TINY).state_dict()
    after = load_component(run_folder / "model", component, TINY).state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    model = latentaudio.load(run_folder, precision="fp32")
    [clip] = model.generate("a dog barking", duration=0.6, steps=2, seed=1)
    assert clip.samples.shape == (1, 9600)


@pytest.mark.parametrize(
    ("stage", "options", "precision"),
    [
        (
            "vae",
            {
                "crop_frames": 32,
                "weights": {"adv_gen": 0.1},
                "disc_channels": 4,
                "latent_stats_crops": 4,
            },
            "bf16",
        ),
        (
            "vocoder",
            {"crop_frames": 20, "weights": {"adv_gen": 1.0}, "disc_channels": 2},
            "fp32",
        ),
        (
            "latent_prior",
            {"frames_per_batch": 1024, "concat_fraction": 0.5, "dropout": 0.1},
            "fp32",
        ),
        ("diffusion", {"frames_per_batch": 512, "true_loa_prob": 0.25}, "bf16"),
        ("joint", {"frames_per_batch": 512}, "fp32"),
        ("distillation", {"frames_per_batch": 512, "teacher_substeps": 2}, "fp32"),
    ],
)
def test_a_resumed_run_of_any_stage_is_bit_identical(
    stage, options, precision, data, tmp_path, tiny_folder, stage_recipe, copy_encoded_data
):
    recipe = stage_recipe(
        stage,
        4,
        options=options,
        precision=precision,
        save_every=2,
        gradient_accumulation_steps=2,
    )
    uninterrupted = tmp_path / "runs" / "uninterrupted"
    resumed = tmp_path / "runs" / "resumed"
    copy_encoded_data(resumed.parent)
    train(recipe, (data,), uninterrupted, (tiny_folder,))
    assert train(recipe, (data,), resumed, (tiny_folder,), max_minutes=1e-6) == 1
    assert train(recipe, (data,), resumed) == 4
    for path in uninterrupted.glob("model/*.safetensors"):
        expected = load_file(path)
        actual = load_file(resumed / "model" / path.name)
        assert all(torch.equal(expected[key], actual[key]) for key in expected), path.name


def test_an_audiomae_without_a_decoder_cannot_be_trained(run_stage, tmp_path, tiny_folder):
    slim = replace(TINY, audiomae=replace(TINY.audiomae, decoder_num_layers=0))
    folder = shutil.copytree(tiny_folder, tmp_path / "slim")
    write_config(folder, slim, "mini")
    with pytest.raises(ConfigError, match="has no decoder"):
        run_stage("audiomae", folder, options={"crop_frames": 128})


def test_the_error_for_an_unknown_option_names_stage_and_key(run_stage, tiny_folder):
    with pytest.raises(ConfigError, match=r"stage vae: options\.weights\.speed"):
        run_stage("vae", tiny_folder, options={"weights": {"speed": 1.0}})
