"""The documented command of several processes: torchrun, the command line, gloo."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from run_logs import read_log

from latentaudio.cli.main import main
from latentaudio.train.sessions import read_sessions

RECIPE = """
stage: vae
steps: 3
batch_size: 1
gradient_accumulation_steps: 2
precision: fp32
device: cpu
ema_decay: 0.0
log_every: 1
loggers: [jsonl]
options: {crop_frames: 32, latent_stats_crops: 2}
"""


def losses_of(run):
    entries = read_log(run)
    for entry in entries:
        del entry["steps_per_second"]
    return entries


@pytest.mark.slow
def test_torchrun_trains_as_one_process_does(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        soundfile.write(data / f"{index}.wav", 0.1 * rng.standard_normal(8000), 16000)
        (data / f"{index}.txt").write_text(f"noise {index}")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    arguments = ["train", str(recipe), "--data", str(data), "--output"]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "latentaudio", *arguments, str(tmp_path / "together")]
    done = subprocess.run(
        [sys.executable, "-m", *torchrun, *command],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3 of 3 steps") == 1  # one process speaks
    assert main([*arguments, str(tmp_path / "alone")]) == 0
    [session] = read_sessions(tmp_path / "together")
    assert session["processes"] == 2
    together = losses_of(tmp_path / "together")
    alone = losses_of(tmp_path / "alone")
    assert [entry["step"] for entry in together] == [1, 2, 3]
    for first, second in zip(together, alone, strict=True):
        assert first == pytest.approx(second, rel=1e-5)
    names = [{str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()}
             for run in (tmp_path / "together", tmp_path / "alone")]  # fmt: skip
    assert names[0] == names[1]
