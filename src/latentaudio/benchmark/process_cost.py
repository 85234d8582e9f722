"""Time and memory of commands: cold start to a file, peak memory, start-up of the CLI."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config.parsing import parse_json
from ..errors import DataError
from ..fileio import CACHE_VARIABLE

COMMAND = (sys.executable, "-m", "latentaudio.cli.main")
STEPS_COMMAND = (
    sys.executable,
    "-c",
    "from latentaudio.cli import console; console.PROGRESS_INTERVAL_S = 0.0; "
    "from latentaudio.__main__ import run; run()",
)
"""The program, which prints a line for each sampling step."""

# The peak memory of a child starts from that of the process that forks it. This small process
# starts the measured command, so that the caller's memory is not counted.
_LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
first_step = None
for line in child.stderr:
    if first_step is None and line.startswith(b"generating:"):
        first_step = time.perf_counter() - start
    sys.stderr.buffer.write(line)
_, status, usage = os.wait4(child.pid, 0)
seconds = time.perf_counter() - start
code = os.waitstatus_to_exitcode(status)
cost = {"seconds": seconds, "max_rss": usage.ru_maxrss, "code": code, "first_step": first_step}
print(json.dumps(cost))
"""
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage: bytes on macOS, KiB elsewhere


@dataclass(frozen=True)
class ProcessCost:
    """Cost of a command.

    Attributes:
        seconds: wall-clock time.
        peak_rss_gb: peak resident memory in GB (10^9 bytes).
        first_step_s: time to the first sampling step; None: the command prints none.
    """

    seconds: float
    peak_rss_gb: float
    first_step_s: float | None = None


def median_seconds(work: Callable[[int], object], runs: int) -> float:
    """Return the median time of `work`, after one run that is not counted.

    Args:
        work: called with the number of the run, 0 to `runs`.
        runs: number of runs that count.

    Returns:
        Seconds.
    """
    work(0)
    seconds = []
    for run in range(1, runs + 1):
        start = time.perf_counter()
        work(run)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure_command(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> ProcessCost:
    """Run a command in a process of its own and measure it.

    Args:
        command: the program and its arguments.
        environment: variables of its environment beside those of this process.

    Returns:
        Its cost.

    Raises:
        DataError: the command fails; the message has the last line of its stderr.
    """
    launched = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *command],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=True,
        env={**os.environ, **(environment or {})},
    )
    usage = parse_json(launched.stdout)
    if usage["code"]:
        lines = launched.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else "no error message"
        raise DataError(f"{' '.join(command)} failed with exit code {usage['code']}: {reason}")
    peak_rss_gb = usage["max_rss"] * _RSS_UNIT / 1e9
    return ProcessCost(usage["seconds"], peak_rss_gb, usage["first_step"])


def measure_cold_start(
    model: str,
    prompt: str,
    duration: float,
    command: Sequence[str] = STEPS_COMMAND,
    flags: Sequence[str] = (),
    cache: Path | None = None,
) -> ProcessCost:
    """Measure `generate` from the start of its process to the file on disk.

    Args:
        model: name or folder of the model.
        prompt: the prompt.
        duration: duration of the clip in seconds.
        command: the program.
        flags: further flags of `generate`.
        cache: folder of caches; None: an empty one, which is deleted.

    Returns:
        The cost of the command.

    Raises:
        DataError: the command fails or writes no file.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "clip.wav"
        arguments = [*command, "generate", prompt, "-o", str(output), "--duration", str(duration)]
        arguments += ["--seed", "0", "--model", model, *flags]
        cost = measure_command(arguments, {CACHE_VARIABLE: str(cache or Path(folder, "cache"))})
        if not output.is_file():
            raise DataError(f"{' '.join(arguments)} succeeded but wrote no file")
    return cost


def measure_cli_startup(runs: int = 5, command: Sequence[str] = COMMAND) -> float:
    """Return the median time of `--help` in seconds, with files in the page cache."""
    return median_seconds(lambda _: measure_command((*command, "--help")), runs)
