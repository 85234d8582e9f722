"""`latentaudio cache`: shows and deletes converted weights and encoded prompts."""

import json
import shutil
import threading

import pytest

from latentaudio.cli.main import main
from latentaudio.fileio import CACHE_VARIABLE
from latentaudio.loaders import prepared

pytestmark = [pytest.mark.cli, pytest.mark.filterwarnings("default::UserWarning")]


@pytest.fixture
def model(tiny_folder, tmp_path, monkeypatch):
    """A model of which weights in bf16 and two prompts are kept."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(prepared, "MIN_BYTES", 0)
    monkeypatch.setattr(prepared, "SETTLE_S", 0.0)
    monkeypatch.setattr(prepared, "_ANNOUNCED", set())
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    words = ["generate", "a dog", "--model", str(folder), "--duration", "0.5", "--steps", "1"]
    words += ["--device", "cpu", "--precision", "bf16", "-o", str(tmp_path / "x.wav")]
    assert main(words) == 0
    for thread in threading.enumerate():
        if thread.name == "prepared weights":  # a command waits for it when it ends
            thread.join()
    return folder


def record(capsys, *words):
    capsys.readouterr()
    assert main(["cache", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_weights_of_a_model_are_shown_and_deleted(model, capsys):
    files = prepared.prepared_files(model)
    shown = record(capsys, str(model))["weights"]
    assert shown["files"] == len(files) == 3
    assert shown["bytes"] == sum(file.stat().st_size for file in files)
    assert shown["folder"] == str(model / prepared.FOLDER)
    (model / prepared.FOLDER / "mine.txt").write_text("not ours")
    assert record(capsys, str(model), "--delete")["is_deleted"]
    assert [file.name for file in (model / prepared.FOLDER).iterdir()] == ["mine.txt"]
    assert record(capsys, str(model))["weights"]["files"] == 0


def test_prompts_are_shown_and_deleted(model, capsys, tmp_path):
    shown = record(capsys)
    assert shown["prompts"]["files"] == 2 and shown["weights"]["files"] == 0
    assert main(["cache", "--delete"]) == 0
    assert "deleted 2 files" in capsys.readouterr().out
    assert record(capsys)["prompts"]["files"] == 0
    assert prepared.prepared_files(model) != []  # beside the model, which was not named


def test_a_model_is_found_without_a_download(capsys):
    assert record(capsys, "mini")["weights"]["files"] == 0
    for name in ("audioldm2-full", "nobody/nothing", "no-such-model"):
        assert main(["cache", name]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1


def test_the_doctor_tells_the_size(model, capsys, tmp_path):
    capsys.readouterr()
    assert main(["doctor", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["cache_folder"]
    assert shown.startswith(str(tmp_path / "cache")) and shown.endswith("MB)")
