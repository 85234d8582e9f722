"""A rendered corpus, tiny models in the registry, and functions that run a stage on them."""

import shutil
from dataclasses import replace

import pytest
from conftest import TINY, TINY_FILM
from run_logs import read_log

from latentaudio.config import registry
from latentaudio.train.loop import train
from latentaudio.train.pre_encode import FOLDER_NAME, pre_encode
from latentaudio.train.recipe import Recipe
from latentaudio.train.stages.base import build_stage
from procedural_audio.corpus import render_corpus

CLASSES = ("dog", "bell", "rain")


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """24 s of clips of two lengths."""
    folder = tmp_path_factory.mktemp("corpus") / "data"
    render_corpus(
        folder,
        hours=24 / 3600,
        seed=3,
        classes=CLASSES,
        durations=(1.28, 2.56),
        duration_weights=(1, 1),
        num_workers=1,
    )
    return folder


@pytest.fixture(scope="session")
def encoded_data(data, tiny_folder, tmp_path_factory):
    """What pre-encoding with the tiny model leaves in a folder of runs."""
    runs = tmp_path_factory.mktemp("encoded") / "runs"
    (runs / "any").mkdir(parents=True)
    (runs / "any" / "model").symlink_to(tiny_folder)
    pre_encode((data,), runs / "any" / "model", TINY)
    return runs / FOLDER_NAME


@pytest.fixture
def copy_encoded_data(encoded_data):
    """Return a function that puts the pre-encoded data into a folder of runs without any.

    A stage whose model has the same encoders finds it; others encode their own.
    """

    def copy(runs):
        if not (runs / FOLDER_NAME).exists():
            shutil.copytree(encoded_data, runs / FOLDER_NAME)

    return copy


@pytest.fixture(autouse=True)
def tiny_models(monkeypatch):
    """Give the models of the registry the architectures of the tiny ones."""
    for name, config in (("mini", TINY), ("mini-film", TINY_FILM)):
        monkeypatch.setitem(registry.MODELS, name, replace(registry.MODELS[name], config=config))


@pytest.fixture
def stage_recipe():
    """Return a function that builds a recipe of a few fast steps."""

    def build(stage: str, steps: int = 2, **changes) -> Recipe:
        settings = {
            "batch_size": 4,
            "precision": "fp32",
            "log_every": 1,
            "device": "cpu",
            "optim": {"lr": 3e-3, "warmup_steps": 1},
        }
        return Recipe(stage=stage, steps=steps, **(settings | changes))

    return build


@pytest.fixture
def run_stage(data, tmp_path, stage_recipe, copy_encoded_data):
    """Return a function that trains a stage and returns its run folder and log."""

    def run(stage: str, init_from, folder=tmp_path, **changes):
        run_folder = folder / "runs" / stage
        copy_encoded_data(run_folder.parent)
        train(stage_recipe(stage, **changes), (data,), run_folder, (init_from,))
        return run_folder, read_log(run_folder)

    return run


@pytest.fixture
def tiny_stage(data, stage_recipe, copy_encoded_data):
    """Return a function that builds a stage on a model folder without a run."""

    def build(stage: str, options: dict, model_folder, on_prepare=None, config=TINY):
        recipe = stage_recipe(stage, options=options)
        copy_encoded_data(model_folder.parent.parent)
        return build_stage(recipe, config, (data,), model_folder, on_prepare)

    return build
