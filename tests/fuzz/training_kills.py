"""Kill -9 at random moments of trainings; each must resume to the bit and lose no file.

    python tests/fuzz/training_kills.py [--kills 20] [--seed 0] [--folder DIR]

Each kind of run is trained once without a kill. Then the same run is started again and again, and
killed at a random moment, until it has been killed often enough and ends. Processes are forked from
this one, so that a start costs no import. The table says for each kind how the killed run compares.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import soundfile
import torch
from conftest import TINY, write_model
from run_logs import read_log
from safetensors.torch import load_file

from latentaudio.config import registry
from latentaudio.config.parsing import parse_json
from latentaudio.train import checkpoint
from latentaudio.train.logger import LOG_FILE, VALIDATION_FILE
from latentaudio.train.loop import train
from latentaudio.train.pre_encode import HASHES_FILE
from latentaudio.train.recipe import Recipe

NUM_CLIPS = 24
LEFTOVERS = ("*.part", "*.tmp", ".writing_*")
SETTINGS = {
    "batch_size": 2,
    "gradient_accumulation_steps": 2,
    "precision": "fp32",
    "device": "cpu",
    "save_every": 2,
    "sample_every": 4,
    "log_every": 1,
    "loggers": ["jsonl"],
    "validate": {"fraction": 0.2, "every": 3, "num_batches": 1},
    "optim": {"lr": 1e-3, "warmup_steps": 2},
}
GAN = {
    "crop_frames": 32,
    "latent_stats_crops": 2,
    "disc_channels": 2,
    "weights": {"adv_gen": 0.1},
}
LATENTS = {"frames_per_batch": 256}


@dataclass(frozen=True)
class Kind:
    """One kind of run.

    Attributes:
        recipe: Its recipe.
        num_processes: Number of processes.
        encodes_again: Whether encoded clips are removed before every start, so that most kills
            meet the encoding.
    """

    recipe: Recipe
    num_processes: int = 1
    encodes_again: bool = False


KINDS = {
    "GAN stage": Kind(Recipe(stage="vae", steps=12, options=GAN, **SETTINGS)),
    "LoRA": Kind(
        Recipe(stage="finetune", steps=12, options=LATENTS, adapter={"rank": 2}, **SETTINGS)
    ),
    "pre-encoding": Kind(
        Recipe(stage="latent_prior", steps=2, options=LATENTS, **SETTINGS), encodes_again=True
    ),
    "two processes": Kind(Recipe(stage="vae", steps=12, options=GAN, **SETTINGS), 2),
}


@dataclass
class Outcome:
    """What came of a kind of run.

    Attributes:
        kills: Processes that were killed before they ended.
        before_checkpoint: Kills of a run without a checkpoint.
        problems: What was wrong; empty if nothing.
    """

    kills: int = 0
    before_checkpoint: int = 0
    problems: list[str] = None


def write_data(folder: Path) -> None:
    """Write a few tones with captions."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    times = np.arange(16000) / 16000
    with (folder / "metadata.jsonl").open("w") as manifest:
        for index in range(NUM_CLIPS):
            tone = 0.3 * np.sin(2 * np.pi * rng.uniform(200, 2000) * times)
            sound = tone + 0.01 * rng.standard_normal(len(times))
            soundfile.write(folder / f"{index}.wav", sound, 16000)
            line = {"file_name": f"{index}.wav", "text": f"a dog {index}"}
            manifest.write(json.dumps(line) + "\n")


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1])


def start(kind: Kind, folder: Path, run: Path) -> list[int]:
    """Fork the processes of a run; return their ids."""
    port = free_port()
    pids = []
    for rank in range(kind.num_processes):
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        code = 1
        try:
            with (run.parent / f"{run.name}_{rank}.txt").open("a") as output:
                os.dup2(output.fileno(), 2)
                if kind.num_processes > 1:
                    os.environ |= {
                        "RANK": str(rank),
                        "LOCAL_RANK": str(rank),
                        "WORLD_SIZE": str(kind.num_processes),
                        "MASTER_ADDR": "127.0.0.1",
                        "MASTER_PORT": port,
                    }
                train(kind.recipe, (folder / "data",), run, (folder / "tiny",))
                code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pids


def wait(pids: list[int], seconds: float) -> bool:
    """Wait for processes and kill them at a moment; return whether all had ended before."""
    end = time.monotonic() + seconds
    left = list(pids)
    codes = []
    while left and time.monotonic() < end:
        for pid in list(left):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                left.remove(pid)
                codes.append(os.waitstatus_to_exitcode(status))
        time.sleep(0.001)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    for pid in left:
        os.waitpid(pid, 0)
    if not left and any(codes):
        raise SystemExit(f"a process ended with {codes}; see the .txt files of the runs")
    return not left


