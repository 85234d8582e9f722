"""Two processes train one run: the same batches, the same losses, one folder."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import TINY, write_model
from distributed_program import NUM_STEPS, diffusion, recipe
from run_logs import read_log
from safetensors.torch import load_file

from latentaudio.train import checkpoint
from latentaudio.train.distributed import Processes, check_number_of_processes
from latentaudio.train.loop import train
from latentaudio.train.sessions import read_sessions

TESTS = Path(__file__).parent
NUM_SCENARIOS = 9
pytestmark = pytest.mark.usefixtures("tiny_mini")


@pytest.fixture
def tiny_mini(monkeypatch):
    """Give mini the shape of the tiny model, as `distributed_program` does."""
    from dataclasses import replace

    from latentaudio.config import registry

    spec = replace(registry.MODELS["mini"], config=TINY)
    monkeypatch.setitem(registry.MODELS, "mini", spec)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = [str(sock.getsockname()[1]) for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, a tiny model, and the runs of both processes with what they returned."""
    folder = tmp_path_factory.mktemp("distributed")
    write_model(folder / "tiny", TINY, "mini")
    data = folder / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    times = np.arange(16000) / 16000
    with (data / "metadata.jsonl").open("w") as manifest:
        for index in range(6):
            tone = 0.3 * np.sin(2 * np.pi * rng.uniform(200, 2000) * times)
            soundfile.write(data / f"{index}.wav", tone + 0.01 * rng.standard_normal(16000), 16000)
            line = {"file_name": f"{index}.wav", "text": f"a dog {index}"}
            manifest.write(json.dumps(line) + "\n")
    ports = free_ports(NUM_SCENARIOS)
    processes = []
    for rank in range(2):
        environment = os.environ | {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": ports[0],
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), *sys.path]),
        }
        command = [
            sys.executable,
            str(TESTS.parent / "distributed_program.py"),
            str(folder),
            *ports,
        ]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
    outputs = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 9], outputs
    return folder


def results(folder, rank=0):
    return json.loads((folder / f"results_{rank}.json").read_text())


def losses_of(run):
    entries = read_log(run)
    for entry in entries:
        del entry["steps_per_second"]
    return entries


def largest_difference(first, second):
    """Largest relative difference of the losses of two runs."""
    differences = []
    for a, b in zip(losses_of(first), losses_of(second), strict=True):
        assert a.keys() == b.keys()
        differences += [abs(a[name] - b[name]) / max(abs(a[name]), 1e-3) for name in a]
    return max(differences)


def weights_of(run, component="vae"):
    return load_file(run / "model" / f"{component}.safetensors")


def test_two_processes_have_the_losses_of_one_with_the_same_global_batch(
    folder, tmp_path, record_property
):
    train(recipe(), (folder / "data",), tmp_path / "alone")
    difference = largest_difference(tmp_path / "alone", folder / "runs" / "together")
    assert len(losses_of(tmp_path / "alone")) == NUM_STEPS
    assert difference < 1e-5
    record_property("relative difference of losses of 1 and 2 processes", difference)


def test_a_resumed_run_of_two_processes_changes_no_bit(folder):
    together = weights_of(folder / "runs" / "together")
    resumed = weights_of(folder / "runs" / "resumed")
    assert all(torch.equal(together[name], resumed[name]) for name in together)
    assert losses_of(folder / "runs" / "together") == losses_of(folder / "runs" / "resumed")
    steps = [entry["step"] for entry in read_sessions(folder / "runs" / "resumed")]
    assert steps == [0, 10]


def test_one_process_goes_on_where_two_have_stopped(folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(folder / "runs" / "resumed", run)
    shutil.rmtree(run / "checkpoints" / f"step_{NUM_STEPS:08d}")
    with pytest.warns(UserWarning, match=r"goes on in another way \(processes 2 before, 1 now\)"):
        train(recipe(), (folder / "data",), run)
    assert largest_difference(run, folder / "runs" / "together") < 1e-5
    assert [entry["processes"] for entry in read_sessions(run)] == [2, 2, 1]


def test_parameters_in_parts_are_trained_like_whole_ones(folder, tmp_path):
    runs = folder / "runs"
    assert len(losses_of(runs / "whole")) == 4
    whole = losses_of(runs / "whole")
    sharded = losses_of(runs / "sharded")
    for a, b in zip(whole, sharded[:4], strict=True):
        assert b["unet/mse"] == pytest.approx(a["unet/mse"], rel=1e-4)
        assert b["unet/grad_norm"] == pytest.approx(a["unet/grad_norm"], rel=1e-3)
    assert len(sharded) == 6  # resumed
    # a checkpoint has complete tensors, so one process can go on
    run = tmp_path / "run"
    shutil.copytree(runs / "sharded", run)
    shutil.copytree(folder / "runs" / "pre_encoded", tmp_path / "pre_encoded")
    with pytest.warns(UserWarning, match="processes 2 before"):
        train(diffusion(steps=7), (folder / "data",), run)
    _, states = checkpoint.load_latest(run)
    shapes = {name: value.shape for name, value in states["unet"]["module"].items()}
    _, states = checkpoint.load_latest(runs / "sharded")
    assert {name: value.shape for name, value in states["unet"]["module"].items()} == shapes


def test_a_step_needs_a_micro_batch_for_every_process(folder):
    assert "too few for 2 processes" in results(folder)["too many"]
    assert "gradient_accumulation_steps=2" in results(folder, 1)["too many"]
    assert not (folder / "runs" / "too_many").exists()
    check_number_of_processes(recipe(gradient_accumulation_steps=3), 2)


def test_a_signal_to_one_process_stops_both_with_a_checkpoint(folder):
    for rank in range(2):
        assert results(folder, rank)["stopped"].startswith("Terminated: stopped after step 3 with")
    assert checkpoint.latest_step(folder / "runs" / "stopped") == 3


def test_a_process_that_dies_ends_the_other_in_one_line(folder):
    message = results(folder)["lost"]
    assert message.startswith("TrainingError: another process of this training has ended")
    assert "\n" not in message
    assert "lost" not in results(folder, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="names of threads are read from /proc")
def test_no_thread_of_the_group_is_left_when_a_training_ends(folder):
    # such a thread aborts the process if it meets the end of Python
    names = ["together", "resumed", "whole", "too many", "stopped"]
    for rank in range(2):
        found = {name: results(folder, rank)[f"threads left by {name}"] for name in names}
        assert found == {name: [] for name in names}


def test_micro_batches_are_divided_without_overlap():
    parts = [list(Processes(rank, 3).micro_batches(8)) for rank in range(3)]
    assert sorted(number for part in parts for number in part) == list(range(8))
    assert parts[1] == [1, 4, 7]
