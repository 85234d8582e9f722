"""`batch --ray` on a local cluster of two workers, one of which is killed in mid-run.

It needs the extra cluster, whose packages have an environment of their own: `pytest -m ray`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from batch_lists import batch_command, write_rows

from latentaudio.cli.batch_ray import generate_rows_on_ray
from latentaudio.cli.flags import RuntimeFlags
from latentaudio.cli.main import main
from latentaudio.errors import UsageError
from latentaudio.fileio import sha256_of_file

NUM_ROWS = 8


@pytest.fixture
def rows_file(tmp_path):
    return write_rows(tmp_path / "list.jsonl", NUM_ROWS, duration=1)


def records_of(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def actor_processes():
    """Processes of Ray's workers that run a stage of Ray Data."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if words.startswith(b"ray::") and b"RayRowGenerator" in words:
            found.append(int(folder.name))
    return found


def test_without_ray_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr("latentaudio.serve.ray_connection.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"--ray needs the package ray; run .*\[cluster\]"):
        list(generate_rows_on_ray([None], RuntimeFlags(), "local"))


@pytest.mark.ray
def test_a_killed_worker_loses_and_doubles_nothing(rows_file, tiny_folder, tmp_path):
    pytest.importorskip("ray", reason="needs the extra cluster: pip install '.[cluster]'")
    alone = tmp_path / "alone"
    assert main(batch_command(rows_file, alone, tiny_folder, steps=40)) == 0
    folder = tmp_path / "cluster"
    words = batch_command(rows_file, folder, tiny_folder, "--ray", "local", steps=40)
    running = subprocess.Popen(
        [sys.executable, "-m", "latentaudio", *words], stderr=subprocess.PIPE, text=True
    )
    killed = []

    def kill_one():
        while running.poll() is None and not killed:
            manifest = folder / "manifest.jsonl"
            if manifest.is_file() and manifest.stat().st_size:
                actors = actor_processes()
                if len(actors) == 2:
                    os.kill(actors[0], signal.SIGKILL)
                    killed.append(actors[0])
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one)
    killer.start()
    _, told = running.communicate()
    assert running.returncode == 0, told
    killer.join()
    assert "Traceback" not in told and "latentaudio:" not in told  # Ray logs lines of its own
    assert killed, "the run ended before one of two workers could be killed"
    records = records_of(folder)
    assert sorted(record["name"] for record in records) == [f"clip{k}.wav" for k in range(NUM_ROWS)]
    for record in records:
        assert record["sha256"] == sha256_of_file(alone / record["name"])
        assert record["sha256"] == sha256_of_file(folder / record["name"])
    assert main(words) == 0  # nothing is left to do
    assert len(records_of(folder)) == NUM_ROWS
