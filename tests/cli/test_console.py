"""Bars and lines: what a pipe, a log file and a quiet user see."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from latentaudio.cli import console
from latentaudio.errors import DataError


def test_a_log_file_gets_a_line_now_and_then(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 31.0, 31.0, 40.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.bar("training", quiet=False) as tick:
        tick(1, 10, "loss 2")
        tick(5, 10, "loss 1")
        tick(6, 10)
    assert capsys.readouterr() == ("", "training: 5 of 10 loss 1\n")


def test_quiet_is_quiet(capsys):
    with console.bar("training", quiet=True) as tick:
        tick(1, 10, "loss 2")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_a_bar_on_stderr_only(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with console.bar("generating", quiet=False) as tick:
        tick(3, 10, "half-way")
        console.say("a result")
    out, err = capsys.readouterr()
    assert out == "a result\n"
    assert "generating" in err


def test_facts_nobody_knows_are_left_out(capsys):
    console.tell({"a": 1, "long name": "x", "none": None, "empty": ""}, as_json=False)
    assert capsys.readouterr().out == "a          1\nlong name  x\n"
    console.tell({"a": 1, "none": None}, as_json=True)
    assert capsys.readouterr().out == '{"a": 1, "none": null}\n'


def test_letters_that_a_terminal_lacks_are_spelt(tmp_path):
    code = "from latentaudio.cli import screen; screen.any_letter(); screen.say('日本.wav'); screen.complain('日')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.stdout == b"\\u65e5\\u672c.wav\n"
    assert done.stderr == b"latentaudio: \\u65e5\n"


def test_results_nobody_can_take_are_one_line(monkeypatch):
    full = SimpleNamespace(
        write=lambda text: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(DataError, match="cannot print results \\(No space left"):
        console.say("a.wav")
    monkeypatch.setattr(sys, "stdout", None)
    console.say("to nobody")


def test_facts_stay_on_their_line(capsys):
    console.tell({"prompt": "rain\non a roof"}, as_json=False)
    assert capsys.readouterr().out == "prompt  rain on a roof\n"