def broken_files(run: Path) -> list[str]:
    """Files of a killed run that cannot be read."""
    problems = []
    for file in run.rglob("*"):
        try:
            if file.suffix == ".safetensors":
                load_file(file)
            elif file.suffix == ".json":
                parse_json(file.read_text())
            elif file.suffix == ".flac":
                soundfile.read(file)
        except Exception as error:  # whatever a library raises for a damaged file
            problems.append(f"{file.relative_to(run)}: {error}")
    try:
        checkpoint.load_latest(run)
    except Exception as error:
        problems.append(str(error))
    return problems


def differences(expected: Path, run: Path) -> list[str]:
    """What differs between two runs that ended: files, weights, states or logs."""
    problems = []
    names = []
    for folder in (expected, run):
        files = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
        # hashes are remembered of sounds that are some seconds old, so this file depends on speed
        names.append(
            {name for name in files if not name.startswith(".lock") and name != HASHES_FILE}
        )
    if names[0] != names[1]:
        problems.append(f"other files: {sorted(names[0] ^ names[1])}")
    for name in sorted(names[0] & names[1]):
        if name.endswith(".safetensors"):
            a, b = load_file(expected / name), load_file(run / name)
            if a.keys() != b.keys() or not all(torch.equal(a[key], b[key]) for key in a):
                problems.append(f"{name} differs")
    for name in (LOG_FILE, VALIDATION_FILE):
        logs = []
        for folder in (expected, run):
            logs.append([e | {"steps_per_second": 0} for e in read_log(folder, name)])
        if logs[0] != logs[1]:
            problems.append(f"{name} differs")
    states = [tensors_in(checkpoint.load_latest(folder)) for folder in (expected, run)]
    if len(states[0]) != len(states[1]) or not all(map(torch.equal, *states)):
        problems.append("the last checkpoint differs")
    for pattern in LEFTOVERS:
        problems += [f"left behind: {file.name}" for file in run.rglob(pattern)]
    return problems


def tensors_in(state: object) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, dict):
        state = list(state.values())
    tensors = []
    if isinstance(state, list | tuple):
        for value in state:
            tensors += tensors_in(value)
    return tensors


def try_kind(kind: Kind, folder: Path, num_kills: int, rng: random.Random) -> Outcome:
    """Train without a kill, then with many, and compare."""
    runs = folder / "runs"
    killed_runs = folder / "killed"
    for place in (runs, killed_runs):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    begin = time.monotonic()
    wait(start(kind, folder, runs / "run"), 1e9)
    seconds = time.monotonic() - begin
    outcome = Outcome(problems=[])
    run = killed_runs / "run"
    is_done = False
    while not is_done or outcome.kills < num_kills:
        if is_done:  # too few kills: once more from the start
            shutil.rmtree(run)
            is_done = False
        if kind.encodes_again and rng.random() < 0.3:
            shutil.rmtree(killed_runs / "pre_encoded", ignore_errors=True)
        is_last = outcome.kills >= num_kills
        is_done = wait(start(kind, folder, run), 1e9 if is_last else rng.uniform(0, seconds))
        if not is_done:
            outcome.kills += 1
            outcome.before_checkpoint += not checkpoint.exists(run)
            outcome.problems += broken_files(run)
    outcome.problems += differences(runs / "run", run)
    outcome.problems += [f"left behind: {f}" for f in killed_runs.glob("pre_encoded/**/*.part")]
    return outcome


def run_all(
    folder: Path, kills: dict[str, int], seed: int, report: Callable[[str], None] = print
) -> dict[str, Outcome]:
    """Try all kinds; report a line for each."""
    torch.set_num_threads(1)
    registry.MODELS["mini"] = replace(registry.MODELS["mini"], config=TINY)
    warnings.simplefilter("ignore")
    write_data(folder / "data")
    write_model(folder / "tiny", TINY, "mini")
    rng = random.Random(seed)
    report("| run | kills -9 | before a checkpoint | problems |")
    report("|---|---|---|---|")
    outcomes = {}
    for name, num_kills in kills.items():
        outcome = try_kind(KINDS[name], folder, num_kills, rng)
        outcomes[name] = outcome
        problems = "; ".join(dict.fromkeys(outcome.problems)) or "none: equal to the bit"
        report(f"| {name} | {outcome.kills} | {outcome.before_checkpoint} | {problems} |")
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="kills of each kind of run")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--folder", type=Path, help="new folder to work in; default: temporary")
    options = parser.parse_args()
    kills = dict.fromkeys(KINDS, options.kills) | {"two processes": max(1, options.kills // 4)}
    with tempfile.TemporaryDirectory() as temporary:
        outcomes = run_all(options.folder or Path(temporary) / "work", kills, options.seed)
    return int(any(outcome.problems for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
