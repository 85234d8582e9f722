"""Measured times of one model, by implementation and stage."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from .process_cost import ProcessCost

SHORT_CLIP_STEPS = 10
FULL_CLIP_STEPS = 200  # the default of diffusers
QUALITY_STEPS = 25  # of the preset `quality`
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
        seconds: implementation -> stage -> seconds, one value per round.
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

    def median(self, implementation: str, stage: str) -> float:
        """Return the median time of a stage in seconds."""
        return statistics.median(self.seconds[implementation][stage])

    def add(self, implementation: str, stage: str, seconds: float) -> None:
        """Add the time of one round."""
        self.seconds.setdefault(implementation, {}).setdefault(stage, []).append(seconds)


def preset_stage(preset: str) -> str:
    """Return the name in the table of a clip with a preset."""
    return f"preset {preset}"


@dataclass
class RaceEntry:
    """One variant of an implementation.

    Attributes:
        label: name of the row.
        description: library and number format.
        first_step_s: seconds from the start of a process to the end of its first step.
        file_gb: size of the files that it reads, in GB.
        peak_rss_gb: peak resident memory of its process, in GB.
        step_s: seconds of a guided step, one value per round.
        decode_s: seconds of VAE and vocoder, measured once; None: not measured.
        distance: relative distance of its predictions from ours in float32; None: other weights.
    """

    label: str
    description: str
    first_step_s: float
    file_gb: float
    peak_rss_gb: float = 0.0
    step_s: list[float] = field(default_factory=list)
    decode_s: float | None = None
    distance: float | None = None

    def clip_s(self, num_steps: int) -> float:
        """Return the time of a clip of so many guided steps, and decoding."""
        return num_steps * statistics.median(self.step_s) + (self.decode_s or 0.0)


@dataclass
class RaceResults:
    """A race of one model on one instruction set.

    Attributes:
        model: name of the model.
        duration: duration of the clip in seconds.
        machine: processor and torch version.
        instruction_set: the set that the processes were held to; empty: none.
        rounds: number of measurements.
        has_decoder: whether decoding was measured.
        entries: rows of the table.
    """

    model: str
    duration: float
    machine: str
    instruction_set: str
    rounds: int
    has_decoder: bool
    entries: list[RaceEntry] = field(default_factory=list)
