"""What users call a model, and the folder that answers."""

import shutil

import pytest

from latentaudio.config.registry import VARIANTS
from latentaudio.errors import UsageError, WeightsError
from latentaudio.loaders import resolve
from latentaudio.loaders.model_folder import read_config, write_config


def test_a_folder_a_run_and_a_name(tiny_folder, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(tiny_folder, run / "model")
    monkeypatch.setattr(resolve, "ASSETS", tmp_path / "assets")
    shutil.copytree(tiny_folder, tmp_path / "assets" / "mini")
    for source, folder in [
        (tiny_folder, tiny_folder),
        (run, run / "model"),
        ("mini", tmp_path / "assets" / "mini"),
    ]:
        found = resolve.find(source)
        assert found.folder == folder
        assert found.source == str(source)
        assert found.config == read_config(tiny_folder)[1]
        assert (found.variant.name, found.variant.longest, found.variant.preset) == (
            "mini",
            10.24,
            "quality",
        )
        assert found.card == {"made": "by dice"}


def test_size_is_that_of_the_weights_here(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(resolve, "ASSETS", tmp_path)
    assert resolve.size(VARIANTS["mini"]) == 0
    shutil.copytree(tiny_folder, tmp_path / "mini")
    assert resolve.size(VARIANTS["mini"]) == sum(
        f.stat().st_size for f in tiny_folder.glob("*.safetensors")
    )


def test_a_model_outside_the_table_has_its_own_row(tiny_folder, tmp_path):
    config = read_config(tiny_folder)[1]
    write_config(tmp_path, config, "frogs", {"licence": "CC0-1.0"})
    row = resolve.find(tmp_path).variant
    assert (row.name, row.licence, row.config) == ("frogs", "CC0-1.0", config)


def test_refusals(tmp_path, monkeypatch):
    monkeypatch.setattr(resolve, "ASSETS", tmp_path / "none")
    with pytest.raises(
        UsageError,
        match="no model is called 'no-such' and no folder or file either; there are: mini",
    ):
        resolve.find("no-such")
    with pytest.raises(UsageError, match="did you mean audioldm2-full"):
        resolve.find("audioldm2-ful")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        WeightsError, match="there is no folder no/such here, and as a hub id: no/such is not in"
    ):
        resolve.find("no/such")
    monkeypatch.setenv("HF_ENDPOINT", "somewhere")
    with pytest.raises(UsageError, match="HF_ENDPOINT = 'somewhere' is no address"):
        resolve.find("no/such")
    with pytest.raises(WeightsError, match=r"holds neither model\.json nor model_index\.json"):
        resolve.find(tmp_path)
    with pytest.raises(
        WeightsError,
        match="weights of 'mini' do not come with this installation; install latentaudio again",
    ):
        resolve.find("mini")
    with pytest.raises(WeightsError, match=r"weights of 'mini-film' .* train it"):
        resolve.find("mini-film")
