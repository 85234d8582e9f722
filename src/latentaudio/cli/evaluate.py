"""`latentaudio evaluate`: folders of clips or arrays of features; comparison; mini's benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    from ..evaluate.mini.determinism import Generate
    from ..evaluate.mini.quality import Clips, Reconstruct
    from ..evaluate.mini.report import Report
    from ..evaluate.report import Evaluation
    from ..pipeline import AudioLDM

CLASSIFIER = Path("benchmarks/classifier")
_MANY = Parameter(consume_multiple=True)
_OUTPUTS = {"--json": ".json", "--csv": ".csv"}

evaluate = App(
    name="evaluate",
    help="Measure clips, or the quality of a model.",
    help_format="markdown",
)


@evaluate.default
def folders(
    *,
    generated: Path | None = None,
    reference: Path | None = None,
    captions: Path | None = None,
    embeddings: tuple[Path, Path] | None = None,
    logits: tuple[Path, Path] | None = None,
    metrics: Annotated[list[str] | None, _MANY] = None,
    protocol: str = "recommended",
    backbone: Annotated[list[str] | None, _MANY] = None,
    weights: Annotated[list[str] | None, _MANY] = None,
    json: Path | None = None,
    csv: Path | None = None,
    skip_unreadable: bool = False,
    candidates: int | None = None,
    ranker: str | None = None,
    allow_same_ranker: bool = False,
    cache: Path | None = None,
    temporary_cache: bool = False,
    num_workers: int = 0,
    quiet: bool = False,
) -> None:
    """Measure clips against reference clips, or the quality of a model.

    Args:
        generated: Folder of the clips to measure. Clips are paired with those of --reference by
            their names without extension.
        reference: Folder of the clips to compare with.
        captions: File with a caption for each clip: .csv, .jsonl or .json with file names and
            captions. Default: the prompts in the tags of the files.
        embeddings: Two .npy files in place of folders: features of the generated and of the
            reference clips, one row for each clip (or window).
        logits: Two .npy files of logits, one row for each clip, for KL and the inception score.
        metrics: frechet, frechet-infinity, kad, kid, inception-score, kl, clap-score, lsd, ssim or
            psnr. A metric that is named must be possible. Default: those of the protocol that are.
        protocol: Settings of all metrics: recommended, mini or audioldm_eval.
        backbone: Networks: yamnet, clap, mini-clap, mini-audiomae or mini-classifier. Default:
            those of the protocol.
        weights: Weights of a backbone, as NAME=PATH.
        json: File for the whole result, with the values of single clips.
        csv: File for the values of single clips, one row for each clip.
        skip_unreadable: Leave out files that cannot be read, and count them in the result. Without
            it they are an error.
        candidates: Clips per prompt among which the best was taken. Default: what the tags say.
        ranker: Network that ranked the candidates, for example clap=PATH. Default: what the tags
            say.
        allow_same_ranker: Let the network that ranked candidates also rate them.
        cache: Folder that keeps features. Default: latentaudio/evaluate in the user's cache.
        temporary_cache: Keep no features after the command.
        num_workers: Threads. 0: as many as processors.
        quiet: Show no progress and no table.
    """
    from ..evaluate.protocols import get_protocol

    outputs = {"--json": json, "--csv": csv}
    for flag, path in outputs.items():
        _validate_target(flag, path)
    settings = get_protocol(protocol)
    if embeddings is not None or logits is not None:
        _refuse_with_features(
            {"--generated": generated, "--reference": reference, "--captions": captions,
             "--backbone": backbone, "--weights": weights}
        )  # fmt: skip
        result = _evaluate_features(embeddings, logits, settings, metrics)
    else:
        if generated is None:
            raise UsageError("name the folder of the clips with --generated, or see --help")
        from ..evaluate.run import Request
        from ..evaluate.statement import Statement

        request = Request(
            generated,
            settings,
            reference,
            captions,
            tuple(metrics or ()),
            tuple(backbone or ()),
            _parse_weights(weights or ()),
            skip_unreadable,
            allow_same_ranker,
            num_workers,
            Statement(candidates, ranker),
        )
        result = _evaluate_folders(request, cache, temporary_cache, quiet)
    if not quiet:
        console.print_result(str(result))
    if json is not None:
        result.save(json)
    if csv is not None:
        result.save_csv(csv)


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
        precision: auto, bf16 or fp32.
        json: Print the report as one line of JSON.
        quiet: Show no progress.
    """
    from ..evaluate.mini.classifier import load_classifier
    from ..evaluate.mini.quality import QualityBenchmark, evaluate_quality
    from ..pipeline import load

    _validate_output(output)
    system = load(model, device, precision)
    sound_classifier = load_classifier(classifier)
    with console.progress_bar("evaluate quality", quiet) as tick:
        benchmark = QualityBenchmark(
            _generate_fn(system),
            sound_classifier,
            num_clips=clips,
            prompts_per_attribute=prompts_per_attribute,
            duration=duration,
            seed=seed,
            progress=lambda work, done, total: tick(done, total, work),
        )
        report = evaluate_quality(
            benchmark,
            model,
            reconstruct=_reconstruct_fn(system),
            similarity=system.similarity if system.config.clap else None,
            generate_batched=_batched_generate_fn(model, device),
        )
    _show(report, output, json)


