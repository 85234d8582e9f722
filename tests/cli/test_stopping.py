"""A real process of the command line: signals, closed and full streams, odd environments."""

import os
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from latentaudio.cli import console
from latentaudio.cli.main import main
from latentaudio.cli.process_settings import SPIN_COUNT
from latentaudio.config.kernel_cache import BOUND_VARIABLE
from latentaudio.config.registry import ModelSpec
from latentaudio.pipeline import load

pytestmark = pytest.mark.cli


def start(*words, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "latentaudio", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


@pytest.mark.usefixtures("sigint_is_not_ignored")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_in_a_line_and_leaves_complete_files(tiny_folder, tmp_path, number, code):
    words = ["generate", "a dog", "--model", tiny_folder, "--duration", "0.5", "--steps", "9"]
    words += ["--num-waveforms", "64", "--seed", "1", "-o", f"{tmp_path}/"]
    with start(*words) as process:
        while not list(tmp_path.glob("*.wav")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=300)
    assert process.returncode == code
    assert err.splitlines()[-1] == "latentaudio: stopped; finished files are complete"
    assert "Traceback" not in err
    assert not list(tmp_path.glob(".*"))
    for path in tmp_path.glob("*.wav"):
        assert soundfile.info(path).frames == 8000


@pytest.mark.parametrize("columns", ["0", "1", "99999999", "-3", "x"])
def test_help_ends_at_every_width(columns):
    command = [sys.executable, "-m", "latentaudio", "--help"]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "COLUMNS": columns}
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "generate" in run.stdout


def test_the_exit_code_of_the_module_is_that_of_the_command():
    with start("generate", PYTHONWARNINGS="error") as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert err.count("\n") == 1


def test_control_characters_of_files_are_shown_as_escapes(capsys):
    name = "a\x1b[31mred\x9b\r.wav"
    console.print_result(name)
    console.print_error(name)
    console.print_status(name)
    console.print_record({"path": name}, as_json=False)
    console.print_record({"path": name}, as_json=True)
    assert main(["info", name]) == 2
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\x9b" not in out + err
    assert r"a\x1b[31mred\x9b\x0d.wav" in out
    assert r"\u001b[31mred\u009b\r.wav" in out


class FullStream:
    def __init__(self):
        self.num_writes = 0

    def write(self, text):
        self.num_writes += 1
        raise OSError(28, "No space left on device")

    def flush(self):
        raise OSError(28, "No space left on device")


def test_a_full_stderr_does_not_end_the_work(monkeypatch):
    stream = FullStream()
    monkeypatch.setattr(sys, "stderr", stream)
    console.print_status("a line")
    console.print_error("another")
    assert stream.num_writes == 2


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, SPIN_COUNT),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"),
    ],
)
def test_threads_do_not_wait_long_without_sleeping(own, expected):
    program = (
        "import os, sys; from latentaudio.cli.main import main; sys.argv[1:] = ['--version'];"
        "main(); print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    )
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", program]
    run = subprocess.run(
        command, capture_output=True, text=True, env={**environment, **own}, check=True
    )
    assert run.stdout.splitlines()[-1] == f"{expected} False"


@pytest.mark.parametrize(
    ("own", "model", "expected"), [(None, "big", 8), (None, "small", 64), ("16", "small", 16)]
)
def test_kernels_of_onednn_are_bounded_before_torch_is_imported(own, model, expected):
    program = (
        "import os, sys; from latentaudio.cli import main;"
        "from latentaudio.config import kernel_cache;"
        "sys.argv[1:] = ['--version'];"
        f"main.main(); {model!r} == 'small' and kernel_cache.keep_kernels(64);"
        "print(os.environ['ONEDNN_PRIMITIVE_CACHE_CAPACITY'], 'torch' in sys.modules)"
    )
    names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", BOUND_VARIABLE)
    environment = {name: value for name, value in os.environ.items() if name not in names}
    if own is not None:
        environment["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = own
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.splitlines()[-1] == f"{expected} False"


@pytest.mark.parametrize(
    ("are_published", "expected"), [([False], "64"), ([True], "8"), ([True, False], "8")]
)
def test_small_models_keep_more_kernels(are_published, expected, tiny_folder, monkeypatch):
    monkeypatch.setenv(BOUND_VARIABLE, "1")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
    for is_published in are_published:
        monkeypatch.setattr(ModelSpec, "is_published", is_published)
        load(tiny_folder, "cpu")
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == expected


@pytest.mark.usefixtures("own_handlers")
@pytest.mark.parametrize(
    ("command", "expected"), [("train", "256"), ("finetune", "256"), ("dataset encode", "64")]
)
def test_trainings_keep_the_kernels_of_a_step(command, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(BOUND_VARIABLE, "1")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
    output = ["-o", str(tmp_path / "out")]
    data = ["--data"] if command == "dataset encode" else []
    words = [*command.split(), *data, str(tmp_path), *output]
    monkeypatch.setattr("sys.argv", ["latentaudio", *words])
    assert main() != 0
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == expected


def test_benchmark_keeps_the_kernels_of_a_command(monkeypatch):
    monkeypatch.setenv(BOUND_VARIABLE, "1")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
    found = []

    def stop(*arguments):
        found.append(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"])
        raise KeyboardInterrupt

    monkeypatch.setattr("latentaudio.cli.benchmark._measure_latency", stop)
    main(["benchmark", "mini", "--quiet"])
    assert found == ["64"]
