"""The training loop: it trains, and a killed run resumes without a changed bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from run_logs import read_log
from safetensors.torch import load_file

from latentaudio.config.registry import get_model_spec
from latentaudio.data.dataset import seeded_generator
from latentaudio.errors import ConfigError, DataError, UsageError, WeightsError
from latentaudio.fileio import lock_folder
from latentaudio.interrupts import Terminated
from latentaudio.train import checkpoint, loop
from latentaudio.train.loop import train
from latentaudio.train.optim import build_optimizer, learning_rate, optimizer_step
from latentaudio.train.recipe import Recipe
from latentaudio.train.run_folder import UNTRAINED_MARKER
from latentaudio.train.stages.base import build_stage
from latentaudio.train.stages.vae import VAEStage

OPTIONS = {"crop_frames": 32, "latent_stats_crops": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    times = np.arange(8000) / 16000
    with (folder / "metadata.jsonl").open("w") as manifest:
        for i in range(6):
            tone = 0.3 * np.sin(2 * np.pi * rng.uniform(200, 2000) * times)
            noise = 0.01 * rng.standard_normal(len(times))
            soundfile.write(folder / f"{i}.wav", tone + noise, 16000)
            manifest.write(json.dumps({"file_name": f"{i}.wav", "text": f"tone {i}"}) + "\n")
    return folder


def tiny_recipe(steps: int, **changes) -> Recipe:
    settings = {
        "stage": "vae",
        "steps": steps,
        "batch_size": 2,
        "precision": "fp32",
        "device": "cpu",
        "save_every": 2,
        "sample_every": 1000,
        "log_every": 1,
        "optim": {"lr": 1e-3, "warmup_steps": 2},
        "options": OPTIONS,
    }
    return Recipe(**(settings | changes))


FROZEN_ENCODER = tiny_recipe(1, options=OPTIONS | {"freeze_encoder": True})


def exported_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "vae.safetensors")


def are_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def losses_of(run: Path) -> list[dict[str, float]]:
    entries = read_log(run)
    for entry in entries:
        del entry["steps_per_second"]
    return entries


def test_the_loss_falls(data, tmp_path):
    train(tiny_recipe(30), (data,), tmp_path / "run")
    losses = [entry["vae/l1"] for entry in read_log(tmp_path / "run")]
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_stopping_and_resuming_changes_no_bit(data, tmp_path):
    uninterrupted = tmp_path / "uninterrupted"
    resumed = tmp_path / "resumed"
    train(tiny_recipe(6), (data,), uninterrupted)
    train(tiny_recipe(6), (data,), resumed, max_minutes=1e-6)
    assert (resumed / "checkpoints/step_00000001").is_dir()
    assert train(tiny_recipe(6), (data,), resumed) == 6
    assert are_equal(exported_weights(uninterrupted), exported_weights(resumed))
    assert losses_of(resumed) == losses_of(uninterrupted)


KILLED_PROGRAM = """
import sys
from pathlib import Path
from latentaudio.train.loop import train
from latentaudio.train.recipe import Recipe
recipe, data, run = Recipe.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
train(recipe, (data,), run, on_step=lambda step, *_: print(step, flush=True))
"""


def test_a_run_that_was_killed_resumes_like_an_uninterrupted_one(data, tmp_path):
    recipe = tiny_recipe(12)
    killed = tmp_path / "killed"
    uninterrupted = tmp_path / "uninterrupted"
    arguments = [recipe.model_dump_json(), str(data), str(killed)]
    command = [sys.executable, "-c", KILLED_PROGRAM, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 5:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert train(recipe, (data,), killed) == 12
    train(recipe, (data,), uninterrupted)
    assert are_equal(exported_weights(killed), exported_weights(uninterrupted))
    assert [entry["step"] for entry in read_log(killed)] == list(range(1, 13))


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_stops_after_the_step_with_a_checkpoint(data, tmp_path, number, error):
    run = tmp_path / "run"
    recipe = tiny_recipe(6, save_every=100)

    def interrupt(step, *_):
        if step == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(error, match="stopped after step 3 with a checkpoint; the same command"):
        train(recipe, (data,), run, on_step=interrupt)
    assert (run / "checkpoints/step_00000003").is_dir()
    assert train(recipe, (data,), run) == 6
    train(recipe, (data,), tmp_path / "uninterrupted")
    assert are_equal(exported_weights(run), exported_weights(tmp_path / "uninterrupted"))


def test_what_a_callback_raises_reaches_the_caller(data, tmp_path):
    def fail(*_):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        train(tiny_recipe(2), (data,), tmp_path / "run", on_step=fail)


def test_a_run_folder_is_for_one_process_at_a_time(data, tmp_path):
    run = tmp_path / "run"
    with (
        lock_folder(run, "training"),
        pytest.raises(UsageError, match=rf"process {os.getpid()} on .* is training in {run}; wait"),
    ):
        train(tiny_recipe(1), (data,), run)
    assert train(tiny_recipe(1), (data,), run) == 1


def test_a_refused_run_leaves_no_folder(data, tmp_path):
    before = set(tmp_path.rglob("*"))
    with pytest.raises(DataError):
        train(tiny_recipe(1), (tmp_path / "nowhere",), tmp_path / "runs" / "run")
    assert set(tmp_path.rglob("*")) == before
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(DataError):
        train(tiny_recipe(1), (tmp_path / "nowhere",), run)
    assert list(run.iterdir()) == []


def test_a_half_written_checkpoint_is_never_used(data, tmp_path):
    run = tmp_path / "run"
    train(tiny_recipe(4), (data,), run)
    half = run / "checkpoints" / ".writing_1"
    half.mkdir()
    (half / "state.pt").write_bytes(b"half")
    assert train(tiny_recipe(6), (data,), run) == 6


def test_accumulating_two_batches_is_one_step_on_both(data, tmp_path):
    recipe = tiny_recipe(1, gradient_accumulation_steps=2)
    train(recipe, (data,), tmp_path / "run")
    [entry] = read_log(tmp_path / "run")
    assert entry["step"] == 1
    torch.manual_seed(recipe.seed)
    config = get_model_spec(recipe.model).config
    stage = build_stage(recipe, config, (data,), tmp_path / "none")
    vae = stage.vae.train()
    optimizer = build_optimizer(vae, recipe.optim)
    total = torch.zeros(())
    for micro in range(2):
        generator = seeded_generator(recipe.seed, 0, micro, 0)
        for name, loss in stage.losses(stage.batch(micro), "vae", generator).items():
            total = total + stage.loss_weights.get(name, 1.0) * loss / 2
    total.backward()
    lr = learning_rate(0, recipe.steps, recipe.optim)
    optimizer_step(optimizer, vae, lr, recipe.optim.max_grad_norm)
    _, states = checkpoint.load_latest(tmp_path / "run")
    for name, value in vae.state_dict().items():
        torch.testing.assert_close(states["vae"]["module"][name], value, atol=1e-6, rtol=1e-5)


def test_weights_that_a_stage_freezes_stay_frozen(data, tmp_path, monkeypatch):
    requires_grad = []

    class HalfFrozenStage(VAEStage):
        def setup(self):
            super().setup()
            self.vae.encoder.requires_grad_(False)

        def losses(self, *arguments):
            requires_grad.append({p.requires_grad for p in self.vae.encoder.parameters()})
            return super().losses(*arguments)

    monkeypatch.setattr(loop, "build_stage", HalfFrozenStage)
    train(tiny_recipe(2), (data,), tmp_path / "run")
    assert requires_grad == [{False}, {False}]
    _, states = checkpoint.load_latest(tmp_path / "run")
    assert not any(name.startswith("encoder") for name in states["vae"]["ema"])


def test_another_recipe_in_the_same_folder_is_an_error(data, tmp_path):
    train(tiny_recipe(1), (data,), tmp_path / "run")
    with pytest.raises(ConfigError, match="another recipe"):
        train(tiny_recipe(1, seed=3), (data,), tmp_path / "run")


def test_other_data_in_the_same_folder_is_an_error(data, tmp_path):
    train(tiny_recipe(1), (data,), tmp_path / "run")
    with pytest.raises(ConfigError, match="on other data"):
        train(tiny_recipe(2), (data, data), tmp_path / "run")


def test_a_corrected_command_uses_nothing_of_the_refused_one(data, tmp_path):
    run = tmp_path / "run"
    other = tmp_path / "other"
    clean = tmp_path / "clean"
    run.mkdir()
    (run / "notes.txt").touch()  # where a user has files, nothing is deleted
    train(tiny_recipe(1), (data,), other)
    refused = tiny_recipe(1, options={"crop_frames": 33})
    with pytest.raises(ConfigError, match="multiple"):
        train(refused, (data,), run, init_from=(other,))
    assert (run / "model/vae.safetensors").is_file()
    (run / "log.jsonl").write_text('{"step": 1, "vae/l1": 9.0}\n')
    train(tiny_recipe(1), (data,), run)
    train(tiny_recipe(1), (data,), clean)
    assert are_equal(exported_weights(run), exported_weights(clean))
    assert len(read_log(run)) == 1
    assert not (run / "model" / UNTRAINED_MARKER).exists()


def test_a_trained_model_is_never_overwritten(data, tmp_path):
    run = tmp_path / "run"
    train(tiny_recipe(1), (data,), run)
    shutil.rmtree(run / "checkpoints")
    before = (run / "model/vae.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="holds a trained model"):
        train(tiny_recipe(1), (data,), run)
    assert (run / "model/vae.safetensors").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\3\4 half"])
def test_the_error_for_a_damaged_checkpoint_says_what_to_do(data, tmp_path, content):
    run = tmp_path / "run"
    train(tiny_recipe(2), (data,), run)
    (run / "checkpoints/step_00000002/state.pt").write_bytes(content)
    with pytest.raises(WeightsError, match="delete its folder"):
        train(tiny_recipe(3), (data,), run)


def test_a_refused_command_may_be_corrected(data, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match="name a folder that has one"):
        train(FROZEN_ENCODER, (data,), run)
    assert train(tiny_recipe(1), (data,), run) == 1
    second = tmp_path / "second"
    with pytest.raises(ConfigError, match="name a folder that has one"):
        train(FROZEN_ENCODER, (data,), second)
    assert train(FROZEN_ENCODER, (data,), second, (run,)) == 1


def test_a_kill_after_the_last_checkpoint_loses_nothing(data, tmp_path):
    run = tmp_path / "run"
    earlier = tmp_path / "earlier"
    train(tiny_recipe(2), (data,), run)
    weights = exported_weights(run)
    description = (run / "model/model.json").read_bytes()
    train(tiny_recipe(1), (data,), earlier)
    # A copy would write into the file that `weights` maps.
    (earlier / "model/vae.safetensors").replace(run / "model/vae.safetensors")
    changed = json.loads(description)
    changed["config"]["latent_std"] = [9.0]
    (run / "model/model.json").write_text(json.dumps(changed))
    assert train(tiny_recipe(2), (data,), run) == 2
    assert are_equal(exported_weights(run), weights)
    assert (run / "model/model.json").read_bytes() == description


def test_a_full_disk_is_a_short_error_and_keeps_the_last_checkpoint(data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(tiny_recipe(1), (data,), run)

    def save_to_full_disk(state, file):
        file.write(b"half")
        raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", save_to_full_disk)
    with pytest.raises(DataError, match="free some space and resume"):
        train(tiny_recipe(2), (data,), run)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step_00000001"]


def test_init_from_a_folder_without_components_is_an_error(data, tmp_path):
    with pytest.raises(WeightsError, match=r"has no \.safetensors of a component"):
        train(tiny_recipe(1), (data,), tmp_path / "run", (tmp_path,))


def test_data_without_a_manifest_is_an_error_before_anything_is_trained(tmp_path):
    with pytest.raises(DataError, match=r"metadata\.jsonl"):
        train(tiny_recipe(1), (tmp_path,), tmp_path / "run")


def test_max_minutes_stops_a_run_in_time(data, tmp_path):
    start = time.monotonic()
    num_steps = train(tiny_recipe(100_000), (data,), tmp_path / "run", max_minutes=0.05)
    assert 0 < num_steps < 100_000
    assert time.monotonic() - start < 30


def test_a_run_whose_sounds_changed_is_not_resumed(data, tmp_path):
    sounds = tmp_path / "sounds"
    shutil.copytree(data, sounds)
    run = tmp_path / "run"
    train(tiny_recipe(1), (sounds,), run)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    original = (sounds / "0.wav").read_bytes()
    (sounds / "0.wav").write_bytes(original[:-2] + b"xy")  # of the same length
    with pytest.raises(ConfigError, match=r"the sounds that .*run was trained on have changed"):
        train(tiny_recipe(2), (sounds,), run)
    (sounds / "0.wav").write_bytes(original)
    for file, content in before.items():
        assert file.read_bytes() == content
    assert train(tiny_recipe(2), (sounds,), run) == 2
    (run / "sounds.txt").unlink()  # a run of an older version
    assert train(tiny_recipe(3), (sounds,), run) == 3
