"""A small part of `interruptions.py`, with one seed: a few commands, each stopped once."""

import subprocess
import sys
from pathlib import Path

import pytest

CASES = ("batch:KILL:0", "download:INT:0", "stream:TERM:0")
SCRIPT = Path(__file__).with_name("interruptions.py")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it reads processes in /proc")
def test_commands_that_are_stopped_lose_nothing_and_go_on():
    command = [sys.executable, SCRIPT, "--seed", "1", "--only", *CASES]
    run = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = [line for line in run.stdout.splitlines() if line.endswith("| 0 |")]
    assert len(rows) == len(CASES), run.stdout
