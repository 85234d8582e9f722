"""Progress and results on a terminal, in a pipe and in a log file."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from latentaudio.cli import console
from latentaudio.errors import DataError


def test_progress_in_a_log_file_is_a_line_every_30_seconds(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 31.0, 31.0, 40.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.progress_bar("training", quiet=False) as tick:
        tick(1, 10, "loss 2")
        tick(5, 10, "loss 1")
        tick(6, 10)
    assert capsys.readouterr() == ("", "training: 5 of 10 loss 1\n")


def test_quiet_shows_no_progress(capsys):
    with console.progress_bar("training", quiet=True) as tick:
        tick(1, 10, "loss 2")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_the_bar_on_stderr_only(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with console.progress_bar("generating", quiet=False) as tick:
        tick(3, 10, "half-way")
        console.print_result("a result")
    out, err = capsys.readouterr()
    assert out == "a result\n"
    assert "generating" in err


def test_empty_values_of_a_record_are_left_out_but_in_json(capsys):
    console.print_record({"a": 1, "long name": "x", "none": None, "empty": ""}, as_json=False)
    assert capsys.readouterr().out == "a          1\nlong name  x\n"
    console.print_record({"a": 1, "none": None}, as_json=True)
    assert capsys.readouterr().out == '{"a": 1, "none": null}\n'


def test_letters_outside_the_encoding_are_escaped(tmp_path):
    code = (
        "from latentaudio.cli import console as c; c.escape_unencodable(); "
        "c.print_result('日本.wav'); c.print_error('日')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert result.stdout == b"\\u65e5\\u672c.wav\n"
    assert result.stderr == b"latentaudio: \\u65e5\n"


def test_results_that_cannot_be_written_are_a_data_error(monkeypatch):
    full = SimpleNamespace(
        write=lambda text: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(DataError, match="cannot print results \\(No space left"):
        console.print_result("a.wav")
    monkeypatch.setattr(sys, "stdout", None)
    console.print_result("to nobody")


def test_a_value_with_line_breaks_is_printed_on_one_line(capsys):
    console.print_record({"prompt": "rain\non a roof"}, as_json=False)
    assert capsys.readouterr().out == "prompt  rain on a roof\n"
