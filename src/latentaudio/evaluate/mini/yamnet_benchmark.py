"""The benchmark of mini with YAMNet: recordings, renders and generated clips.

Recordings and renders are measured as they are, through the vocoder alone, and through VAE and
vocoder. So the table tells which part of the model loses what.

Letters: N clips, T samples, E size of an embedding.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from procedural_audio.registry import get_classes, get_registry

from ...audio.io import read
from ...errors import DataError, GenerationError, UsageError
from ..metrics.frechet import frechet_distance
from .classifier import Predictions, SoundClassifier
from .codec_faults import NOISE_CLASSES, hop_repetition, rise_db
from .determinism import Generate
from .levels import measure_levels
from .prompts import RATE, EvalPrompt, class_prompts, render_class
from .quality import is_correct
from .word_pairs import WORD_PAIRS, WordPair
from .yamnet_classifier import Recognition, YAMNetClassifier
from .yamnet_report import Diversity, PairScore, StageScore, YAMNetReport

Clip = NDArray[np.float32]
Clips = Sequence[tuple[str, Clip]]
"""Sound class and samples [T] at 16 kHz of each."""
Process = Callable[[Clip], Clip]
"""Samples [T] -> samples [T]."""
Progress = Callable[[str, int, int], None]

PARTS = ("quality", "stages", "diversity", "pairs", "presets")
"""Parts of the benchmark; the first is that of `evaluate quality`."""
SYNTHESIZER = "Synthesizer"
SYNTHESIZER_CLASSES = ("synth lead", "synth pad", "organ", "accordion", "bass guitar")
"""Sound classes that may be called synthesizer."""
DIVERSITY_PROMPTS = {
    "dog": "a dog barking", "rain": "rain", "bell": "a bell", "piano": "a piano",
    "footsteps": "footsteps", "male speech": "a man speaking", "engine": "an engine",
    "explosion": "an explosion",
}  # fmt: skip
_NUM_AXES = 64
_OTHER_SEED = 1_000_000  # of the renders that all others are compared with
_DIVERSITY_SEED = 2_000_000
_PAIR_SEED = 3_000_000
_LEVEL_SEED = 4_000_000
_SEEDS_PER_PAIR = 2


@dataclass(frozen=True)
class YAMNetBenchmark:
    """A model under test and the size of the test.

    Attributes:
        generate: the model with its default preset.
        play_mel: a clip through the vocoder alone.
        reconstruct: a clip through VAE and vocoder.
        yamnet: the network that was trained on recordings.
        classifier: the network that was trained on renders; None leaves its columns out.
        recordings: (sound class, samples at 16 kHz) of recordings.
        num_clips: prompts over all sound classes.
        num_preset_clips: the same, for each preset.
        num_seeds: clips of one prompt, for the diversity.
        duration: of generated clips, in seconds.
        seed: of prompts and clips.
        presets: name -> (settings, the model with this preset), for the part "presets".
        progress: called with (work, number done, total).
    """

    generate: Generate
    play_mel: Process
    reconstruct: Process
    yamnet: YAMNetClassifier
    classifier: SoundClassifier | None = None
    recordings: Clips = ()
    num_clips: int = 176
    num_preset_clips: int = 88
    num_seeds: int = 8
    duration: float = 5.12
    seed: int = 0
    presets: dict[str, tuple[str, Callable[[str, int], tuple[Clip, float]]]] = field(
        default_factory=dict
    )
    progress: Progress = lambda work, done, total: None


@dataclass(frozen=True)
class _Reference:
    """Clips that others are compared with.

    Attributes:
        patches: YAMNet's embeddings of all patches, [P, E].
        predictions: of the classifier; None without.
        halves: Fréchet distance of two halves in the classifier's embedding.
    """

    patches: NDArray[np.float64]
    predictions: Predictions | None = None
    halves: float = 1.0


def evaluate_mini(
    benchmark: YAMNetBenchmark,
    report: YAMNetReport,
    parts: Sequence[str],
    store: Callable[[YAMNetReport], None] = lambda report: None,
) -> YAMNetReport:
    """Measure with YAMNet what a report lacks.

    Args:
        benchmark: the model under test and the size of the test.
        report: results that exist, which are kept; new ones are added.
        parts: of `PARTS`; the part "quality" belongs to `evaluate_quality`.
        store: called with the report whenever a piece of it is finished.

    Returns:
        The report.

    Raises:
        UsageError: Too few clips or seeds.
    """
    if min(benchmark.num_clips, benchmark.num_preset_clips, benchmark.num_seeds) < 2:
        raise UsageError("a set needs two clips or more; raise --clips or --seeds")
    if "stages" in parts:
        _measure_stages(benchmark, report, store)
    if "presets" in parts:
        _measure_presets(benchmark, report, store)
    if "diversity" in parts and not report.diversity:
        report.diversity += [_measure_diversity(benchmark, *row) for row in _diversity_rows()]
        store(report)
    for pair in WORD_PAIRS if "pairs" in parts else ():
        if pair.name not in {each.words for each in report.pairs}:
            report.pairs.append(_measure_pair(benchmark, pair))
            store(report)
    return report


def _measure_stages(
    benchmark: YAMNetBenchmark, report: YAMNetReport, store: Callable[[YAMNetReport], None]
) -> None:
    """Recordings, renders and generated clips."""
    finished = {each.stage for each in report.stages}
    if "recordings" not in finished and benchmark.recordings:
        report.stages += _measure_recordings(benchmark)
        store(report)
    if "generated" in finished:
        return
    prompts = _make_prompts(benchmark, benchmark.num_clips)
    reference = _measure_reference(benchmark, prompts, benchmark.num_clips)
    if "renders" not in finished:
        report.stages += _measure_renders(benchmark, prompts, reference)
        store(report)
    clips = _generate_all(benchmark, "generated", prompts)
    report.stages.append(_score(benchmark, "generated", clips, reference))
    report.levels = measure_levels(
        clips, lambda prompt, seed: _generate(benchmark, prompt, _LEVEL_SEED + seed)
    )
    store(report)


def _measure_presets(
    benchmark: YAMNetBenchmark, report: YAMNetReport, store: Callable[[YAMNetReport], None]
) -> None:
    """Clips of each preset."""
    finished = {each.stage for each in report.presets}
    names = [name for name in benchmark.presets if name not in finished]
    if not names:
        return
    prompts = _make_prompts(benchmark, benchmark.num_preset_clips)
    reference = _measure_reference(benchmark, prompts, benchmark.num_preset_clips)
    for name in names:
        report.presets.append(_measure_preset(benchmark, name, prompts, reference))
        store(report)


def _make_prompts(benchmark: YAMNetBenchmark, count: int, seed: int = 0) -> list[EvalPrompt]:
    """Prompts of the classes that have labels; others cannot be recognized."""
    prompts = class_prompts(count, benchmark.seed + seed, benchmark.duration)
    return [each for each in prompts if each.class_names[0] in benchmark.yamnet.labels]


def read_recordings(folder: Path) -> list[tuple[str, Clip]]:
    """Return the labeled recordings of a folder of `benchmarks/recordings.py`.

    Args:
        folder: with `metadata.jsonl`, whose rows have `file_name` and `kinds`.

    Raises:
        DataError: It is no such folder, or a file cannot be read.
    """
    from ...config.parsing import parse_json, read_bounded

    table = folder / "metadata.jsonl"
    recordings = []
    try:
        for line in read_bounded(table).splitlines():
            row = parse_json(line)
            if row.get("kinds"):
                samples, _ = read(folder / row["file_name"], RATE)
                recordings.append((str(row["kinds"][0]), samples[0]))
    except OSError as error:
        raise DataError(f"cannot read {table} ({error.strerror or error}); see --help") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{table} is no table of recordings ({error!r:.80})") from None
    if not recordings:
        raise DataError(f"{table} has no row with kinds; run benchmarks/recordings.py")
    return recordings


def projected_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the Fréchet distance of points [N, E] on the principal axes of the second ones.

    A full covariance would need more patches than dimensions. Few clips do not have them.
    """
    mean = second.mean(axis=0)
    axes = np.linalg.svd(second - mean, full_matrices=False)[2][:_NUM_AXES].T
    return frechet_distance((first - mean) @ axes, (second - mean) @ axes)


