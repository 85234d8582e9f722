"""`latentaudio benchmark`: speed and memory of models."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Parameter

from ..config.instruction_sets import InstructionSet, environment_of, held_set
from ..config.kernel_cache import KERNELS_OF_SMALL, fix_kernels, keep_kernels
from ..config.presets import PRESETS, PresetName
from ..config.registry import MODELS, get_model_spec
from ..config.rivals import OURS, RIVALS
from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    from ..benchmark.end_to_end import EndToEndCost
    from ..benchmark.report import BenchmarkResults
    from ..benchmark.results import LatencyResults, RaceResults

RivalName: TypeAlias = Literal["diffusers", "openvino", "onnxruntime", "none"]

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
    rivals: Annotated[list[RivalName] | None, _MANY] = None,
    rival_files: Path | None = None,
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
        rivals: Race these implementations and this one, each in processes of its own: a guided
            step, decoding, memory, and the time to the first step. Needs the extra `rivals`.
            Default: the stages of a clip beside diffusers, if it is installed; `none`: without it.
        rival_files: Folder that keeps the files that rivals read, up to 8 GB for each model and
            duration. Default: a temporary one.
        cold_start: Also run `generate` in new processes, twice for every preset: the second one
            uses what the first one keeps. A model of up to 7 GB is written to a temporary folder.
        device: auto, cpu or cuda.
        instruction_set: Hold torch and oneDNN to these instructions, in a process of its own.
            A table names it.
        output: JSON file for the results; the tables are written beside it as .md.
        json: Print the results as one line of JSON.
        quiet: Show no progress.
    """
    _validate(output, rounds)
    names = models or [DEFAULT_MODEL]
    timed = presets or [name for name in PRESETS if name != "paper"]
    settings = _Settings(
        timed, rounds, tuple(rivals or ()), rival_files, cold_start, device, json, quiet
    )
    if settings.is_race:
        _validate_race(names, batch_size, settings)
    if instruction_set is not None and held_set(os.environ) != instruction_set:
        lists = {"--duration": duration, "--batch-size": batch_size}
        _run_held(instruction_set, [*names, *settings.to_words(output), *_list_words(lists)])
        return
    registered = filter(MODELS.__contains__, names)
    cases = product(registered, duration or [DEFAULT_DURATION], batch_size or [1])
    results = _measure_all(names, list(cases), settings, output)
    if json:
        console.print_record(asdict(results), as_json=True)


def _measure_all(
    names: Sequence[str],
    cases: Sequence[tuple[str, float, int]],
    settings: _Settings,
    output: Path | None,
) -> BenchmarkResults:
    """Measure every case: name, duration and batch size; and clips of models with own weights."""
    from ..benchmark.report import BenchmarkResults

    # before anything is computed, as every other command does
    if any(name in MODELS and MODELS[name].is_published for name in names):
        fix_kernels()
    else:
        keep_kernels(KERNELS_OF_SMALL)
    results = BenchmarkResults()
    for name, seconds, clips in cases:
        if settings.is_race:
            results.races.append(_race(name, seconds, settings))
        else:
            results.latency.append(_measure_latency(name, seconds, clips, settings))
        if output is not None:  # after every case: an interrupted run keeps its results
            results.save(output)
    for name in [] if settings.is_race else names:
        if name not in MODELS or MODELS[name].bundled:
            results.end_to_end.append(_measure_end_to_end(name, settings))
    if output is not None:
        results.save(output)
    return results


@dataclass(frozen=True)
class _Settings:
    """Flags that are the same for all models."""

    presets: list[PresetName]
    rounds: int
    rivals: tuple[RivalName, ...]
    rival_files: Path | None
    cold_start: bool
    device: str
    json: bool
    quiet: bool

    @property
    def is_race(self) -> bool:
        """Whether implementations are raced, instead of the stages of a clip."""
        return bool(self.rivals) and self.rivals != ("none",)

    def to_words(self, output: Path | None) -> list[str]:
        """Return the flags, and the file for results, as words of a command line."""
        words = ["--presets", *self.presets, "--rounds", str(self.rounds), "--device", self.device]
        words += ["--rivals", *self.rivals] if self.rivals else []
        files = {"--rival-files": self.rival_files, "--output": output}
        for flag, path in files.items():
            words += [flag, str(path)] if path is not None else []
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


def _validate_race(
    names: Sequence[str], batch_size: Sequence[int] | None, settings: _Settings
) -> None:
    """Raise `UsageError` for flags that do not fit a race, or for missing packages."""
    from ..benchmark.rivals import check_installed

    if "none" in settings.rivals:
        raise UsageError("--rivals none stands alone; leave out none, or the other names")
    for name in settings.rivals:
        check_installed(name)
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise UsageError(
            f"--rivals races models by name, with random weights; {unknown[0]} is none of: "
            f"{', '.join(MODELS)}"
        )
    if settings.device != "cpu" or settings.cold_start or (batch_size or [1]) != [1]:
        raise UsageError(
            "--rivals races one clip on a CPU; leave out --device, --batch-size and --cold-start"
        )


def _race(name: str, duration: float, settings: _Settings) -> RaceResults:
    """Race implementations of a model with random weights, and print the table."""
    from ..benchmark.race import convert, measure_race
    from ..benchmark.report import race_table

    raced = [OURS]
    for rival in settings.rivals:
        if RIVALS[rival].needs_pipeline and not _has_pipeline(name):
            console.print_status(f"{rival} has no pipeline for {name}; it is left out")
        else:
            raced.append(rival)
    with TemporaryDirectory() as temporary:
        folder = (settings.rival_files or Path(temporary)) / f"{name}-{duration:g}s"
        with console.progress_bar(f"{name}, {duration:g} s", settings.quiet) as tick:
            convert(name, duration, raced, folder, tick)
            results = measure_race(name, duration, raced, settings.rounds, folder, tick)
    if not settings.json:
        console.print_result(race_table(results))
    return results


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
            use_baseline=settings.rivals != ("none",) and _has_baseline(name),
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
    flags = ("--device", settings.device)
    with console.progress_bar(f"{name}, own weights", settings.quiet) as tick:
        cost = measure_end_to_end(model, name, flags=flags, progress=tick)
    if not settings.json:
        console.print_result(end_to_end_table(cost))
    return cost


def _has_baseline(name: str) -> bool:
    """Whether diffusers is installed and has a pipeline for the components of a model."""
    from importlib.util import find_spec

    return _has_pipeline(name) and find_spec("diffusers") is not None


def _has_pipeline(name: str) -> bool:
    """Whether a model has the parts of the published AudioLDM 2."""
    config = get_model_spec(name).config
    has_text_path = config.translator is not None and config.t5 is not None
    return has_text_path and config.vocoder.kind == "hifigan"
