"""Memory: what a request will need, what is free, and one line where it does not suffice.

Knows the sizes of parts and which of them are in memory together. Refuses to load any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

from .configs import ModelConfig
from .errors import GenerationError
from .options import Options
from .weights.folder import blank, parts_of
from .weights.parts import SOUND, Parts

Made = TypeVar("Made")

_PROCESS, _KERNELS = 0.3, 0.25  # GB: Python and its libraries; what oneDNN makes itself for the shapes that it meets
_PLANES = 12  # of the VAE's widest plane, in memory at once when it or the vocoder works
_CUT = "ask for shorter clips, --precision bf16, or a smaller model"


@dataclass(frozen=True)
class Need:
    """Gigabytes (10^9) that a request takes at its fullest, about, and those that are free; None where nobody tells."""

    gigabytes: float
    free: float | None

    @property
    def fits(self) -> bool:
        """Whether it will do, as far as is known."""
        return self.free is None or self.gigabytes <= self.free

    def __str__(self) -> str:
        free = "" if self.free is None else f"; {self.free:.1f} GB are free"
        return f"this takes about {self.gigabytes:.1f} GB of memory{free}" + ("" if self.fits else f": {_CUT}")


def need(parts: Parts, request: Options, window: int, batch: int = 1) -> Need:
    """What a complete request takes with these parts, whose windows are `window` mel frames long.

    Weights count once: those that are used as they are stored are mapped, and the system may drop and read them again. Within
    a third of what was measured (benchmarks/memory.md); on another device than the CPU, of that device's memory.
    """
    config, cpu = parts.found.config, parts.device.type == "cpu"
    bytes_of = {name: numbers_of(name, config) * parts.type_of(name).itemsize / 1e9 for name in parts_of(config)}
    unused = {"audiomae", "unet" if request.sampler == "leaps" else "student"}
    texts = [size for name, size in bytes_of.items() if name not in SOUND and name not in unused]
    sounds = sum(size for name, size in bytes_of.items() if name in SOUND and name not in unused)
    ranking = bytes_of.get("clap", 0.0) if request.candidates > 1 else 0.0
    weights = max(max(texts, default=0.0), sounds + ranking) if parts.lean else sum(texts) + sounds
    plane = min(window, request.seconds * config.mel.rate / config.mel.hop) * config.mel.bins * config.vae.channels
    working = batch * _PLANES * plane * parts.type_of("vae").itemsize / 1e9
    whole = 3 * 4 * batch * request.seconds * config.mel.rate / 1e9  # samples, and mels of a fraction of them
    return Need(weights + working + whole + (_PROCESS + _KERNELS if cpu else 0.0), free(parts.device))


@cache
def numbers_of(part: str, config: ModelConfig) -> int:
    """How many numbers a part of a system of this shape has."""
    return sum(weight.numel() for weight in blank(part, config).parameters())


def free(device: torch.device) -> float | None:
    """Gigabytes that a process may still take; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 1e9
    told = Path("/proc/meminfo")
    if device.type != "cpu" or not told.is_file():
        return None
    [available] = [int(line.split()[1]) / 1e6 for line in told.read_text().splitlines() if line.startswith("MemAvailable:")]
    return min(available, _left_of_limit(Path("/sys/fs/cgroup")))


def _left_of_limit(group: Path) -> float:
    """Gigabytes that a container's limit leaves, cached files not counted; infinite where there is none."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return (limit - used + int(stat.get("file", 0))) / 1e9
    except (OSError, ValueError):  # no such files, or "max"
        return float("inf")


def within(made: Iterator[Made]) -> Iterator[Made]:
    """The same; GenerationError where memory does not suffice."""
    try:
        yield from made
    except (MemoryError, RuntimeError) as problem:
        if not isinstance(problem, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(problem):
            raise
        raise GenerationError(f"memory does not suffice; {_CUT}") from None
