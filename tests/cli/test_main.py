"""The command `latentaudio`: help without torch, one line and the right exit code for every end."""

import subprocess
import sys
from pathlib import Path

import pytest

from latentaudio.cli import main as cli_main
from latentaudio.cli.main import COMMANDS, main
from latentaudio.errors import DataError

NAMES = [command.name for command in COMMANDS]
WITHOUT_JSON = ("train", "finetune", "dataset", "evaluate", "stream", "serve", "mcp")
HEAVY = {"torch", "numpy", "transformers", "pydantic", "yaml"}
"""Packages that no help needs. Together they take most of a second to import."""
WALK = """
import io, sys
from contextlib import redirect_stdout
from latentaudio.cli.main import COMMANDS, app, main

def show(words):
    with redirect_stdout(io.StringIO()):
        code = main([*words, "--help"])
    print(*words, code, *sorted(HEAVY & set(sys.modules)), sep=",")
    if words and app[words[0]].default_command is None and len(words) == 1:
        for name in app[words[0]]:
            if not name.startswith("-"):
                show([*words, name])

show([])
for command in COMMANDS:
    show([command.name])
"""


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("~/a=b.wav", "/home/me/a=b.wav"),
        ("--audio-prompt=~/a=b.wav", "/home/me/a=b.wav"),
        ("--quiet", "--quiet"),
        ("--lufs=-20", "--lufs=-20"),
        ("~", "~"),
        ("~nobody.wav", "~nobody.wav"),
        ("about ~/ten dogs", "about ~/ten dogs"),
    ],
)
def test_the_home_folder_is_read_in_every_word(monkeypatch, word, expected):
    monkeypatch.setenv("HOME", "/home/me")
    flag = "--audio-prompt=" if word.startswith("--audio") else ""
    assert cli_main._with_home(word) == flag + expected


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)


def test_help_lists_every_command_in_its_panel_and_imports_nothing_heavy():
    result = run_python(
        "import sys; from latentaudio.cli.main import main; code = main(['--help']);"
        "heavy = {'torch', 'numpy', 'transformers', 'pydantic'} & set(sys.modules);"
        "sys.exit(code or bool(heavy))"
    )
    assert result.returncode == 0, result.stderr
    panel = ""
    shown = {}
    for line in result.stdout.splitlines():
        if line.startswith("╭─"):
            panel = line.strip("╭─╮ ")
        words = line.strip("│ ").split(maxsplit=1)
        if line.startswith("│") and len(words) == 2:
            shown[words[0]] = (panel, words[1].strip())
    for command in COMMANDS:
        assert shown[command.name] == (command.panel.name, command.purpose)


def test_help_of_every_command_imports_nothing_heavy():
    result = run_python(f"HEAVY = {HEAVY}\n{WALK}")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.endswith("0")] == []
    shown = [line.split(",")[:-1] for line in lines]
    assert [words[0] for words in shown if len(words) == 1] == NAMES
    assert ["dataset", "render"] in shown


def test_importing_the_package_imports_nothing_heavy():
    result = run_python(
        f"import sys, latentaudio; print(*({HEAVY} & set(sys.modules)))\n"
        "print(len(latentaudio.list_models()), *({'torch', 'numpy'} & set(sys.modules)))"
    )
    first, second = result.stdout.split("\n")[:2]
    assert first == ""
    assert int(second) >= 13


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"latentaudio {name}" in shown
    assert "--json" in shown or name in WITHOUT_JSON


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_a_command_is_a_file_whose_function_has_its_name(command):
    assert command.module == command.name.replace("-", "_")
    assert (Path(cli_main.__file__).parent / f"{command.module}.py").is_file()


def test_help_of_generate_groups_its_flags_in_panels(capsys):
    assert main(["generate", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    panels = [line.strip("╭─╮ ") for line in lines if line.startswith("╭─")]
    assert panels == [
        "Prompt",
        "Sampling",
        "Length and post-processing",
        "Output",
        "Model and machine",
        "Expert sampling options",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        ["generat", "x"],
        ["generate", "x", "--durations", "3"],
        ["generate", "x", "--duration", "soon"],
        ["train"],
        ["info"],
        ["info", "a", "b"],
    ],
)
def test_wrong_flags_are_one_line_and_code_2(wrong, capsys):
    assert main(wrong) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("latentaudio: ")
    assert err.count("\n") == 1


def raising(error):
    def app(*args, **kwargs):
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("no folder;\n choose another"), 2, "latentaudio: no folder; choose another\n"),
        (
            ValueError("odd"),
            1,
            "latentaudio: unexpected ValueError: odd; "
            "add --debug for the traceback, and please report it\n",
        ),
        (KeyboardInterrupt(), 130, "latentaudio: stopped; finished files are complete\n"),
    ],
)
def test_every_end_has_its_exit_code_and_line(error, code, line, monkeypatch, capsys):
    monkeypatch.setattr(cli_main, "app", raising(error))
    assert main(["models"]) == code
    assert capsys.readouterr().err == line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
def test_help_that_cannot_be_printed_is_one_line():
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "latentaudio.cli.main", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (result.returncode, result.stderr) == (
        2,
        "latentaudio: no space left for the output; free some\n",
    )


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setattr(cli_main, "app", raising(ValueError("odd")))
    with pytest.raises(ValueError, match="odd"):
        main(["models", "--debug"])


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("latentaudio ")
