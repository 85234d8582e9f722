"""Results of the benchmark as Markdown tables and as a JSON file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..config.rivals import RIVALS
from ..config.stored_results import read_results
from ..fileio import atomic_write
from .end_to_end import COLUMNS, DURATION, EndToEndCost
from .process_cost import ProcessCost
from .results import (
    BASELINE,
    FULL_CLIP,
    FULL_CLIP_STEPS,
    QUALITY_STEPS,
    LatencyResults,
    RaceEntry,
    RaceResults,
)


@dataclass
class BenchmarkResults:
    """Everything that one run of `latentaudio benchmark` measured.

    Attributes:
        latency: times of stages with random weights.
        end_to_end: costs of clips of models with their own weights.
        races: races of implementations.
    """

    latency: list[LatencyResults] = field(default_factory=list)
    end_to_end: list[EndToEndCost] = field(default_factory=list)
    races: list[RaceResults] = field(default_factory=list)

    def to_markdown(self) -> str:
        """Return all tables."""
        tables = [latency_table(results) for results in self.latency]
        tables += [end_to_end_table(cost) for cost in self.end_to_end]
        tables += [race_table(results) for results in self.races]
        return "# Speed\n\n" + "\n".join(tables)

    def save(self, path: Path) -> None:
        """Write a JSON file, and the tables beside it as Markdown.

        Args:
            path: the JSON file.

        Raises:
            DataError: a file cannot be written.
        """
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        with atomic_write(path.with_suffix(".md")) as temporary:
            temporary.write_text(self.to_markdown(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> BenchmarkResults:
        """Read a JSON file that `save` wrote.

        Args:
            path: the JSON file.

        Returns:
            The results.

        Raises:
            DataError: the file does not exist or has other content.
        """
        return read_results(path, cls, "a file of `benchmark --output`")


def end_to_end_table(cost: EndToEndCost) -> str:
    """Return the costs of a clip as a Markdown table."""
    limit = f", held to {cost.instruction_set}" if cost.instruction_set else ""
    lines = [f"### {cost.model}, own weights, clip of {DURATION:g} s{limit}", ""]
    lines += [_row(COLUMNS), "|---" * len(COLUMNS) + "|"]
    lines += [_row(cells) for cells in cost.rows()]
    return "\n".join(lines) + "\n"


def latency_table(results: LatencyResults) -> str:
    """Return the times as a Markdown table: a row per stage, a column per implementation."""
    implementations = list(results.seconds)
    has_baseline = implementations[0] == BASELINE
    header = ["stage", *implementations]
    if has_baseline:
        header.append(f"speed-up over {BASELINE}")
    lines = [
        f"### {results.model}, {results.duration:g} s, batch size {results.batch_size}",
        "",
        f"{results.machine}. A guided denoising step is {results.step_gflop:.0f} GFLOP, both "
        "halves of the guidance included. Matrix products run at "
        f"{results.matmul_gflops['fp32']:.0f} GFLOP/s in float32 and "
        f"{results.matmul_gflops['bf16']:.0f} in bf16. A cell is the median of the rounds, with "
        "minimum and maximum.",
        "",
        _row(header),
        "|---" * len(header) + "|",
    ]
    for stage in _all_stages(results):
        cells = [stage]
        cells += [
            _cell(results.seconds[implementation].get(stage)) for implementation in implementations
        ]
        if has_baseline:
            cells.append(_speed_ups(results, stage, implementations[1:]))
        lines.append(_row(cells))
    lines += _notes(results)
    return "\n".join(lines) + "\n"


def race_table(results: RaceResults) -> str:
    """Return a race as a Markdown table: a row per implementation and number format."""
    limit = f", held to {results.instruction_set}" if results.instruction_set else ""
    has_clips = results.has_decoder
    columns = ["implementation", "computes with", "step", "speed-up"]
    columns += ["decoding", f"{QUALITY_STEPS} steps", f"{FULL_CLIP_STEPS} steps"] * has_clips
    columns += ["first step", "peak memory", "files", "distance"]
    reference = _reference(results)
    lines = [
        f"### {results.model}, {results.duration:g} s, race{limit}",
        "",
        f"{results.machine}. A step has both halves of guidance. A cell is the median of "
        f"{results.rounds} rounds, with minimum and maximum; speed-up is over {reference.label}. "
        "First step: from the start of a process, files in the page cache, conversion left out. "
        "Distance: of the predictions from latentaudio float32, relative.",
        "",
        _row(columns),
        "|---" * len(columns) + "|",
    ]
    for entry in results.entries:
        step = statistics.median(entry.step_s)
        speed_up = statistics.median(reference.step_s) / step
        cells = [entry.label, entry.description, _cell(entry.step_s), f"{speed_up:.2f}"]
        if has_clips:
            clips = [f"{entry.clip_s(n):.3g} s" for n in (QUALITY_STEPS, FULL_CLIP_STEPS)]
            cells += [f"{entry.decode_s:.3g} s", *clips]
        cells += [f"{entry.first_step_s:.3g} s", f"{entry.peak_rss_gb:.2f} GB"]
        cells += [f"{entry.file_gb:.2f} GB"]
        cells.append("" if entry.distance is None else f"{entry.distance:.1e}")
        lines.append(_row(cells))
    if has_clips:
        lines.append(
            "\nDecoding was timed once. Clips are calculated: so many guided steps, and decoding, "
            "without encoding of text."
        )
    lines += _limits(results)
    return "\n".join(lines) + "\n"


def _reference(results: RaceResults) -> RaceEntry:
    """The row that others are compared with: diffusers, or else our float32."""
    for entry in results.entries:
        if entry.label.split()[0] == BASELINE:
            return entry
    return results.entries[0]


def _limits(results: RaceResults) -> list[str]:
    """How each implementation obeys the instruction set, as lines below the table."""
    if not results.instruction_set:
        return []
    names = dict.fromkeys(entry.label.split()[0] for entry in results.entries)
    return [f"\nHeld to {results.instruction_set}: {_holds(names)}."]


def _holds(names: Iterable[str]) -> str:
    return "; ".join(f"{name} {RIVALS[name].holds}" for name in names)


def _all_stages(results: LatencyResults) -> list[str]:
    """Stages of all implementations, without repetition."""
    stages: dict[str, None] = {}
    for seconds in results.seconds.values():
        stages.update(dict.fromkeys(seconds))
    return list(stages)


def _notes(results: LatencyResults) -> list[str]:
    """Lines below the table."""
    lines = []
    for preset, cost in results.cold_start.items():
        lines.append(f"\nCold start, preset {preset}: {_start(cost)}.")
        if preset in results.second_start:
            again = _start(results.second_start[preset])
            size = results.kept_bytes / 1e9
            lines.append(f"\nThe same command again, with {size:.2f} GB kept: {again}.")
    for precision, matmul_gflops in results.matmul_gflops.items():
        step_seconds = results.median(f"latentaudio {precision}", "denoising step")
        fraction = results.step_gflop / step_seconds / matmul_gflops
        lines.append(
            f"\nA denoising step in {precision} reaches {fraction:.0%} "
            "of the speed of matrix products."
        )
    return lines


def _start(cost: ProcessCost) -> str:
    """Time and memory of a cold start."""
    text = f"{cost.seconds:.3g} s to the file"
    if cost.first_step_s is not None:
        text += f", {cost.first_step_s:.3g} s to the first step"
    return f"{text}, peak RSS {cost.peak_rss_gb:.2f} GB"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(seconds: list[float] | None) -> str:
    if not seconds:
        return ""
    return f"{statistics.median(seconds):.3g} s ({min(seconds):.3g} to {max(seconds):.3g})"


def _speed_ups(results: LatencyResults, stage: str, implementations: Sequence[str]) -> str:
    """Speed-up of each implementation; a preset is compared with 200 steps of the baseline."""
    baseline_stage = stage if stage in results.seconds[BASELINE] else FULL_CLIP
    baseline_seconds = results.median(BASELINE, baseline_stage)
    cells = []
    for implementation in implementations:
        if stage in results.seconds[implementation]:
            speed_up = baseline_seconds / results.median(implementation, stage)
            cells.append(f"{speed_up:.2f}" if speed_up < 10 else f"{speed_up:.0f}")
    return ", ".join(cells)
