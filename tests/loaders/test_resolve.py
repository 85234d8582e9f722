"""Names that users give to models, and the folders that they stand for."""

import shutil

import pytest

from latentaudio.config.registry import MODELS
from latentaudio.errors import UsageError, WeightsError
from latentaudio.loaders import resolve
from latentaudio.loaders.model_folder import read_config, write_config


def test_folders_run_folders_and_names_are_resolved(tiny_folder, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(tiny_folder, run / "model")
    monkeypatch.setattr(resolve, "ASSETS", tmp_path / "assets")
    shutil.copytree(tiny_folder, tmp_path / "assets" / "mini")
    for source, folder in [
        (tiny_folder, tiny_folder),
        (run, run / "model"),
        ("mini", tmp_path / "assets" / "mini"),
    ]:
        model = resolve.resolve_model(source)
        assert model.path == folder
        assert model.name == str(source)
        assert model.config == read_config(tiny_folder)[1]
        assert model.spec.name == "mini"
        assert model.spec.max_duration == 10.24
        assert model.spec.preset == "quality"
        assert model.card == {"made": "randomly"}


def test_bundled_bytes_is_the_size_of_the_installed_weights(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(resolve, "ASSETS", tmp_path)
    assert resolve.bundled_bytes(MODELS["mini"]) == 0
    shutil.copytree(tiny_folder, tmp_path / "mini")
    expected = sum(file.stat().st_size for file in tiny_folder.glob("*.safetensors"))
    assert resolve.bundled_bytes(MODELS["mini"]) == expected


def test_a_model_outside_the_table_gets_a_spec_from_its_card(tiny_folder, tmp_path):
    config = read_config(tiny_folder)[1]
    write_config(tmp_path, config, "frogs", {"license": "CC0-1.0"})
    spec = resolve.resolve_model(tmp_path).spec
    assert (spec.name, spec.license, spec.config) == ("frogs", "CC0-1.0", config)


def test_unknown_names_and_folders_are_refused_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(resolve, "ASSETS", tmp_path / "none")
    with pytest.raises(
        UsageError, match="'no-such' is not a model, a folder or a file; models are: mini"
    ):
        resolve.resolve_model("no-such")
    with pytest.raises(UsageError, match="did you mean audioldm2-full"):
        resolve.resolve_model("audioldm2-ful")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        WeightsError,
        match="there is no folder no/such, and as a hub id: no/such must be downloaded",
    ):
        resolve.resolve_model("no/such")
    monkeypatch.setenv("HF_ENDPOINT", "somewhere")
    with pytest.raises(UsageError, match="HF_ENDPOINT = 'somewhere' is not an address"):
        resolve.resolve_model("no/such")
    with pytest.raises(WeightsError, match=r"has neither model\.json nor model_index\.json"):
        resolve.resolve_model(tmp_path)
    with pytest.raises(
        WeightsError,
        match="this installation has no weights of 'mini'; install latentaudio again",
    ):
        resolve.resolve_model("mini")
    with pytest.raises(WeightsError, match="no weights of 'mini-film'; train it"):
        resolve.resolve_model("mini-film")
