"""The front door: help without torch, one line and the right code for every ending."""

import subprocess
import sys
from pathlib import Path

import pytest

from latentaudio.cli import main as door
from latentaudio.cli.main import VERBS, main
from latentaudio.errors import DataError


def test_help_names_every_verb_and_imports_no_torch():
    code = (
        "import sys; from latentaudio.cli.main import main; code = main(['--help']);"
        "heavy = {'torch', 'numpy', 'transformers', 'pydantic'} & set(sys.modules); sys.exit(code or bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(
        verb in done.stdout and purpose[:20] in done.stdout for verb, purpose in VERBS.items()
    )


def test_help_of_a_verb_imports_no_torch():
    code = "import sys; from latentaudio.cli.main import main; main(['generate', '--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--guidance" in done.stdout


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "bench"])
def test_every_verb_explains_itself(verb, capsys):
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"latentaudio {verb}" in shown
    assert "--json" in shown or verb in ("train", "corpus")


@pytest.mark.parametrize(
    "wrong",
    [
        ["generat", "x"], ["generate", "x", "--second", "3"], ["generate", "x", "--seconds", "soon"],
        ["train"], ["info"], ["info", "a", "b"],
    ],
)  # fmt: skip
def test_wrong_flags_are_one_line_and_code_2(wrong, capsys):
    assert main(wrong) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("latentaudio: ")
    assert err.count("\n") == 1


def raising(problem):
    def app(*args, **kwargs):
        raise problem

    return app


@pytest.mark.parametrize(
    ("problem", "code", "line"),
    [
        (DataError("no folder;\n choose another"), 2, "latentaudio: no folder; choose another\n"),
        (
            ValueError("odd"),
            1,
            "latentaudio: unexpected ValueError: odd; add --debug to see where, and please report it\n",
        ),
        (KeyboardInterrupt(), 130, "latentaudio: stopped; nothing is half-written\n"),
    ],
)
def test_every_ending_has_its_code_and_line(problem, code, line, monkeypatch, capsys):
    monkeypatch.setattr(door, "app", raising(problem))
    assert main(["models"]) == code
    assert capsys.readouterr().err == line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
def test_help_that_cannot_be_printed_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "latentaudio.cli.main", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (
        2,
        "latentaudio: no space left for what is printed; free some\n",
    )


def test_debug_lets_the_traceback_through(monkeypatch):
    monkeypatch.setattr(door, "app", raising(ValueError("odd")))
    with pytest.raises(ValueError, match="odd"):
        main(["models", "--debug"])


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("latentaudio ")