@evaluate.command
def editing(
    model: str = "mini",
    *,
    classifier: Path = CLASSIFIER,
    clips: int = 50,
    seed: int = 0,
    output: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Measure the quality of edits: transfer, inpainting, loops, audio prompts, long clips.

    Args:
        model: Name or folder of a model, or a run folder.
        classifier: Folder of the sound classifier. `python recipes/mini/train_classifier.py` makes
            one.
        clips: Number of clips per metric.
        seed: Seed of sources and clips.
        output: JSON file for the report.
        device: auto, cpu, cuda or mps.
        precision: auto, bf16 or fp32.
        json: Print the report as one line of JSON.
        quiet: Show no progress.
    """
    from ..evaluate.mini.classifier import load_classifier
    from ..evaluate.mini.editing import EditingBenchmark, evaluate_editing
    from ..pipeline import load

    _validate_output(output)
    system = load(model, device, precision)
    sound_classifier = load_classifier(classifier)
    with console.progress_bar("evaluate editing", quiet) as tick:
        benchmark = EditingBenchmark(
            system,
            sound_classifier,
            num_clips=clips,
            seed=seed,
            progress=lambda work, done, total: tick(done, total, work),
        )
        report = evaluate_editing(benchmark, model)
    _show(report, output, json)


def _evaluate_folders(
    request: Any, cache: Path | None, temporary_cache: bool, quiet: bool
) -> Evaluation:
    """Measure a folder with the features that are kept."""
    from ..evaluate.embeddings_cache import EmbeddingsCache, default_cache_folder
    from ..evaluate.run import evaluate_folders

    if temporary_cache and cache is not None:
        raise UsageError("--cache and --temporary-cache exclude each other; leave one of them out")
    folder = None if temporary_cache else cache or default_cache_folder()
    with (
        EmbeddingsCache(folder) as features,
        console.progress_bar("evaluate", quiet) as tick,
    ):
        return evaluate_folders(request, features, tick)


def _evaluate_features(
    embeddings: tuple[Path, Path] | None,
    logits: tuple[Path, Path] | None,
    settings: Any,
    metrics: list[str] | None,
) -> Evaluation:
    """Measure arrays of features."""
    from ..evaluate.feature_files import read_feature_sets
    from ..evaluate.run import evaluate_features

    sets = read_feature_sets(embeddings, logits)
    names = list(metrics or ())
    if not names and embeddings is not None:
        names += ["frechet", "frechet-infinity", "kad", "kid"]
    if not metrics and logits is not None:
        names += ["inception-score", "kl"]
    paths = embeddings or logits
    assert paths is not None
    return evaluate_features(*sets, settings, names, (str(paths[0]), str(paths[1])))


def _refuse_with_features(flags: dict[str, object]) -> None:
    """Raise UsageError if flags of folders are used beside features."""
    for flag, value in flags.items():
        if value is not None:
            raise UsageError(
                f"{flag} needs audio files; leave it out beside --embeddings, --logits"
            )


def _parse_weights(words: list[str] | tuple[()]) -> dict[str, Path]:
    """Paths by name of the backbone."""
    weights = {}
    for word in words:
        name, separator, path = word.partition("=")
        if not (name and separator and path):
            raise UsageError(f"--weights {word}: give NAME=PATH, for example clap=models/clap")
        weights[name] = Path(path)
    return weights


def _validate_target(flag: str, path: Path | None) -> None:
    """Raise UsageError if a result cannot be written there."""
    if path is None:
        return
    suffix = _OUTPUTS[flag]
    if path.suffix.lower() != suffix:
        raise UsageError(f"{flag} {path}: the name must end in {suffix}")
    if path.is_dir():
        raise UsageError(f"{flag} {path} is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{flag} {path}: the folder does not exist; create it first")


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


def _generate_fn(system: AudioLDM) -> Generate:
    """One clip per prompt, without candidates."""

    def generate(prompts: list[str], duration: float, seed: int) -> Clips:
        clips = system.generate(prompts, duration=duration, seed=seed, candidates=1)
        return [clip.samples[0] for clip in clips]

    return generate


def _batched_generate_fn(model: str, device: str) -> Generate:
    """As `_generate_fn`, in float32 and with two prompts in one batch."""
    from ..pipeline import load

    system = load(model, device, "fp32")
    system.batch_size = 2
    return _generate_fn(system)


def _reconstruct_fn(system: AudioLDM) -> Reconstruct:
    """Clips through VAE and vocoder."""

    def reconstruct(clips: Clips) -> Clips:
        return [system.reconstruct(clip)[0] for clip in clips]

    return reconstruct
