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
    from ..evaluate.mini.report import Report
    from ..evaluate.mini.unfinished import ReportStore
    from ..evaluate.mini.yamnet_benchmark import YAMNetBenchmark
    from ..evaluate.mini.yamnet_report import YAMNetReport
    from ..pipeline import AudioLDM

OptionalPath: TypeAlias = Path | None
Words: TypeAlias = Annotated[list[str] | None, cyclopts.Parameter(consume_multiple=True)]
CLASSIFIER = Path("benchmarks/classifier")
_ATTRIBUTE_PROMPTS = 60 / 440
"""Prompts of each attribute for a prompt of the sound classes, as in evaluate quality."""
DEFAULT_PARTS = ("stages", "diversity", "pairs")


def mini(
    model: str = "mini",
    *,
    parts: Words = None,
    recordings: OptionalPath = None,
    classifier: Path = CLASSIFIER,
    clips: int = 176,
    preset_clips: int = 88,
    quality_clips: int = 440,
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

    Recordings and renders are also measured through the codec. Needs the extra `evaluate`.

    Args:
        model: Name or folder of a model, or a run folder.
        parts: Any of stages, diversity, pairs (these three by default), presets and quality. The
            last is `evaluate quality`.
        recordings: Folder of `benchmarks/recordings.py`, such as data/recordings/test.
        classifier: Folder of the sound classifier.
        clips: Number of prompts over all sound classes: 176 are two of each.
        preset_clips: The same for each preset of the part presets.
        quality_clips: Number of prompts of the part quality; see evaluate quality.
        seeds: Number of seeds of each prompt of the part diversity.
        presets: Presets of the part presets. Default: all.
        duration: Duration of the clips in seconds.
        seed: Seed of prompts and clips.
        output: JSON file for the results. With it, a stopped command goes on.
        markdown: Page for the results, such as benchmarks/mini.md.
        device: auto, cpu, cuda or mps.
        precision: auto, bf16, fp32 or int8.
        quiet: Show no progress.
    """
    from ..config.presets import PRESETS
    from ..evaluate.mini.yamnet_benchmark import PARTS, evaluate_mini

    chosen = _choose("--parts", parts or DEFAULT_PARTS, PARTS)
    names = _choose("--presets", presets or tuple(PRESETS), tuple(PRESETS))
    _validate_target("--output", output, ".json")
    _validate_target("--markdown", markdown, ".md")
    _check_numbers(clips=clips, preset_clips=preset_clips, seeds=seeds, quality_clips=quality_clips)
    sizes = {"num_clips": clips, "num_preset_clips": preset_clips, "num_seeds": seeds}
    machine = (model, device, precision)
    with console.progress_bar("evaluate mini", quiet) as tick:
        settings = {"duration": duration, "seed": seed, **sizes}
        networks = _prepare(machine, classifier, recordings, names, tick, settings)
        report, store = _begin(*networks, model, output, quality_clips)
        evaluate_mini(networks[0], report, chosen, store)
        if "quality" in chosen and report.quality is None:
            report.quality = _quality(networks, machine, classifier, tick, quality_clips, output)
    _finish(report, output, markdown)


def _check_numbers(**numbers: int) -> None:
    """Raise UsageError for a number of clips that is too small."""
    for name, number in numbers.items():
        if number < 2:
            raise UsageError(f"--{name.replace('_', '-')} {number}: it must be 2 or more")


def _begin(
    benchmark: YAMNetBenchmark,
    system: AudioLDM,
    model: str,
    output: Path | None,
    quality_clips: int,
) -> tuple[YAMNetReport, Callable[[YAMNetReport], None]]:
    """The report of a stopped command or a new one, and the function that stores it."""
    from ..evaluate.backbones.weights import sha256_of_model
    from ..evaluate.mini.unfinished import unfinished_file
    from ..evaluate.mini.yamnet_report import YAMNetReport

    settings: dict[str, str | int] = {
        "prompts": benchmark.num_clips,
        "prompts of each preset": benchmark.num_preset_clips,
        "seeds": benchmark.num_seeds,
        "prompts of the part quality": quality_clips,
        "recordings": len(benchmark.recordings),
        "SHA-256 of the weights": sha256_of_model(system.components.source)[:16],
        **system.components.runtime_metadata,
    }
    new = YAMNetReport(model, benchmark.seed, benchmark.duration, settings)
    if output is None:
        return new, lambda report: None
    unfinished = unfinished_file(output)
    if unfinished.exists():
        stored = YAMNetReport.load(unfinished)
        if stored.identity == new.identity:
            console.print_status(f"{unfinished} is continued")
            return stored, lambda report: report.save(unfinished)
    return new, lambda report: report.save(unfinished)


def open_store(
    system: AudioLDM,
    model: str,
    output: Path | None,
    data: Path | None,
    **settings: str | int | float,
) -> ReportStore:
    """Return the report of a stopped command, or a new one.

    Args:
        system: The model that is measured.
        model: Its name, for the report.
        output: File of the report; the unfinished one lies beside it. None: it is not stored.
        data: The classifier or the recordings that are used.
        **settings: Sizes and seeds of the measurement.

    Raises:
        DataError: The unfinished report cannot be read.
    """
    from ..audio.io import software
    from ..evaluate.backbones.weights import sha256_of_model
    from ..evaluate.mini.unfinished import ReportStore, unfinished_file

    if output is None:
        return ReportStore(model)
    settings |= {
        "data": str(data),
        "program": software(),
        "SHA-256 of the weights": sha256_of_model(system.components.source),
        **system.components.runtime_metadata,
    }
    file = unfinished_file(output)
    store = ReportStore(model, settings, file)
    if store.is_continued:
        console.print_status(f"{file} is continued")
    return store


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
    machine: tuple[str, str, str],
    classifier: Path,
    recordings: Path | None,
    presets: list[str],
    tick: console.ProgressCallback,
    settings: dict[str, Any],
) -> tuple[YAMNetBenchmark, AudioLDM]:
    """Load all networks and clips."""
    from ..evaluate.mini.classifier import load_classifier
    from ..evaluate.mini.yamnet_benchmark import YAMNetBenchmark, read_recordings
    from ..evaluate.mini.yamnet_classifier import YAMNetClassifier
    from ..pipeline import load

    sounds = read_recordings(recordings) if recordings else ()
    yamnet = YAMNetClassifier()
    sound_classifier: SoundClassifier = load_classifier(classifier)
    system = load(*machine)
    benchmark = YAMNetBenchmark(
        lambda prompts, duration, seed: [
            clip.samples[0]
            for clip in system.generate(prompts, duration=duration, seed=seed, candidates=1)
        ],
        lambda samples: system.codec.play_mel(samples[None])[0],
        lambda samples: system.reconstruct(samples)[0],
        yamnet,
        sound_classifier,
        sounds,
        presets={name: _preset(system, name, settings["duration"]) for name in presets},
        progress=lambda work, done, total: tick(done, total, work),
        **settings,
    )
    return benchmark, system


def _preset(
    system: AudioLDM, name: str, clip_duration: float
) -> tuple[str, Callable[[str, int], tuple[Any, float]]]:
    """Settings of a preset, and its generator of (samples [T], seconds)."""
    preset = cast("PresetName", name)
    [request] = system.resolve_requests(["a dog"], preset=preset)
    options = request.options
    guided = f"guided from {options.guidance_start:g} to {options.guidance_stop:g}"
    settings = (
        f"{options.sampler}, {options.steps} steps, "
        f"{guided if options.guidance_scale != 1.0 else 'not guided'}, "
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
    networks: tuple[YAMNetBenchmark, AudioLDM],
    machine: tuple[str, str, str],
    classifier: Path,
    tick: console.ProgressCallback,
    num_clips: int,
    output: Path | None,
) -> Report:
    """The report of `evaluate quality`; the prompts of each attribute are in proportion."""
    from ..evaluate.mini.quality import QualityBenchmark, evaluate_quality
    from ..pipeline import load

    benchmark, system = networks
    assert benchmark.classifier is not None
    functions = model_functions(load(*machine), *machine[:2])
    quality = QualityBenchmark(
        functions[0],
        benchmark.classifier,
        num_clips=num_clips,
        prompts_per_attribute=max(1, round(num_clips * _ATTRIBUTE_PROMPTS)),
        duration=benchmark.duration,
        seed=benchmark.seed,
        progress=lambda work, done, total: tick(done, total, work),
    )
    file = None if output is None else _quality_file(output)
    settings = {"prompts": num_clips, "duration": benchmark.duration, "seed": benchmark.seed}
    store = open_store(system, machine[0], file, classifier, **settings)
    return evaluate_quality(quality, machine[0], *functions[1:], store=store)


def _quality_file(output: Path) -> Path:
    """Return the name that the report of the part quality would have alone."""
    return output.with_suffix(f".quality{output.suffix}")


def _finish(report: YAMNetReport, output: Path | None, markdown: Path | None) -> None:
    """Print the results and write the files."""
    from ..evaluate.mini.unfinished import unfinished_file

    console.print_result(str(report))
    if output is not None:
        report.save(output)
        for file in (output, _quality_file(output)):
            unfinished_file(file).unlink(missing_ok=True)
    if markdown is not None:
        report.save_markdown(markdown, shlex.join(["latentaudio", *sys.argv[1:]]))