def _measure_reference(
    benchmark: YAMNetBenchmark, prompts: Sequence[EvalPrompt], count: int
) -> _Reference:
    """As many renders of another seed."""
    others = []
    for prompt in _make_prompts(benchmark, count, _OTHER_SEED):
        others.append((prompt.class_names[0], prompt.ground_truth))
    results = _recognize_all(benchmark, "other renders", others)
    patches = np.concatenate([each.embeddings for each in results]).astype(np.float64)
    if benchmark.classifier is None:
        return _Reference(patches)
    predictions = benchmark.classifier.predict([samples for _, samples in others])
    truths = benchmark.classifier.predict([prompt.ground_truth for prompt in prompts])
    halves = frechet_distance(truths.embeddings, predictions.embeddings)
    return _Reference(patches, predictions, halves)


def _measure_recordings(benchmark: YAMNetBenchmark) -> list[StageScore]:
    """Recordings as they are, through the vocoder, and through VAE and vocoder."""
    known = [each for each in benchmark.recordings if each[0] in benchmark.yamnet.labels]
    if not known:
        return []
    results = _recognize_all(benchmark, "recordings", known)
    untouched = _Reference(np.concatenate([each.embeddings for each in results]).astype(np.float64))
    scores = [_score(benchmark, "recordings", known, None, results)]
    for stage, process in _processes(benchmark):
        clips = [(name, process(samples)) for name, samples in known]
        scores.append(_score(benchmark, f"recordings, {stage}", clips, untouched))
    return scores


