"""A process that runs one variant of a rival, as often as its parent asks.

    python -m latentaudio.benchmark.worker NAME VARIANT FOLDER THREADS

It reads one word per line: a method of `_Worker`. It answers each with one line of JSON. So every
rival has threads and memory of its own, and the parent can give turns to all of them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..backends.base import Array
from .rivals import get_rival
from .rivals.base import Problem

_STATUS = Path("/proc/self/status")
_PEAK = "VmHWM:"  # KiB


class _Worker:
    """One loaded variant, and the words that it understands."""

    def __init__(self, name: str, variant: str, folder: Path, num_threads: int) -> None:
        self._problem = Problem.load(folder)
        self._runner = get_rival(name).load(folder, variant, num_threads)
        self._prediction = folder / f"{name}-{variant}.npy"
        self._predictions: Array | None = None

    def step(self) -> Mapping[str, Any]:
        """Run one guided denoising step."""
        start = time.perf_counter()
        predictions = self._runner.predict()
        self._problem.next_latent(predictions)
        self._predictions = predictions
        return {"seconds": time.perf_counter() - start}

    def decode(self) -> Mapping[str, Any]:
        """Decode the latent to samples."""
        start = time.perf_counter()
        self._runner.decode()
        return {"seconds": time.perf_counter() - start}

    def describe(self) -> Mapping[str, Any]:
        """Write the last predictions to a file; tell the library and the peak memory."""
        assert self._predictions is not None, "run a step first"
        np.save(self._prediction, self._predictions)
        return {
            "description": self._runner.description,
            "peak_rss_gb": _peak_rss_gb(),
            "predictions": str(self._prediction),
        }


def _peak_rss_gb() -> float:
    """Return the peak resident memory of this process in GB (10^9 bytes)."""
    if _STATUS.is_file():  # getrusage also counts the process that this one was forked from
        for line in _STATUS.read_text().splitlines():
            if line.startswith(_PEAK):
                return int(line.split()[1]) * 1024 / 1e9
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main() -> None:
    """Answer words until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print, and the answers must stay alone
    name, variant, folder, num_threads = sys.argv[1:]
    worker = _Worker(name, variant, Path(folder), int(num_threads))
    for line in sys.stdin:
        method: Callable[[], Mapping[str, Any]] = getattr(worker, line.strip())
        answers.write(json.dumps(method()) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
