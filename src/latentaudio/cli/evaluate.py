"""`latentaudio bench`: hands a model's verbs to `evaluate.bench` and prints what it found; `bench speed`: time alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from ..config.presets import PRESETS, PresetName
from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    from ..evaluate.mini.quality import Clips, Generate
    from ..pipeline import AudioLDM


bench = App(name="bench", help="Measure a model: quality, speed, memory.")


@bench.default
def everything(
    model: str = "mini",
    *,
    judge: Path = Path("benchmarks/classifier"),
    clips: int = 440,
    asked_each: int = 60,
    seconds: float = 5.12,
    seed: int = 0,
    output: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Measure a model: quality, speed, memory.

    Parameters
    ----------
    model
        Name or folder of a model, or a run folder.
    judge
        Folder of the judge, as `python recipes/mini/judge.py` makes it.
    clips
        Held-out prompts over all kinds.
    asked_each
        Prompts for each question of signal analysis.
    seconds
        Length of the clips.
    seed
        Seed of prompts and clips.
    output
        Also write the report to this file, as JSON.
    device
        auto, cpu, cuda or mps.
    precision
        auto, bf16 or fp32.
    json
        Print one line of JSON.
    quiet
        Show no progress.
    """
    from ..evaluate.mini.classifier import load_judge
    from ..evaluate.mini.quality import Bench, run_bench
    from ..pipeline import load

    _check_file(output)
    system, ears = load(model, device, precision), load_judge(judge)
    with console.bar("bench", quiet) as tick:
        examined = Bench(
            _generate(system),
            ears,
            clips,
            asked_each,
            seconds,
            seed,
            lambda what, done, of: tick(done, of, what),
        )
        report = run_bench(
            examined, model, _resynthesise(system), system.similarity if system.config.clap else None, _together(model, device),
            flags=("--device", device, "--precision", precision),
        )  # fmt: skip
    if json:
        console.tell(report.as_dict(), as_json=True)
    else:
        console.say(str(report))
    if output is not None:
        report.save(output)


@bench.command
def speed(
    models: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    *,
    seconds: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    batch: Annotated[list[int] | None, Parameter(consume_multiple=True)] = None,
    presets: Annotated[list[PresetName] | None, Parameter(consume_multiple=True)] = None,
    rounds: int = 3,
    against: Literal["diffusers", "nobody"] = "diffusers",
    cold: bool = False,
    device: str = "cpu",
    output: Path | None = None,
    quiet: bool = False,
) -> None:
    """Time the parts of a clip and whole clips with random weights, in turn with diffusers where it is installed.

    Parameters
    ----------
    models
        Names of the table; default: audioldm2-full.
    seconds
        Lengths of the clip.
    batch
        Numbers of clips at once.
    presets
        Presets to time whole clips with.
    rounds
        Times each is measured; medians count.
    against
        diffusers, or nobody.
    cold
        Also run `generate` from the shell, for time and memory; some gigabytes are written to a temporary folder for it.
    device
        cpu or cuda, or auto.
    output
        A .json file; the tables are written beside it as .md.
    quiet
        Show no progress.
    """
    from ..benchmark.latency import from_cold, race, save, table

    if output is not None and (output.suffix != ".json" or not output.absolute().parent.is_dir()):
        raise UsageError(f"--output {output} must end in .json and lie in a folder that exists")
    if rounds < 1:
        raise UsageError(f"--rounds {rounds} is too few; give 1 or more")
    found, chosen = [], presets or list(PRESETS)[1:]
    for name, length, count in product(
        models or ["audioldm2-full"], seconds or [10.24], batch or [1]
    ):
        rival = against == "diffusers" and _has_rival(name)
        with console.bar(f"{name}, {length:g} s, batch {count}", quiet) as tick:
            found.append(race(name, length, count, chosen, rounds, rival, device, tick))
            if cold:
                from_cold(found[-1], chosen, device)
        console.say(table(found[-1]))
        if output is not None:
            save(found, output)


@bench.command
def edit(
    model: str = "mini",
    *,
    judge: Path = Path("benchmarks/classifier"),
    tries: int = 50,
    seed: int = 0,
    output: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    quiet: bool = False,
) -> None:
    """Measure what edits do: a dog made into a bell, holes filled, ends of loops that meet.

    Parameters
    ----------
    model
        Name or folder of a model, or a run folder.
    judge
        Folder of the judge, as `python recipes/mini/judge.py` makes it.
    tries
        Clips for each figure.
    seed
        Seed of renders and clips.
    output
        Also write the report to this file, as JSON.
    device
        auto, cpu, cuda or mps.
    precision
        auto, bf16 or fp32.
    quiet
        Show no progress.
    """
    from ..evaluate.mini.classifier import load_judge
    from ..evaluate.mini.editing import Edits, run_edits
    from ..pipeline import load

    _check_file(output)
    system, ears = load(model, device, precision), load_judge(judge)
    with console.bar("bench edit", quiet) as tick:
        report = run_edits(
            Edits(
                system, ears, tries, seed=seed, progress=lambda what, done, of: tick(done, of, what)
            ),
            model,
        )
    console.say(str(report))
    if output is not None:
        report.save(output)


def _check_file(output: Path | None) -> None:
    """UsageError for what cannot be a file."""
    if output is not None and (output.is_dir() or not output.absolute().parent.is_dir()):
        raise UsageError(f"--output {output} cannot be a file: name one in a folder that exists")


def _has_rival(name: str) -> bool:
    """Whether diffusers is here and has a pipeline for what a model is made of."""
    from importlib.util import find_spec

    from ..config.registry import variant

    row = variant(name).config
    has = row.translator is not None and row.t5 is not None and row.vocoder.kind == "hifigan"
    return has and find_spec("diffusers") is not None


def _generate(system: AudioLDM) -> Generate:
    def generate(prompts: list[str], seconds: float, seed: int) -> Clips:
        return [
            clip.samples[0]
            for clip in system.generate(prompts, seconds=seconds, seed=seed, candidates=1)
        ]

    return generate


def _together(model: str, device: str) -> Generate:
    from ..pipeline import load

    exact = load(model, device, "fp32")
    exact.batch = 2
    return _generate(exact)


def _resynthesise(system: AudioLDM) -> Callable[[Clips], Clips]:
    return lambda sounds: [system.resynthesise(sound)[0] for sound in sounds]
