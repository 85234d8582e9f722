"""`latentaudio train`: the flags reach the recipe and the loop."""

from pathlib import Path

import pytest

from latentaudio.cli.main import main
from latentaudio.train import loop

RECIPE = "stage: vae\nsteps: 40\nbatch: 2\n"


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "vae.yaml"
    path.write_text(RECIPE)
    return path


def test_flags_reach_the_loop(recipe, tmp_path, monkeypatch, capsys):
    seen = []

    def train(settings, data, run, init, minutes, report, prepared):
        prepared(3, 4)
        seen.append((settings, data, run, init, minutes))
        report(1, 40, {"vae/l1": 0.5}, 60.0)
        return 30

    monkeypatch.setattr(loop, "train", train)
    out = tmp_path / "run"
    flags = [
        "--data",
        "a",
        "b",
        "--out",
        str(out),
        "--init",
        "c",
        "d",
        "--set",
        "optim.lr=1e-4",
        "batch=8",
        "--minutes",
        "2.5",
    ]
    assert main(["train", str(recipe), *flags]) == 0
    [(settings, data, run, init, minutes)] = seen
    assert (settings.stage, settings.optim.lr, settings.batch) == ("vae", 1e-4, 8)
    assert (data, run, init, minutes) == ((Path("a"), Path("b")), out, (Path("c"), Path("d")), 2.5)
    assert capsys.readouterr().out == f"{out}  30 of 40 steps; the same command resumes it\n"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--set", "optim.speed=3"], "optim.speed"),
        (["--minutes", "nan"], "--minutes nan is no time"),
        (["--minutes", "0"], "--minutes 0 is no time"),
        (["--set", "lr"], "write it as key=value"),
        (["--data", "nowhere"], "has no metadata.jsonl"),
        (["--data", "nowhere", "--set", "stage=draft"], "has no metadata.jsonl"),
        (["--set", "optim.betas=[0.9"], "is not valid YAML"),
        (["--set", "options.frames=100"], "multiple of"),
        (["--set", "stage=audiomae", "options.frames=500"], "multiple of 16"),
        (["--set", "options.decoder_only=true"], "name a folder that has one with --init"),
    ],
)
def test_refusals(recipe, tmp_path, capsys, flags, line):
    assert (
        main(["train", str(recipe), "--out", str(tmp_path / "run"), "--set", "device=cpu", *flags])
        == 2
    )
    assert line in capsys.readouterr().err


def test_a_missing_recipe(tmp_path, capsys):
    assert main(["train", str(tmp_path / "no.yaml"), "--out", str(tmp_path / "run")]) == 2
    assert main(["train", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "there is no recipe" in capsys.readouterr().err
