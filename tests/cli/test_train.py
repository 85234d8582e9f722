"""`latentaudio train`: the flags reach the recipe and the loop."""

import pytest

from latentaudio.cli.main import main
from latentaudio.cli.train import progress_note
from latentaudio.data.clip import DataSource
from latentaudio.train import loop
from latentaudio.train.loop import CLIPS_PER_SECOND, DATA_PERCENT

RECIPE = "stage: vae\nsteps: 40\nbatch_size: 2\n"


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "vae.yaml"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize("output_flag", ["--output", "-o"])
def test_flags_reach_the_loop(recipe, tmp_path, monkeypatch, capsys, output_flag):
    calls = []

    def train(settings, data, run_folder, init_from, max_minutes, on_step, on_prepare):
        on_prepare(3, 4)
        calls.append((settings, data, run_folder, init_from, max_minutes))
        on_step(1, 40, {"vae/l1": 0.5}, 60.0)
        return 30

    monkeypatch.setattr(loop, "train", train)
    output = tmp_path / "run"
    flags = [
        "--data",
        "a",
        "b",
        "--trigger",
        "bong",
        output_flag,
        str(output),
        "--init-from",
        "./mini",
        "mini:vae,clap",
    ]
    flags += ["--set", "optim.lr=1e-4", "batch_size=8", "--max-minutes", "2.5"]
    assert main(["train", str(recipe), *flags]) == 0
    [(settings, data, run_folder, init_from, max_minutes)] = calls
    assert settings.stage == "vae"
    assert settings.optim.lr == 1e-4
    assert settings.batch_size == 8
    assert data == (DataSource("a", "bong"), DataSource("b", "bong"))
    assert run_folder == output
    assert init_from == ("./mini", "mini:vae,clap")
    assert max_minutes == 2.5
    printed = capsys.readouterr().out
    assert printed == f"{output}  30 of 40 steps; the same command resumes it\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "optim.speed=3"], "optim.speed"),
        (["--max-minutes", "nan"], "--max-minutes nan is not a duration"),
        (["--max-minutes", "0"], "--max-minutes 0 is not a duration"),
        (["--set", "lr"], "write it as key=value"),
        (["--data", "nowhere"], "there is no folder nowhere"),
        (["--data", "nowhere", "--set", "stage=latent_prior"], "there is no folder nowhere"),
        (["--set", "optim.betas=[0.9"], "is not valid YAML"),
        (["--set", "options.crop_frames=100"], "multiple of"),
        (["--set", "stage=audiomae", "options.crop_frames=500"], "multiple of 16"),
        (["--set", "options.freeze_encoder=true"], "name a folder that has one with --init-from"),
    ],
)
def test_errors_name_the_problem(recipe, tmp_path, capsys, flags, message):
    command = ["train", str(recipe), "--output", str(tmp_path / "run"), "--set", "device=cpu"]
    assert main([*command, *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_recipe_is_an_error(tmp_path, capsys):
    output = str(tmp_path / "run")
    assert main(["train", str(tmp_path / "no.yaml"), "--output", output]) == 2
    assert main(["train", str(tmp_path), "--output", output]) == 2
    assert "there is no recipe" in capsys.readouterr().err


def test_a_dry_run_prints_what_a_run_needs_and_writes_nothing(recipe, tmp_path, capsys):
    command = ["train", str(recipe), "--dry-run", "--machine", "a100"]
    assert main([*command, "--set", "options.crop_frames=64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    titles = [line.split()[0] for line in lines]
    assert [title for title in titles if title in ("parameters", "memory", "step", "run")] == [
        "parameters",
        "memory",
        "step",
        "run",
    ]
    assert "2 clips" in "".join(lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vae.yaml"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "name the folder of the run with --output, or add --dry-run"),
        (["--machine", "a100"], "--machine belongs to --dry-run"),
        (["--dry-run", "--machine", "abacus"], "'abacus' is not known; choose rtx-3060"),
        (["--dry-run", "--set", "stage=text"], "no estimate for the stage text"),
        (["--dry-run", "--data", "nowhere"], "nowhere"),
    ],
)
def test_a_dry_run_names_what_is_wrong(recipe, capsys, flags, message):
    assert main(["train", str(recipe), *flags]) == 2
    assert message in capsys.readouterr().err


def test_the_progress_names_losses_first_and_units_last():
    losses = {"unet/mse": 0.123456, CLIPS_PER_SECOND: 3.14159, DATA_PERCENT: 0.0612}
    note = progress_note(losses, seconds_left=90)
    assert note == "unet/mse 0.1235  3.14 clips/s  0.1 % waiting for data  2 min left"
