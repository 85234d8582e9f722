"""`latentaudio bench`: hands a model's verbs to `evaluate.bench` and prints what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from . import screen

if TYPE_CHECKING:
    from ..evaluate.bench import Clips, Generate
    from ..pipeline import AudioLDM


def bench(
    model: str = "mini",
    *,
    judge: Path = Path("benchmarks/judge"),
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
    from ..evaluate.bench import Bench, run_bench
    from ..evaluate.judge import load_judge
    from ..pipeline import load

    if output is not None and (output.is_dir() or not output.absolute().parent.is_dir()):
        raise UsageError(f"--output {output} cannot be a file: name one in a folder that exists")
    system, ears = load(model, device, precision), load_judge(judge)
    with screen.bar("bench", quiet) as tick:
        examined = Bench(_generate(system), ears, clips, asked_each, seconds, seed, lambda what, done, of: tick(done, of, what))
        report = run_bench(
            examined, model, _resynthesise(system), system.similarity if system.config.clap else None, _together(model, device),
            flags=("--device", device, "--precision", precision),
        )  # fmt: skip
    if json:
        screen.tell(report.as_dict(), as_json=True)
    else:
        screen.say(str(report))
    if output is not None:
        report.save(output)


def _generate(system: AudioLDM) -> Generate:
    def generate(prompts: list[str], seconds: float, seed: int) -> Clips:
        return [clip.samples[0] for clip in system.generate(prompts, seconds=seconds, seed=seed, candidates=1)]

    return generate


def _together(model: str, device: str) -> Generate:
    from ..pipeline import load

    exact = load(model, device, "fp32")
    exact.batch = 2
    return _generate(exact)


def _resynthesise(system: AudioLDM) -> Callable[[Clips], Clips]:
    return lambda sounds: [system.resynthesise(sound)[0] for sound in sounds]
