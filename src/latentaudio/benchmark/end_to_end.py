"""Cost of a clip for a user: warm and cold latency, peak memory, start-up of the CLI.

The model has its own weights and its default settings. Targets are those of `mini` on two CPU
cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config.instruction_sets import held_set
from . import process_cost

if TYPE_CHECKING:
    from ..pipeline import AudioLDM

PROMPT = "a church bell ringing in the distance"
DURATION = 10.24  # s
NUM_RUNS = 5  # of each median
SEED = 0

TARGET_WARM_LATENCY_S = 3.0
TARGET_COLD_START_S = 10.0
TARGET_PEAK_RSS_GB = 1.2
TARGET_CLI_STARTUP_S = 0.5

COLUMNS = ("measure", "value", "target", "N", "result")


@dataclass(frozen=True)
class EndToEndCost:
    """Cost of a clip of 10.24 s.

    Attributes:
        model: name or folder of the model.
        warm_latency_s: median time of a clip in a process that has generated one before.
        cold_start_s: time from the start of the process to the file.
        peak_rss_gb: peak resident memory of that process, in GB.
        cli_startup_s: median time of `latentaudio --help`.
        instruction_set: the set that the processes were held to; empty: none.
    """

    model: str
    warm_latency_s: float
    cold_start_s: float
    peak_rss_gb: float
    cli_startup_s: float
    instruction_set: str = ""

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row of text per measure, with the columns of `COLUMNS`."""
        return [
            _row("latency (warm)", self.warm_latency_s, "s", TARGET_WARM_LATENCY_S, NUM_RUNS),
            _row("latency (cold start)", self.cold_start_s, "s", TARGET_COLD_START_S, 1),
            _row("peak RSS", self.peak_rss_gb, "GB", TARGET_PEAK_RSS_GB, 1),
            _row("CLI start-up", self.cli_startup_s, "s", TARGET_CLI_STARTUP_S, NUM_RUNS),
        ]


def measure_end_to_end(
    model: AudioLDM,
    name: str,
    command: Sequence[str] = process_cost.COMMAND,
    flags: Sequence[str] = (),
    progress: Callable[[int, int, str], None] = lambda done, total, work: None,
) -> EndToEndCost:
    """Measure a model with its own weights.

    Args:
        model: the loaded model, for the warm latency.
        name: its name or folder, for the command.
        command: the program, for the cold start.
        flags: further flags of `generate`.
        progress: called with (number done, total, current work).

    Returns:
        The costs.

    Raises:
        DataError: the command fails.
    """

    def generate(run: int) -> None:
        model.generate(PROMPT, duration=DURATION, seed=SEED + run, candidates=1)

    progress(0, 3, "latency (warm)")
    warm_latency_s = process_cost.median_seconds(generate, NUM_RUNS)
    progress(1, 3, "latency (cold start)")
    cold = process_cost.measure_cold_start(name, PROMPT, DURATION, command, flags)
    progress(2, 3, "CLI start-up")
    cli_startup_s = process_cost.measure_cli_startup(NUM_RUNS, command)
    limit = held_set(os.environ)
    cold_s = cold.seconds
    return EndToEndCost(name, warm_latency_s, cold_s, cold.peak_rss_gb, cli_startup_s, limit)


def _row(measure: str, value: float, unit: str, target: float, n: int) -> tuple[str, ...]:
    result = "pass" if value <= target else "FAIL"
    return (measure, f"{value:.2f} {unit}", f"<= {target:.2f} {unit}", str(n), result)
