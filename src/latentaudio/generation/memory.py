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

from ..config.architecture import ModelConfig
from ..config.options import Options
from ..errors import GenerationError
from ..loaders.component_store import SOUND, Parts
from ..loaders.model_folder import blank, parts_of

Made = TypeVar("Made")

_PROCESS, _KERNELS = (
    0.3,
    0.25,
)  # GB: Python and its libraries; what oneDNN makes itself for the shapes that it meets
_PLANES = 12  # of the VAE's widest plane, in memory at once when it or the vocoder works
_CUT = "ask for bf16, one candidate, a shorter clip, or a smaller model"


@dataclass(frozen=True)
class Need:
    """Gigabytes (10^9) that a process takes for a request at its fullest, about, and those it may have, which are free or its
    own already; None where nobody tells."""

    gigabytes: float
    free: float | None

    @property
    def fits(self) -> bool:
        """Whether it will do, as far as is known."""
        return self.free is None or self.gigabytes <= self.free

    def __str__(self) -> str:
        free = "" if self.free is None else f"; {self.free:.1f} GB are there for it"
        return f"this takes about {self.gigabytes:.1f} GB of memory{free}" + (
            "" if self.fits else f": {_CUT}"
        )


def need(parts: Parts, request: Options, window: int, batch: int = 1) -> Need:
    """What a complete request takes with these parts, whose windows are `window` mel frames long.

    Weights count once: those that are used as they are stored are mapped, and the system may drop and read them again. Within
    a third of what was measured (benchmarks/memory.md); on another device than the CPU, of that device's memory.
    """
    config, cpu = parts.found.config, parts.device.type == "cpu"
    bytes_of = {
        name: numbers_of(name, config) * parts.type_of(name).itemsize / 1e9
        for name in parts_of(config)
    }
    unused = {"unet" if request.sampler == "leaps" else "student"}
    heard = any(cue.by == "loa" for cue in request.cues) or (
        request.edit is not None and request.edit.context
    )
    unused |= set() if heard else {"audiomae"}
    texts = [size for name, size in bytes_of.items() if name not in SOUND and name not in unused]
    sounds = sum(size for name, size in bytes_of.items() if name in SOUND and name not in unused)
    ranking = bytes_of.get("clap", 0.0) if request.candidates > 1 else 0.0
    plane = (
        min(window, request.seconds * config.mel.rate / config.mel.hop)
        * config.mel.bins
        * config.vae.channels
    )
    batch = min(batch, request.count * request.candidates)
    working = batch * _PLANES * plane * parts.type_of("vae").itemsize / 1e9
    reading, making = (
        max(texts, default=0.0) if parts.lean else sum(texts),
        sounds + ranking + working,
    )
    most = max(reading, making) if parts.lean else reading + sounds + working
    whole = (
        3 * 4 * batch * request.seconds * config.mel.rate / 1e9
    )  # samples, and mels of a fraction of them
    return Need(most + whole + (_PROCESS + _KERNELS if cpu else 0.0), free(parts.device))


@cache
def numbers_of(part: str, config: ModelConfig) -> int:
    """How many numbers a part of a system of this shape has."""
    return sum(weight.numel() for weight in blank(part, config).parameters())


def free(device: torch.device) -> float | None:
    """Gigabytes that this process may have: those that are free and those it holds; None where the system does not tell."""
    if device.type == "cuda":
        return (torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)) / 1e9
    available, held = (
        _kilobytes("/proc/meminfo", "MemAvailable:"),
        _kilobytes("/proc/self/status", "RssAnon:"),
    )
    if device.type != "cpu" or available is None or held is None:
        return None
    return min(available / 1e6, _left_of_limit(Path("/sys/fs/cgroup"))) + held / 1e6


def _kilobytes(file: str, name: str) -> int | None:
    """A line's number in a file of Linux; None where there is no such."""
    try:
        return next(
            (
                int(line.split()[1])
                for line in Path(file).read_text().splitlines()
                if line.startswith(name)
            ),
            None,
        )
    except OSError:
        return None


def _left_of_limit(group: Path) -> float:
    """Gigabytes that a container's limit (cgroup 2) leaves, cached files not counted; infinite where there is none."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return max(0.0, (limit - used + int(stat.get("file", 0)) - int(stat.get("shmem", 0))) / 1e9)
    except (OSError, ValueError):  # no such files, or "max"
        return float("inf")


def within(made: Iterator[Made]) -> Iterator[Made]:
    """The same; GenerationError where memory does not suffice."""
    try:
        yield from made
    except (MemoryError, RuntimeError) as problem:
        if not isinstance(
            problem, MemoryError | torch.OutOfMemoryError
        ) and "allocate memory" not in str(problem):
            raise
        raise GenerationError(f"memory does not suffice; {_CUT}") from None
