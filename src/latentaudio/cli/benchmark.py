"""`latentaudio benchmark`: speed and memory of models."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..config.instruction_sets import InstructionSet, environment_of, held_set
from ..config.presets import PRESETS, PresetName
from ..config.registry import MODELS, get_model_spec
from ..errors import UsageError
from . import console
from .process_settings import keep_more_kernels

if TYPE_CHECKING:
    from ..benchmark.end_to_end import EndToEndCost
    from ..benchmark.results import LatencyResults

DEFAULT_MODEL = "audioldm2-full"
DEFAULT_DURATION = 10.24  # s
_MANY = Parameter(consume_multiple=True)


def benchmark(
    models: Annotated[list[str] | None, _MANY] = None,
    *,
    duration: Annotated[list[float] | None, _MANY] = None,
    batch_size: Annotated[list[int] | None, _MANY] = None,
    presets: Annotated[list[PresetName] | None, _MANY] = None,
    rounds: int = 3,
    baseline: Literal["diffusers", "none"] = "diffusers",
    cold_start: bool = False,
    device: str = "cpu",
    instruction_set: InstructionSet | None = None,
    output: Path | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Measure speed and memory of models, beside diffusers if it is installed.

    The stages of a clip are timed with random weights, so nothing is downloaded. For `mini`, or a
    folder, the cost of a clip with its own weights follows, beside the targets of `mini`.

    Args:
        models: Names of models, or folders; default: audioldm2-full.
        duration: Durations of the clip in seconds; default: 10.24.
        batch_size: Numbers of clips at once; default: 1.
        presets: Presets to time full clips with; default: quality, balanced, fast and draft.
        rounds: Number of measurements of each stage; the median counts.
        baseline: Implementation to compare with.
        cold_start: Also run `generate` in new processes, twice for every preset: the second one
            uses what the first one keeps. A model of up to 7 GB is written to a temporary folder.
        device: auto, cpu or cuda.
        instruction_set: Hold torch and oneDNN to these instructions, in a process of its own.
            A table names it.
        output: JSON file for the results; the tables are written beside it as .md.
        json: Print the results as one line of JSON.
        quiet: Show no progress.
    """
    from ..benchmark.report import BenchmarkResults

    _validate(output, rounds)
    names = models or [DEFAULT_MODEL]
    timed = presets or [name for name in PRESETS if name != "paper"]
    settings = _Settings(timed, rounds, baseline != "none", cold_start, device, json, quiet)
    if instruction_set is not None and held_set(os.environ) != instruction_set:
        lists = {"--duration": duration, "--batch-size": batch_size}
        _run_held(instruction_set, [*names, *settings.to_words(output), *_list_words(lists)])
        return
    results = BenchmarkResults()
    registered = filter(MODELS.__contains__, names)
    cases = product(registered, duration or [DEFAULT_DURATION], batch_size or [1])
    for name, seconds, clips in cases:
        results.latency.append(_measure_latency(name, seconds, clips, settings))
        if output is not None:  # after every case: an interrupted run keeps its results
            results.save(output)
    for name in names:
        if name not in MODELS or MODELS[name].bundled:
            results.end_to_end.append(_measure_end_to_end(name, settings))
    if output is not None:
        results.save(output)
    if json:
        console.print_record(asdict(results), as_json=True)


@dataclass(frozen=True)
class _Settings:
    """Flags that are the same for all models."""

    presets: list[PresetName]
    rounds: int
    use_baseline: bool
    cold_start: bool
    device: str
    json: bool
    quiet: bool

    def to_words(self, output: Path | None) -> list[str]:
        """Return the flags, and the file for results, as words of a command line."""
        words = ["--presets", *self.presets, "--rounds", str(self.rounds), "--device", self.device]
        words += ["--baseline", "diffusers" if self.use_baseline else "none"]
        words += ["--output", str(output)] if output is not None else []
        switches = {"--cold-start": self.cold_start, "--json": self.json, "--quiet": self.quiet}
        return words + [flag for flag, is_set in switches.items() if is_set]


def _list_words(lists: Mapping[str, Sequence[object] | None]) -> list[str]:
    """Return flags with several values as words of a command line, without the empty ones."""
    words = []
    for flag, values in lists.items():
        words += [flag, *map(str, values)] if values else []
    return words


def _run_held(instruction_set: InstructionSet, words: list[str]) -> None:
    """Run a command line in a process that is held to an instruction set."""
    environment = {**os.environ, **environment_of(instruction_set)}
    command = [sys.executable, "-m", "latentaudio", "benchmark", *words]
    command += ["--instruction-set", instruction_set]
    code = subprocess.run(command, env=environment, check=False).returncode
    if code:  # the process has printed its error
        raise SystemExit(code)


def _validate(output: Path | None, rounds: int) -> None:
    if output is not None and (output.suffix != ".json" or not output.absolute().parent.is_dir()):
        raise UsageError(f"--output {output} must end in .json, in a folder that exists")
    if rounds < 1:
        raise UsageError(f"--rounds {rounds} is too small; choose 1 or more")


def _measure_latency(
    name: str, duration: float, batch_size: int, settings: _Settings
) -> LatencyResults:
    """Time the stages of a clip of a model with random weights, and print the table."""
    from ..benchmark.latency import add_cold_starts, measure_latency
    from ..benchmark.report import latency_table

    title = f"{name}, {duration:g} s, batch size {batch_size}"
    with console.progress_bar(title, settings.quiet) as tick:
        results = measure_latency(
            name,
            duration,
            batch_size,
            settings.presets,
            settings.rounds,
            use_baseline=settings.use_baseline and _has_baseline(name),
            device=settings.device,
            progress=tick,
        )
        if settings.cold_start:
            add_cold_starts(results, settings.presets, settings.device)
    if not settings.json:
        console.print_result(latency_table(results))
    return results


def _measure_end_to_end(name: str, settings: _Settings) -> EndToEndCost:
    """Measure a clip of a model with its own weights, and print the table."""
    from ..benchmark.end_to_end import measure_end_to_end
    from ..benchmark.report import end_to_end_table
    from ..pipeline import load

    model = load(name, settings.device)
    if not model.spec.is_published:
        keep_more_kernels()
    flags = ("--device", settings.device)
    with console.progress_bar(f"{name}, own weights", settings.quiet) as tick:
        cost = measure_end_to_end(model, name, flags=flags, progress=tick)
    if not settings.json:
        console.print_result(end_to_end_table(cost))
    return cost


def _has_baseline(name: str) -> bool:
    """Whether diffusers is installed and has a pipeline for the components of a model."""
    from importlib.util import find_spec

    config = get_model_spec(name).config
    has_text_path = config.translator is not None and config.t5 is not None
    has_pipeline = has_text_path and config.vocoder.kind == "hifigan"
    return has_pipeline and find_spec("diffusers") is not None
