"""`latentaudio dataset encode`: a training beside it finds the encoded data and starts at once."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from conftest import TINY

from latentaudio.cli.main import main
from latentaudio.config import registry
from latentaudio.train.pre_encode import pre_encode
from latentaudio.train.pre_encoder import PreEncoder
from latentaudio.train.recipe import Recipe
from latentaudio.train.run_folder import prepare_run_folder


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("dog", "bell"):
        seed = len(name)
        noise = np.random.default_rng(seed).normal(scale=0.1, size=8000)
        soundfile.write(folder / f"{name}.wav", noise, 16000)
        (folder / f"{name}.txt").write_text(f"a {name}")
    return folder


def test_a_training_beside_it_encodes_nothing(data, tmp_path, tiny_folder, monkeypatch, capsys):
    row = registry.MODELS["mini"]
    monkeypatch.setitem(registry.MODELS, "mini", replace(row, config=TINY))
    runs = tmp_path / "runs"
    command = ["dataset", "encode", str(data), "-o", str(runs), "--init-from", str(tiny_folder)]
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["rows"], result["captions"]) == (2, 1)

    def encode_nothing(*arguments):
        raise AssertionError("encoded again")

    monkeypatch.setattr(PreEncoder, "encode_rows", encode_nothing)
    recipe = Recipe(stage="latent_prior", steps=1)
    config = prepare_run_folder(recipe, (data,), runs / "run", (tiny_folder,))
    assert str(pre_encode((data,), runs / "run" / "model", config)) == result["folder"]
    assert [path.name for path in runs.iterdir() if path.name.startswith(".encode")] == []


def test_an_unknown_model_is_an_error(data, tmp_path, capsys):
    assert main(["dataset", "encode", str(data), "-o", str(tmp_path / "r"), "--model", "x"]) == 2
    assert "no model is called 'x'" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