def _measure_renders(
    benchmark: YAMNetBenchmark, prompts: Sequence[EvalPrompt], reference: _Reference
) -> list[StageScore]:
    """Renders as they are, through the vocoder, and through VAE and vocoder."""
    renders = [(prompt.class_names[0], prompt.ground_truth) for prompt in prompts]
    scores = [_score(benchmark, "renders", renders, reference)]
    for stage, process in _processes(benchmark):
        clips = [(name, process(samples)) for name, samples in renders]
        scores.append(_score(benchmark, f"renders, {stage}", clips, reference))
    return scores


def _processes(benchmark: YAMNetBenchmark) -> tuple[tuple[str, Process], ...]:
    return ("vocoder", benchmark.play_mel), ("VAE and vocoder", benchmark.reconstruct)


def _measure_preset(
    benchmark: YAMNetBenchmark, name: str, prompts: Sequence[EvalPrompt], reference: _Reference
) -> StageScore:
    """Clips of one preset, with the median time of a clip."""
    settings, generate = benchmark.presets[name]
    clips = []
    seconds = []
    for index, prompt in enumerate(prompts):
        samples, duration = generate(prompt.prompt, benchmark.seed + index)
        clips.append((prompt.class_names[0], samples))
        seconds.append(duration)
        benchmark.progress(f"preset {name}", index + 1, len(prompts))
    score = _score(benchmark, name, clips, reference)
    values = {**vars(score), "settings": settings, "seconds": statistics.median(seconds)}
    return StageScore(**values)


def _generate_all(
    benchmark: YAMNetBenchmark, work: str, prompts: Sequence[EvalPrompt]
) -> list[tuple[str, Clip]]:
    """One clip for each prompt."""
    clips = []
    for index, prompt in enumerate(prompts):
        clips.append((prompt.class_names[0], _generate(benchmark, prompt.prompt, index)))
        benchmark.progress(work, index + 1, len(prompts))
    return clips


def _generate(benchmark: YAMNetBenchmark, prompt: str, offset: int) -> Clip:
    """One clip; silence if the model cannot deliver it."""
    try:
        [clip] = benchmark.generate([prompt], benchmark.duration, benchmark.seed + offset)
    except GenerationError:
        return np.zeros(round(benchmark.duration * RATE), np.float32)
    return np.asarray(clip, np.float32)


def _recognize_all(benchmark: YAMNetBenchmark, work: str, clips: Clips) -> list[Recognition]:
    results = []
    for name, samples in clips:
        results.append(benchmark.yamnet.recognize(samples, name))
        benchmark.progress(f"YAMNet, {work}", len(results), len(clips))
    return results


def _score(
    benchmark: YAMNetBenchmark,
    stage: str,
    clips: Clips,
    reference: _Reference | None,
    results: Sequence[Recognition] = (),
) -> StageScore:
    """All measures of the clips of a stage; YAMNet is asked if there are no results."""
    results = results or _recognize_all(benchmark, stage, clips)
    names = [name for name, _ in clips]
    others = [each for name, each in zip(names, results, strict=True)
              if name not in SYNTHESIZER_CLASSES]  # fmt: skip
    patches = np.concatenate([each.embeddings for each in results]).astype(np.float64)
    repetition = _repetition_by_class(clips)
    worst = max(repetition, key=repetition.__getitem__, default="")
    accuracy, ratio = _classify(benchmark, clips, reference)
    return StageScore(
        stage=stage,
        n=len(clips),
        top1=float(np.mean([each.is_top1 for each in results])),
        top5=float(np.mean([each.is_top5 for each in results])),
        probability=float(np.mean([each.probability for each in results])),
        synthesizer=float(np.mean([each.best == SYNTHESIZER for each in others])) if others else 0,
        hop_repetition=float(np.median(list(repetition.values()))) if repetition else None,
        worst_repetition=repetition[worst] if repetition else None,
        worst_class=worst,
        rise_db=float(np.median([rise_db(samples) for _, samples in clips])),
        frechet=None if reference is None else projected_distance(patches, reference.patches),
        num_patches=len(patches),
        num_reference_patches=0 if reference is None else len(reference.patches),
        accuracy=accuracy,
        classifier_frechet=ratio,
        top5_by_class=_top5_by_class(names, results),
    )


