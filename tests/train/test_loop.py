"""The loop: what is learned, and that a killed run resumes to the bit."""

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
from safetensors.torch import load_file

from latentaudio.config.registry import variant
from latentaudio.data.dataset import dice
from latentaudio.errors import ConfigError, DataError, WeightsError
from latentaudio.train import checkpoint, loop
from latentaudio.train.loop import read_log, train
from latentaudio.train.optim import advance, optimiser, rate_at
from latentaudio.train.recipe import Recipe
from latentaudio.train.stages.base import make_stage


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    with (folder / "metadata.jsonl").open("w") as table:
        for i in range(6):
            t = np.arange(8000) / 16000
            sound = 0.3 * np.sin(
                2 * np.pi * rng.uniform(200, 2000) * t
            ) + 0.01 * rng.standard_normal(len(t))
            soundfile.write(folder / f"{i}.wav", sound, 16000)
            table.write(json.dumps({"file_name": f"{i}.wav", "text": f"tone {i}"}) + "\n")
    return folder


def tiny(steps: int, **changes) -> Recipe:
    return Recipe(
        stage="vae", steps=steps, batch=2, precision="fp32", device="cpu", save_every=2, preview_every=1000, log_every=1,
        optim={"lr": 1e-3, "warmup": 2}, options={"frames": 32, "statistics_over": 2}, **changes,
    )  # fmt: skip


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "vae.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_the_loss_falls(data, tmp_path):
    train(tiny(30), (data,), tmp_path / "run")
    losses = [entry["vae/l1"] for entry in read_log(tmp_path / "run")]
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_stopping_and_resuming_changes_no_bit(data, tmp_path):
    train(tiny(6), (data,), tmp_path / "whole")
    train(tiny(6), (data,), tmp_path / "parts", minutes=1e-6)
    assert (tmp_path / "parts/checkpoints/step_00000001").is_dir()
    assert train(tiny(6), (data,), tmp_path / "parts") == 6
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    strip = [{k: v for k, v in e.items() if k != "speed"} for e in read_log(tmp_path / "parts")]
    assert strip == [
        {k: v for k, v in e.items() if k != "speed"} for e in read_log(tmp_path / "whole")
    ]


KILLED = """
import sys
from pathlib import Path
from latentaudio.train.config import Recipe
from latentaudio.train.loop import train
recipe, data, run = Recipe.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
train(recipe, (data,), run, report=lambda done, *_: print(done, flush=True))
"""


