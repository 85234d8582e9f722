"""Measured times of one model, by implementation and stage."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from .process_cost import ProcessCost

SHORT_CLIP_STEPS = 10
FULL_CLIP_STEPS = 200  # the default of diffusers
SHORT_CLIP = f"clip, {SHORT_CLIP_STEPS} DDIM steps"
FULL_CLIP = f"clip, {FULL_CLIP_STEPS} DDIM steps"
BASELINE = "diffusers"


@dataclass
class LatencyResults:
    """Measured times of one model.

    Attributes:
        model: name of the model.
        duration: duration of the clips in seconds.
        batch_size: clips at once.
        seconds: backend -> stage -> seconds, one value per round.
        matmul_gflops: precision -> speed of matrix products in GFLOP/s.
        step_gflop: work of a guided denoising step in GFLOP.
        cold_start: preset -> cost of the first `generate` in a new process.
        second_start: preset -> cost of the same command again, with what the first one has kept.
        kept_bytes: size of what it has kept.
        machine: processor and torch version.
    """

    model: str
    duration: float
    batch_size: int
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    matmul_gflops: dict[str, float] = field(default_factory=dict)
    step_gflop: float = 0.0
    cold_start: dict[str, ProcessCost] = field(default_factory=dict)
    second_start: dict[str, ProcessCost] = field(default_factory=dict)
    kept_bytes: int = 0
    machine: str = ""

    def median(self, backend: str, stage: str) -> float:
        """Return the median time of a stage in seconds."""
        return statistics.median(self.seconds[backend][stage])

    def add(self, backend: str, stage: str, seconds: float) -> None:
        """Add the time of one round."""
        self.seconds.setdefault(backend, {}).setdefault(stage, []).append(seconds)


def preset_stage(preset: str) -> str:
    """Return the name in the table of a clip with a preset."""
    return f"preset {preset}"
