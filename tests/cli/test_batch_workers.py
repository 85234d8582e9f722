"""`batch --workers`: the files of one process, whatever dies on the way."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batch_lists import batch_command, write_rows

from latentaudio.cli import batch_workers
from latentaudio.cli.batch_list import Row, make_row_requests, read_rows, resolve_rows
from latentaudio.cli.batch_workers import generate_rows_in_processes
from latentaudio.cli.flags import RuntimeFlags
from latentaudio.cli.main import main
from latentaudio.errors import GenerationError, WeightsError

pytestmark = pytest.mark.cli

NUM_ROWS = 6
RUNTIME = RuntimeFlags(device="cpu", precision="fp32", no_cache=True)


@pytest.fixture
def rows_file(tmp_path):
    return write_rows(tmp_path / "list.jsonl", NUM_ROWS, duration=0.5)


def rows_of(file, model):
    cells = read_rows(file)
    requests = make_row_requests(file, cells, {"model": str(model), "steps": "2"}, ".wav")
    return resolve_rows(file, cells, requests, 5, ".wav", RUNTIME)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.wav")}


def records_of(folder):
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    return sorted(map(json.loads, lines), key=lambda record: record["row"])


def children_of(process):
    """Processes that a process has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == process:
            found.append(int(folder.name))
    return found


def test_two_workers_write_the_files_of_one_process_and_the_batch_is_done(
    rows_file, tiny_folder, tmp_path, capsys
):
    assert main(batch_command(rows_file, tmp_path / "one", tiny_folder)) == 0
    assert main(batch_command(rows_file, tmp_path / "two", tiny_folder, "--workers", "2")) == 0
    assert len(files(tmp_path / "one")) == NUM_ROWS
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert records_of(tmp_path / "two") == records_of(tmp_path / "one")
    assert capsys.readouterr().err == ""
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "two").iterdir()}
    assert main(batch_command(rows_file, tmp_path / "two", tiny_folder)) == 0
    assert main(batch_command(rows_file, tmp_path / "two", tiny_folder, "--workers", "2")) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "two").iterdir()} == before


def test_a_killed_worker_loses_and_doubles_nothing(rows_file, tiny_folder):
    rows = rows_of(rows_file, tiny_folder)
    finished = []
    for row, clip in generate_rows_in_processes(rows, RUNTIME, 2):
        finished.append(row.number)
        assert not isinstance(clip, Exception)
        if len(finished) == 1:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    assert sorted(finished) == list(range(1, NUM_ROWS + 1))
    assert multiprocessing.active_children() == []


def test_a_row_that_kills_its_workers_fails_and_the_others_do_not(
    rows_file, tiny_folder, monkeypatch
):
    rows = rows_of(rows_file, tiny_folder)[:3]
    deadly = Row(2, "deadly.wav", Deadly(rows[1].request), {})
    monkeypatch.setattr(batch_workers, "NUM_RETRIES", 1)
    mixed = [rows[0], deadly, rows[2]]
    results = {row.number: clip for row, clip in generate_rows_in_processes(mixed, RUNTIME, 2)}
    assert str(results[2]) == "its worker died 2 times" and isinstance(results[2], GenerationError)
    assert results[1].duration == results[3].duration == 0.5


class Deadly:
    """A request that kills the process that receives it."""

    def __init__(self, request):
        self.options = request.options

    def __reduce__(self):
        return os.kill, (0, 0) if os.getpid() == PARENT else (os.getpid(), 9), {}


PARENT = os.getpid()


def test_a_model_that_cannot_be_loaded_ends_the_batch(rows_file, tiny_folder, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "unet.safetensors").write_bytes(b"nothing")
    rows = rows_of(rows_file, broken)
    with pytest.raises(WeightsError, match=r"unet\.safetensors"):
        list(generate_rows_in_processes(rows, RUNTIME, 2))
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--workers", "0"), "--workers 0 is too small; choose 1 or more"),
        (("--workers", "-2"), "--workers -2 is too small"),
        (("--workers", "7"), "--workers 7 is more than the list has rows (6); choose fewer"),
        (("--workers", "2", "--ray", "local"), "--workers and --ray exclude each other"),
        (("--workers", "two"), "--workers"),
    ],
)
def test_wrong_numbers_are_one_line_before_any_work(
    rows_file, tiny_folder, tmp_path, capsys, flags, line
):
    assert main(batch_command(rows_file, tmp_path / "out", tiny_folder, *flags)) == 2
    err = capsys.readouterr().err
    assert line in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("sigint_is_not_ignored")
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_after_a_stop_the_same_command_writes_the_same_files(
    rows_file, tiny_folder, tmp_path, stop
):
    """The batch and its workers end, and a second run does what is left."""
    out = tmp_path / "out"
    rows = list(map(json.loads, rows_file.read_text().splitlines()))
    rows[-1]["steps"] = 200  # still computed when the first file is there
    rows_file.write_text("\n".join(map(json.dumps, rows)))
    words = batch_command(rows_file, out, tiny_folder, "--workers", "2")
    running = subprocess.Popen(
        [sys.executable, "-m", "latentaudio", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not files(out):
        assert running.poll() is None
        time.sleep(0.005)
    workers = children_of(running.pid)
    if stop == signal.SIGINT:  # as a terminal sends it
        os.killpg(running.pid, stop)
    else:
        os.kill(running.pid, stop)
    told = running.communicate()[1]
    assert running.returncode == (130 if stop == signal.SIGINT else -9)
    assert "Traceback" not in told and told.count("\n") == (0 if stop == signal.SIGKILL else 1)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker goes on"
        time.sleep(0.02)
    assert 0 < len(files(out)) < NUM_ROWS
    assert main(words) == 0
    assert main(batch_command(rows_file, tmp_path / "alone", tiny_folder)) == 0
    assert files(out) == files(tmp_path / "alone") and len(files(out)) == NUM_ROWS
    assert list(out.glob(".*")) == []