def test_kill_9_then_resume_is_the_uninterrupted_run(data, tmp_path):
    recipe = tiny(12)
    command = [
        sys.executable,
        "-c",
        KILLED,
        recipe.model_dump_json(),
        str(data),
        str(tmp_path / "killed"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 5:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert train(recipe, (data,), tmp_path / "killed") == 12
    train(recipe, (data,), tmp_path / "whole")
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    assert [e["step"] for e in read_log(tmp_path / "killed")] == list(range(1, 13))


def test_a_half_written_checkpoint_is_never_taken_up(data, tmp_path):
    run = tmp_path / "run"
    train(tiny(4), (data,), run)
    half = run / "checkpoints" / ".writing_1"
    half.mkdir()
    (half / "state.pt").write_bytes(b"half")
    assert train(tiny(6), (data,), run) == 6


def test_accumulating_two_batches_is_one_step_on_both(data, tmp_path):
    recipe = tiny(1, accumulate=2)
    train(recipe, (data,), tmp_path / "run")
    (_, states), [line] = checkpoint.latest(tmp_path / "run"), read_log(tmp_path / "run")
    assert line["step"] == 1
    torch.manual_seed(recipe.seed)
    stage = make_stage(recipe, variant(recipe.model).config, (data,), tmp_path / "none")
    vae = stage.vae.train()
    optim = optimiser(vae, recipe.optim)
    both = [stage.losses(stage.batch(k), "vae", dice(recipe.seed, 0, k, 0)) for k in range(2)]
    sum(
        sum(stage.weights.get(name, 1.0) * loss for name, loss in losses.items()) / 2
        for losses in both
    ).backward()
    advance(optim, vae, rate_at(0, recipe.steps, recipe.optim), recipe.optim.clip)
    for name, value in vae.state_dict().items():
        torch.testing.assert_close(states["vae"]["module"][name], value, atol=1e-6, rtol=1e-5)


def test_what_a_stage_froze_stays_frozen(data, tmp_path, monkeypatch):
    from latentaudio.train.stages.vae import VAEStage

    seen = []

    class Half(VAEStage):
        def setup(self):
            super().setup()
            self.vae.encoder.requires_grad_(False)

        def losses(self, *given):
            seen.append({p.requires_grad for p in self.vae.encoder.parameters()})
            return super().losses(*given)

    monkeypatch.setattr(loop, "make_stage", Half)
    train(tiny(2), (data,), tmp_path / "run")
    assert seen == [{False}, {False}]
    assert not any(
        name.startswith("encoder") for name in checkpoint.latest(tmp_path / "run")[1]["vae"]["ema"]
    )


def test_another_recipe_in_the_same_folder_is_refused(data, tmp_path):
    train(tiny(1), (data,), tmp_path / "run")
    with pytest.raises(ConfigError, match="another recipe"):
        train(tiny(1, seed=3), (data,), tmp_path / "run")


def test_another_data_set_in_the_same_folder_is_refused(data, tmp_path):
    train(tiny(1), (data,), tmp_path / "run")
    with pytest.raises(ConfigError, match="on other data"):
        train(tiny(2), (data, data), tmp_path / "run")


DECODER_ONLY = tiny(1).model_copy(
    update={"options": {"frames": 32, "statistics_over": 2, "decoder_only": True}}
)


def test_a_corrected_command_finds_nothing_of_the_refused_one(data, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    train(tiny(1), (data,), other)
    bad = tiny(1).model_copy(update={"options": {"frames": 33}})
    with pytest.raises(ConfigError, match="multiple"):
        train(bad, (data,), run, init=(other,))
    assert (run / "model/vae.safetensors").is_file()
    (run / "log.jsonl").write_text('{"step": 1, "vae/l1": 9.0}\n')
    train(tiny(1), (data,), run)
    train(tiny(1), (data,), tmp_path / "clean")
    assert same(weights(run), weights(tmp_path / "clean"))
    assert len(read_log(run)) == 1
    assert not (run / "model/.unlearnt").exists()


def test_a_model_that_was_learnt_elsewhere_is_never_written_over(data, tmp_path):
    train(tiny(1), (data,), tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints")
    before = (tmp_path / "run/model/vae.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="learnt elsewhere"):
        train(tiny(1), (data,), tmp_path / "run")
    assert (tmp_path / "run/model/vae.safetensors").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\3\4 half"])
def test_a_damaged_checkpoint_says_what_to_do(data, tmp_path, content):
    train(tiny(2), (data,), tmp_path / "run")
    (tmp_path / "run/checkpoints/step_00000002/state.pt").write_bytes(content)
    with pytest.raises(WeightsError, match="delete its folder"):
        train(tiny(3), (data,), tmp_path / "run")


def test_a_refused_command_may_be_corrected(data, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match="name a folder that has one"):
        train(DECODER_ONLY, (data,), run)
    assert train(tiny(1), (data,), run) == 1
    again = tmp_path / "again"
    with pytest.raises(ConfigError, match="name a folder that has one"):
        train(DECODER_ONLY, (data,), again)
    assert train(DECODER_ONLY, (data,), again, (run,)) == 1


def test_a_kill_after_the_last_checkpoint_costs_nothing(data, tmp_path):
    run = tmp_path / "run"
    train(tiny(2), (data,), run)
    made, stored = weights(run), (run / "model/model.json").read_bytes()
    train(tiny(1), (data,), tmp_path / "earlier")
    (tmp_path / "earlier/model/vae.safetensors").replace(
        run / "model/vae.safetensors"
    )  # a copy would write into `made`
    about = json.loads(stored)
    about["config"]["latent_std"] = [9.0]
    (run / "model/model.json").write_text(json.dumps(about))
    assert train(tiny(2), (data,), run) == 2
    assert same(weights(run), made)
    assert (run / "model/model.json").read_bytes() == stored


def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(tiny(1), (data,), run)

    def full(state, file):
        file.write(b"half")
        raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match="free some space and resume"):
        train(tiny(2), (data,), run)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step_00000001"]


def test_init_without_parts_is_refused(data, tmp_path):
    with pytest.raises(WeightsError, match="holds no part of a model"):
        train(tiny(1), (data,), tmp_path / "run", (tmp_path,))


def test_data_without_a_table_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(DataError, match=r"metadata\.jsonl"):
        train(tiny(1), (tmp_path,), tmp_path / "run")


def test_minutes_stop_a_run_in_time(data, tmp_path):
    began = time.monotonic()
    done = train(tiny(100_000), (data,), tmp_path / "run", minutes=0.05)
    assert 0 < done < 100_000
    assert time.monotonic() - began < 30
