"""Recipes of the published systems: every one is valid, runs in small, and has an estimate."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import available_memory_gb

from latentaudio.config.architecture import PhonemesConfig
from latentaudio.config.audiomae import training_config
from latentaudio.config.registry import MODELS, get_model_spec
from latentaudio.train.estimate import estimate_run
from latentaudio.train.optim import optimizer_step
from latentaudio.train.recipe import read_recipe
from latentaudio.train.skeleton import build_skeleton
from latentaudio.train.trainable import build_trainables

ROOT = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(path for path in ROOT.glob("audioldm*/*.yaml"))
NAMES = [f"{path.parent.name}/{path.stem}" for path in RECIPES]
SMALL_BATCH = {
    "vae": "options.crop_frames=128",
    "vocoder": "options.crop_frames=20",
    "audiomae": "options.crop_frames=512",
    "clap": "steps=1",
}
WIDTHS = {512: 8, 768: 16, 1024: 24, 192: 12}
"""Widths of published vectors and of those of the small models."""


def shrink(config):
    """A model of the same kind, with few channels."""
    unet = config.unet
    contexts = tuple(width and WIDTHS[width] for width in unet.contexts)
    small = replace(
        config,
        vae=replace(config.vae, channels=8, num_groups=4, num_res_blocks=1),
        unet=replace(
            unet,
            channels=8,
            num_groups=4,
            num_heads=(1, 1, 2, 2),
            contexts=contexts,
            num_res_blocks=1,
            film_dim=unet.film_dim and WIDTHS[unet.film_dim],
        ),
        vocoder=replace(config.vocoder, channels=32),
        clap=replace(
            config.clap,
            projection_dim=8,
            text_hidden_size=16,
            text_num_layers=1,
            text_num_heads=2,
            text_ffn_dim=32,
            audio_hidden_size=8,
            audio_depths=(1, 1, 1, 1),
            audio_num_heads=(1, 1, 2, 2),
        ),
    )
    if config.t5:
        t5 = replace(config.t5, hidden_size=24, head_dim=8, num_heads=2, num_layers=1, ffn_dim=32)
        small = replace(small, t5=t5)
    if config.phonemes:
        small = replace(small, phonemes=PhonemesConfig(hidden_size=12, num_layers=1, ffn_dim=16))
    if config.translator:
        sources = tuple(WIDTHS[width] for width in config.translator.source_dims)
        translator = replace(
            config.translator, hidden_size=16, num_layers=1, num_heads=2, source_dims=sources
        )
        audiomae = replace(
            config.audiomae,
            hidden_size=16,
            num_layers=1,
            num_heads=2,
            decoder_hidden_size=16,
            decoder_num_layers=1,
            decoder_num_heads=2,
        )
        small = replace(small, translator=translator, audiomae=audiomae)
    return small


def with_noise(batch):
    """A batch of noise instead of zeros; masks stay as they are."""
    if isinstance(batch, dict):
        return {k: v if k.endswith("mask") else with_noise(v) for k, v in batch.items()}
    return 0.1 * torch.randn(batch.shape) if isinstance(batch, torch.Tensor) else batch


def run_steps(stage, num_steps):
    """The logged losses of the last of a few steps."""
    trainables = build_trainables(stage, stage.recipe)
    stage.step = stage.recipe.steps
    logged = {}
    for step in range(num_steps):
        for name, trainable in trainables.items():
            for other in trainables.values():
                for parameter in other.parameters:
                    parameter.requires_grad_(other is trainable)
            batch = with_noise(stage.batch(step))
            losses = stage.losses(batch, name, torch.Generator().manual_seed(step))
            sum(stage.loss_weights.get(key, 1.0) * loss for key, loss in losses.items()).backward()
            norm = optimizer_step(trainable.optimizer, trainable.module, 1e-4, 1e9)
            logged |= {key: loss.item() for key, loss in losses.items()} | {name: float(norm)}
    return logged


def small_recipe(path):
    """The recipe with two clips or samples in a batch."""
    recipe = read_recipe(path)
    is_latent = recipe.stage not in SMALL_BATCH
    change = "options.frames_per_batch=2048" if is_latent else SMALL_BATCH[recipe.stage]
    overrides = [change, "precision=fp32"]
    if not is_latent:
        overrides.append("batch_size=2")
    return read_recipe(path, tuple(overrides))


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_a_recipe_trains_a_small_model_of_its_kind(path):
    recipe = small_recipe(path)
    config = training_config(get_model_spec(recipe.model).config)
    if recipe.stage == "vae":
        recipe = read_recipe(path, ("options.weights.lpips=0", "options.crop_frames=64",
                                    "batch_size=2", "options.disc_channels=4"))  # fmt: skip
    if recipe.stage == "vocoder":
        recipe = recipe.model_copy(update={"options": recipe.options | {"disc_channels": 4}})
    stage = build_skeleton(recipe, shrink(config), is_meta=False)
    logged = run_steps(stage, 1)
    assert all(torch.isfinite(torch.tensor(value)) for value in logged.values())
    assert all(logged[name] > 0 for name in stage.trainables)  # gradients arrive


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_a_recipe_is_short_and_says_where_its_numbers_are_from(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line for line in lines if line.startswith("#"))
    assert re.search(r"numerics:\s|arXiv \d{4}\.\d{5}|this project's", comment)
    assert 2 <= len([line for line in lines if not line.startswith("#")]) <= 20


def test_every_published_shape_has_recipes():
    trained = {(read_recipe(path).model, read_recipe(path).stage) for path in RECIPES}
    stages = {}
    for model, stage in trained:
        stages.setdefault(MODELS[model].config, set()).add(stage)
    shapes = {replace(config, latent_std=(1.0,)): found for config, found in stages.items()}
    for name, spec in MODELS.items():
        if spec.is_published:
            assert shapes[replace(spec.config, latent_std=(1.0,))] & {"diffusion", "joint"}, name


@pytest.mark.published
@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_a_recipe_runs_at_its_published_shape(path):
    recipe = small_recipe(path).model_copy(update={"ema_decay": 0.0})
    if recipe.stage not in SMALL_BATCH:
        one_clip = recipe.options | {"frames_per_batch": 1024}
        recipe = recipe.model_copy(update={"options": one_clip})
    config = training_config(get_model_spec(recipe.model).config)
    needed = estimate_run(recipe, machine="a100").peak_bytes / 1e9
    if needed > min(16.0, available_memory_gb()):
        pytest.skip(f"needs {needed:.1f} GB")
    logged = run_steps(build_skeleton(recipe, config, is_meta=False), 2)
    assert all(torch.isfinite(torch.tensor(value)) for value in logged.values())


@pytest.mark.published
@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_a_recipe_has_an_estimate_at_its_published_batch(path):
    estimate = estimate_run(read_recipe(path), machine="a100")
    assert estimate.num_trained > 0
    assert estimate.peak_bytes > 4 * (estimate.num_trained + estimate.num_frozen)
    recipe = read_recipe(path)
    frames = recipe.options.get("frames_per_batch", 1024 * recipe.batch_size)
    assert estimate.clips_per_step == frames // 1024
