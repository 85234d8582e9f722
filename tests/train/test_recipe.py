"""Recipes: bases, overrides, and errors that name the key."""

from importlib import import_module
from pathlib import Path

import pytest

from latentaudio.config.registry import variant
from latentaudio.errors import ConfigError
from latentaudio.train.optim import rate_at
from latentaudio.train.recipe import Optim, read_recipe
from latentaudio.train.stages.base import STAGES


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "base.yaml").write_text("stage: vae\nsteps: 10\noptim: {lr: 1.0e-3, warmup: 5}\n")
    path = tmp_path / "delta.yaml"
    path.write_text("base: base.yaml\nbatch: 4\noptim: {warmup: 7}\n")
    return path


def test_a_delta_goes_over_its_base_key_by_key(recipe):
    read = read_recipe(recipe)
    assert (read.steps, read.batch, read.optim.lr, read.optim.warmup) == (10, 4, 1e-3, 7)


def test_overrides_win_and_read_numbers_as_people_write_them(recipe):
    read = read_recipe(recipe, ("optim.lr=3e-4", "options.frames=64", "precision=fp32"))
    assert (read.optim.lr, read.options, read.precision) == (3e-4, {"frames": 64}, "fp32")


@pytest.mark.parametrize("override", ["optim.speed=1", "setps=3", "steps=-1", "steps"])
def test_what_makes_no_sense_is_refused_by_name(recipe, override):
    with pytest.raises(ConfigError, match=override.partition("=")[0].split(".")[-1]):
        read_recipe(recipe, (override,))


def test_a_recipe_that_is_its_own_base_is_refused(tmp_path):
    path = tmp_path / "loop.yaml"
    path.write_text("base: loop.yaml\nstage: vae\nsteps: 1\n")
    with pytest.raises(ConfigError, match="back to itself"):
        read_recipe(path)


def test_a_missing_recipe_says_where_the_packages_own_lie(tmp_path):
    with pytest.raises(ConfigError, match="recipes/"):
        read_recipe(tmp_path / "none.yaml")


def test_the_learning_rate_rises_linearly_and_falls_on_a_cosine():
    settings = Optim(lr=1.0, warmup=4, final=0.1)
    assert [rate_at(s, 104, settings) for s in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert rate_at(54, 104, settings) == pytest.approx(0.55)
    assert rate_at(104, 104, settings) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "path",
    sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml")),
    ids=lambda path: path.stem,
)
def test_the_recipes_that_ship_fit_their_stages(path):
    recipe = read_recipe(path)
    module, name = STAGES[recipe.stage].split(":")
    stage = getattr(import_module(f"latentaudio.train.stages.base.{module}"), name)
    assert stage.Options.model_validate(recipe.options).model_fields_set == set(recipe.options)
    assert variant(recipe.model).config


def test_a_broken_recipe_tells_its_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("stage: vae\nsteps: [1\n")
    with pytest.raises(ConfigError, match=r"not valid YAML \(line 3: "):
        read_recipe(path)
    path.write_text("base: 5\n")
    with pytest.raises(ConfigError, match="base is the name of a recipe"):
        read_recipe(path)
