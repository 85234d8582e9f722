"""`latentaudio evaluate`: folders of clips or arrays of features; comparison; mini's benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from ..errors import UsageError
from . import console
from .evaluate_flags import EvaluationFlags
from .evaluate_mini import mini, open_store
from .model_functions import model_functions

if TYPE_CHECKING:
    from ..evaluate.mini.report import Report

CLASSIFIER = Path("benchmarks/classifier")

evaluate = App(
    name="evaluate",
    help="Measure clips, or the quality of a model.",
    help_format="markdown",
)


evaluate.command(mini)


@evaluate.default
def clips(*, flags: EvaluationFlags = EvaluationFlags()) -> None:
    """Measure clips against reference clips, or the quality of a model."""
    flags.validate()
    if flags.model is not None and flags.prompts is not None and flags.generated is not None:
        _generate_clips(flags, flags.model, flags.prompts, flags.generated)
    result = flags.measure()
    if not flags.quiet:
        console.print_result(str(result))
    if flags.json is not None:
        result.save(flags.json)
    if flags.csv is not None:
        result.save_csv(flags.csv)
    if flags.html is not None:
        from ..evaluate.html_report import save_page

        save_page([result], flags.html)


@evaluate.command
def compare(first: Path, second: Path, *, json: bool = False) -> None:
    """Compare two results of the same protocol and prompts, clip by clip.

    Args:
        first: Result of `latentaudio evaluate --json`.
        second: Another one. A positive difference means that its value is greater.
        json: Print one line of JSON.
    """
    from ..evaluate.compare import compare_evaluations, table
    from ..evaluate.report import load_evaluation

    differences = compare_evaluations(load_evaluation(first), load_evaluation(second))
    if json:
        console.print_record({"differences": [each.as_dict() for each in differences]}, True)
    else:
        console.print_result(table(differences))


@evaluate.command
def page(*results: Path, output: Path = Path("evaluation.html")) -> None:
    """Write one page for several results side by side: numbers, bars by class, map, players.

    Args:
        results: Files of `latentaudio evaluate --json`, with one protocol and one reference.
        output: The page, one file that needs no network.
    """
    from ..evaluate.html_report import save_page
    from ..evaluate.report import load_evaluation

    if not results:
        raise UsageError("name files that `latentaudio evaluate --json` wrote")
    if output.suffix.lower() != ".html":
        raise UsageError(f"--output {output}: the name must end in .html")
    _validate_output(output)
    save_page([load_evaluation(path) for path in results], output)


@evaluate.command
def quality(
    model: str = "mini",
    *,
    classifier: Path = CLASSIFIER,
    clips: int = 440,
    prompts_per_attribute: int = 60,
    duration: float = 5.12,
    seed: int = 0,
    output: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "torch",
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Measure the quality of a model: accuracy of prompts, distance to ground truth, determinism.

    Args:
        model: Name or folder of a model, or a run folder.
        classifier: Folder of the sound classifier. `python recipes/mini/train_classifier.py` makes
            one.
        clips: Number of held-out prompts over all sound classes, 2 or more.
        prompts_per_attribute: Number of prompts for each attribute (pitch, rate, count, ...), 1 or
            more.
        duration: Duration of the clips in seconds.
        seed: Seed of prompts and clips.
        output: JSON file for the report.
        device: auto, cpu, cuda or mps.
        precision: auto, bf16, fp32 or int8.
        backend: torch, openvino or onnxruntime.
        json: Print the report as one line of JSON.
        quiet: Show no progress.
    """
    from ..evaluate.mini.classifier import load_classifier
    from ..evaluate.mini.quality import QualityBenchmark, evaluate_quality
    from ..pipeline import load

    _validate_output(output)
    system = load(model, device, precision, backend=backend)
    system.components.keep_networks = True
    sound_classifier = load_classifier(classifier)
    functions = model_functions(system, model, device)
    with console.progress_bar("evaluate quality", quiet) as tick:
        benchmark = QualityBenchmark(
            functions[0],
            sound_classifier,
            num_clips=clips,
            prompts_per_attribute=prompts_per_attribute,
            duration=duration,
            seed=seed,
            progress=lambda work, done, total: tick(done, total, work),
        )
        settings = {"prompts": clips, "attributes": prompts_per_attribute, "duration": duration}
        store = open_store(system, model, output, classifier, **settings, seed=seed)
        report = evaluate_quality(benchmark, model, *functions[1:], store=store)
    _show(report, output, json)
    store.remove()


