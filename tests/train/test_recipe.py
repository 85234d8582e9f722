"""Recipes: bases, overrides, and errors that name the key."""

from pathlib import Path
from typing import get_args

import pytest

from latentaudio.config.registry import get_model_spec
from latentaudio.errors import ConfigError
from latentaudio.train.optim import learning_rate
from latentaudio.train.recipe import OptimizerOptions, StageName, read_recipe
from latentaudio.train.stages.base import STAGES, Stage, stage_class

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))


@pytest.fixture
def recipe(tmp_path):
    base = "stage: vae\nsteps: 10\noptim: {lr: 1.0e-3, warmup_steps: 5}\n"
    (tmp_path / "base.yaml").write_text(base)
    path = tmp_path / "changes.yaml"
    path.write_text("base: base.yaml\nbatch_size: 4\noptim: {warmup_steps: 7}\n")
    return path


def test_a_recipe_changes_its_base_key_by_key(recipe):
    settings = read_recipe(recipe)
    assert settings.steps == 10
    assert settings.batch_size == 4
    assert settings.optim.lr == 1e-3
    assert settings.optim.warmup_steps == 7


def test_overrides_come_last_and_may_have_numbers_without_a_point(recipe):
    overrides = ("optim.lr=3e-4", "options.crop_frames=64", "precision=fp32")
    settings = read_recipe(recipe, overrides)
    assert settings.optim.lr == 3e-4
    assert settings.options == {"crop_frames": 64}
    assert settings.precision == "fp32"


def test_an_override_may_set_one_loss_weight_of_several(tmp_path):
    path = tmp_path / "vae.yaml"
    path.write_text("stage: vae\nsteps: 1\noptions: {weights: {kl: 0.5, adv_gen: 0.1}}\n")
    settings = read_recipe(path, ("options.weights.kl=1e-2",))
    assert settings.options == {"weights": {"kl": 0.01, "adv_gen": 0.1}}


@pytest.mark.parametrize("override", ["optim.speed=1", "setps=3", "steps=-1", "steps"])
def test_an_override_that_is_not_allowed_is_an_error_with_its_key(recipe, override):
    with pytest.raises(ConfigError, match=override.partition("=")[0].split(".")[-1]):
        read_recipe(recipe, (override,))


def test_a_recipe_that_is_its_own_base_is_an_error(tmp_path):
    path = tmp_path / "loop.yaml"
    path.write_text("base: loop.yaml\nstage: vae\nsteps: 1\n")
    with pytest.raises(ConfigError, match="back to itself"):
        read_recipe(path)


def test_the_error_for_a_missing_recipe_names_the_folder_of_the_project_recipes(tmp_path):
    with pytest.raises(ConfigError, match="recipes/"):
        read_recipe(tmp_path / "none.yaml")


def test_the_learning_rate_rises_linearly_and_falls_on_a_cosine():
    options = OptimizerOptions(lr=1.0, warmup_steps=4, final_lr_frac=0.1)
    assert [learning_rate(step, 104, options) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert learning_rate(54, 104, options) == pytest.approx(0.55)
    assert learning_rate(104, 104, options) == pytest.approx(0.1)


def test_every_stage_name_has_a_class():
    assert set(STAGES) == set(get_args(StageName))
    assert all(issubclass(stage_class(name), Stage) for name in STAGES)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_of_the_project_are_valid(path):
    recipe = read_recipe(path)
    options = stage_class(recipe.stage).Options.model_validate(recipe.options)
    assert options.model_fields_set == set(recipe.options)
    assert get_model_spec(recipe.model).config


def test_the_error_for_invalid_yaml_names_the_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("stage: vae\nsteps: [1\n")
    with pytest.raises(ConfigError, match=r"not valid YAML \(line 3: "):
        read_recipe(path)
    path.write_text("base: 5\n")
    with pytest.raises(ConfigError, match="base must be the path of another recipe"):
        read_recipe(path)
