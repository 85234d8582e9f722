"""How fast and how heavy: a warm clip, the walk from a cold shell to a file, the peak of memory, the time to `--help`.

Knows clocks and processes. Refuses to know what is generated.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError

COMMAND = (sys.executable, "-m", "latentaudio.cli.main")
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds on the wall and gigabytes (10^9) at its fullest."""

    seconds: float
    gigabytes: float


def median_seconds(work: Callable[[int], object], times: int) -> float:
    """Median of `times` runs of `work(run)`, after one that does not count."""
    work(0)
    taken = []
    for run in range(1, times + 1):
        began = time.perf_counter()
        work(run)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def cost_of(command: Sequence[str]) -> Cost:
    """Run a command to its end in a process of its own. Raises DataError with its last words if it fails."""
    with tempfile.TemporaryFile() as words:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=words, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            words.seek(0)
            last = (words.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise DataError(f"{' '.join(command)} ended with code {process.returncode}: {last}")
    return Cost(seconds, usage.ru_maxrss * _RSS_UNIT / 1e9)


def cold_clip(model: str, prompt: str, seconds: float, command: Sequence[str] = COMMAND) -> Cost:
    """From a cold shell to the file on disk."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "clip.wav"
        words = (*command, "generate", prompt, "-o", str(target), "--seconds", str(seconds), "--seed", "0", "--model", model, "--quiet")
        cost = cost_of(words)
        if not target.is_file():
            raise DataError(f"{' '.join(words)} ended well but wrote no file")
    return cost


def help_seconds(times: int = 5, command: Sequence[str] = COMMAND) -> float:
    """Median time to `--help`, once files are in the cache of the system."""
    return median_seconds(lambda _: cost_of((*command, "--help")), times)