@evaluate.command
def editing(
    model: str = "mini",
    *,
    classifier: Path = CLASSIFIER,
    recordings: Path | None = None,
    clips: int = 50,
    seed: int = 0,
    output: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "torch",
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Measure the quality of edits: transfer, inpainting, loops, audio prompts, long clips.

    Args:
        model: Name or folder of a model, or a run folder.
        classifier: Folder of the sound classifier. `python recipes/mini/train_classifier.py` makes
            one.
        recordings: Folder that `python benchmarks/recordings.py` wrote, such as
            `data/recordings/test`. Edits of these recordings are measured by YAMNet, instead of
            edits of renders. Needs the extra evaluate.
        clips: Number of clips per metric.
        seed: Seed of sources and clips.
        output: JSON file for the report.
        device: auto, cpu, cuda or mps.
        precision: auto, bf16, fp32 or int8.
        backend: torch, openvino or onnxruntime.
        json: Print the report as one line of JSON.
        quiet: Show no progress.
    """
    from ..evaluate.mini.classifier import load_classifier
    from ..evaluate.mini.editing import EditingBenchmark, evaluate_editing
    from ..evaluate.mini.recording_edits import RecordingEdits, evaluate_recording_edits
    from ..evaluate.mini.yamnet_benchmark import read_recordings
    from ..evaluate.mini.yamnet_classifier import YAMNetClassifier
    from ..pipeline import load

    _validate_output(output)
    sounds = None if recordings is None else read_recordings(recordings)
    system = load(model, device, precision, backend=backend)
    system.components.keep_networks = True
    with console.progress_bar("evaluate editing", quiet) as bar:

        def tick(work: str, done: int, total: int) -> None:
            bar(done, total, work)

        if sounds is None:
            sound_classifier = load_classifier(classifier)
            edits = EditingBenchmark(system, sound_classifier, clips, seed=seed, progress=tick)
            store = open_store(system, model, output, classifier, clips=clips, seed=seed)
            report = evaluate_editing(edits, model, store)
        else:
            of_recordings = RecordingEdits(system, YAMNetClassifier(), sounds, clips, seed, tick)
            store = open_store(system, model, output, recordings, clips=clips, seed=seed)
            report = evaluate_recording_edits(of_recordings, store)
    _show(report, output, json)
    store.remove()


def _generate_clips(flags: EvaluationFlags, model: str, prompts: Path, folder: Path) -> None:
    """Generate the clips of a list of prompts that the folder lacks."""
    from .batch import batch
    from .flags import DisplayFlags

    options: dict[str, Any] = {"model": model, "seed": str(flags.seed)}
    if flags.candidates is not None:
        options["candidates"] = str(flags.candidates)
    batch(prompts, folder, display=DisplayFlags(quiet=flags.quiet), **options)


def _show(report: Report, output: Path | None, as_json: bool) -> None:
    """Print a report and write it to a file."""
    if as_json:
        console.print_record(report.as_dict(), as_json=True)
    else:
        console.print_result(str(report))
    if output is not None:
        report.save(output)


def _validate_output(output: Path | None) -> None:
    """Raise UsageError if the report cannot be written there."""
    if output is None:
        return
    if output.is_dir():
        raise UsageError(f"--output {output} is a folder; name a file")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"--output {output}: the folder does not exist; create it first")
