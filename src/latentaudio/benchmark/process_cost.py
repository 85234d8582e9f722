"""How fast and how heavy: a warm clip, the walk from a cold shell to a file, the peak of memory, the time to `--help`.

Knows clocks and processes. Refuses to know what is generated.
"""

from __future__ import annotations

import json
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
_LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "size": usage.ru_maxrss, "code": os.waitstatus_to_exitcode(status)}))
"""
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
    """Run a command to its end in a process of its own. Raises DataError with its last words if it fails.

    A thin process stands between: a child's greatest size counts from the fork on, so from the size of whoever forks it.
    """
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *command],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    told = json.loads(done.stdout)
    if told["code"]:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[
            -1
        ]
        raise DataError(f"{' '.join(command)} ended with code {told['code']}: {last}")
    return Cost(told["seconds"], told["size"] * _RSS_UNIT / 1e9)


def cold_clip(
    model: str,
    prompt: str,
    seconds: float,
    command: Sequence[str] = COMMAND,
    more: Sequence[str] = (),
) -> Cost:
    """From a cold shell to the file on disk; `more` flags for `generate`."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "clip.wav"
        flags = {"-o": target, "--seconds": seconds, "--seed": 0, "--model": model}
        words = (
            *command,
            "generate",
            prompt,
            *(str(word) for flag in flags.items() for word in flag),
            *more,
            "--quiet",
        )
        cost = cost_of(words)
        if not target.is_file():
            raise DataError(f"{' '.join(words)} ended well but wrote no file")
    return cost


def help_seconds(times: int = 5, command: Sequence[str] = COMMAND) -> float:
    """Median time to `--help`, once files are in the cache of the system."""
    return median_seconds(lambda _: cost_of((*command, "--help")), times)
