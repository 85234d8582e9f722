"""Folders of runs side by side: equal components are stored once."""

from dataclasses import replace

import pytest
from conftest import TINY

from latentaudio.config import registry
from latentaudio.errors import ConfigError
from latentaudio.loaders.model_folder import load_component, save_component
from latentaudio.train.loop import train
from latentaudio.train.recipe import Recipe
from latentaudio.train.run_folder import prepare_run_folder


@pytest.fixture(autouse=True)
def tiny_mini(monkeypatch):
    spec = replace(registry.MODELS["mini"], config=TINY)
    monkeypatch.setitem(registry.MODELS, "mini", spec)


def test_runs_from_one_model_share_its_components(tiny_folder, tmp_path):
    recipe = Recipe(stage="translator", steps=1)
    first, second = tmp_path / "first", tmp_path / "second"
    for run in (first, second):
        prepare_run_folder(recipe, (), run, (tiny_folder,))
    files = list((first / "model").glob("*.safetensors"))
    assert len(files) > 5
    for file in files:
        assert file.samefile(second / "model" / file.name)
        assert not file.samefile(tiny_folder / file.name)  # the model itself stays apart
    # a component that is trained in one run is replaced as a whole, and the other's stays
    before = (second / "model" / "vae.safetensors").read_bytes()
    state = load_component(first / "model", "vae", TINY).state_dict()
    save_component(first / "model", "vae", {name: value + 1 for name, value in state.items()})
    assert (second / "model" / "vae.safetensors").read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


def test_a_rate_over_minutes_needs_a_time_limit(tiny_folder, tmp_path):
    recipe = Recipe(stage="translator", steps=1, optim={"anneal_over": "minutes"})
    with pytest.raises(ConfigError, match="needs a time limit; add --max-minutes"):
        train(recipe, (), tmp_path / "run", (tiny_folder,))
    assert not (tmp_path / "run").exists()