def _classify(
    benchmark: YAMNetBenchmark, clips: Clips, reference: _Reference | None
) -> tuple[float | None, float | None]:
    """Accuracy and relative distance of the classifier; None for clips that it does not know."""
    classifier = benchmark.classifier
    if classifier is None or reference is None or reference.predictions is None:
        return None, None
    predictions = classifier.predict([samples for _, samples in clips])
    correct = is_correct(predictions, classifier.class_names, [name for name, _ in clips])
    distance = frechet_distance(predictions.embeddings, reference.predictions.embeddings)
    return float(correct.mean()), distance / reference.halves


def _repetition_by_class(clips: Clips) -> dict[str, float]:
    """Mean repetition of every class of noise."""
    values: dict[str, list[float]] = {}
    for name, samples in clips:
        if name in NOISE_CLASSES:
            values.setdefault(name, []).append(hop_repetition(samples))
    return {name: float(np.mean(each)) for name, each in values.items()}


def _top5_by_class(names: Sequence[str], results: Sequence[Recognition]) -> dict[str, float]:
    values: dict[str, list[bool]] = {}
    for name, result in zip(names, results, strict=True):
        values.setdefault(name, []).append(result.is_top5)
    return {name: float(np.mean(each)) for name, each in values.items()}


def _diversity_rows() -> list[tuple[int, str, str]]:
    """(number, sound class, prompt), without classes that the renderer no longer has."""
    rows = []
    for number, (name, prompt) in enumerate(DIVERSITY_PROMPTS.items()):
        if name in get_registry():
            rows.append((number, name, prompt))
    return rows


def _measure_diversity(
    benchmark: YAMNetBenchmark, number: int, class_name: str, prompt: str
) -> Diversity:
    """Clips of one prompt with several seeds, and as many renders of its class."""
    [sound_class] = get_classes([class_name])
    clips = []
    renders = []
    for index in range(benchmark.num_seeds):
        offset = _DIVERSITY_SEED + number * benchmark.num_seeds + index
        clips.append(_generate(benchmark, prompt, offset))
        samples, _, _ = render_class(sound_class, benchmark.duration, benchmark.seed, offset)
        renders.append(samples)
        benchmark.progress(f"diversity, {class_name}", index + 1, benchmark.num_seeds)
    spreads = []
    for side in (clips, renders):
        means = [benchmark.yamnet.network(samples).embeddings.mean(axis=0) for samples in side]
        spreads.append(_mean_distance(means))
    return Diversity(prompt, class_name, spreads[0], spreads[1], benchmark.num_seeds)


def _mean_distance(embeddings: Sequence[NDArray[np.float32]]) -> float:
    """Mean of 1 - cosine over all pairs."""
    distances = []
    for first, second in combinations(embeddings, 2):
        norms = float(np.linalg.norm(first) * np.linalg.norm(second)) or 1.0
        distances.append(1 - float(first @ second) / norms)
    return float(np.mean(distances))


def _measure_pair(benchmark: YAMNetBenchmark, pair: WordPair) -> PairScore:
    """Pairs of clips of one seed whose prompts differ in one word."""
    differences = []
    total = len(pair.prompts) * _SEEDS_PER_PAIR
    for index in range(total):
        template = pair.prompts[index % len(pair.prompts)]
        values = []
        for word in pair.words:
            clip = _generate(benchmark, template.format(word), _PAIR_SEED + index)
            values.append(pair.measure(clip))
        differences.append(values[1] - values[0])
        benchmark.progress(pair.name, index + 1, total)
    # Silence and what does not repeat is no hit, and its difference is unknown.
    known = [each for each in differences if np.isfinite(each)]
    return PairScore(
        words=pair.name,
        hits=sum(each >= pair.least for each in known),
        n=total,
        median=float(np.median(known)) if known else 0.0,
        unit=pair.unit,
        least=pair.least,
    )
