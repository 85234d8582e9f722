"""The quality benchmark: accuracy of prompts, distance to ground truth, determinism.

The sound classifier and the signal analysis do not use the model that they measure. Every metric is
also computed on ground truth, which gives its ceiling. One clip per prompt is generated; nothing is
selected among candidates.

Letters: N clips, T samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from procedural_audio.captions.ood_prompts import (
    has_novel_wording,
    ood_prompts,
    second_ood_prompts,
)
from procedural_audio.registry import get_classes, get_registry

from ...errors import ConfigError, GenerationError
from ..metrics.frechet import frechet_distance
from . import signal_analysis
from .attributes import ATTRIBUTE_CHECKS, AttributeCheck
from .classifier import Predictions, SoundClassifier
from .determinism import Generate, measure_determinism
from .prompts import RATE, EvalPrompt, attribute_prompts, class_prompts, order_prompts, render_class
from .report import Metric, Report
from .unfinished import ReportStore

Clips = list[np.ndarray]
Reconstruct = Callable[[Clips], Clips]
"""Clips [T] -> the same clips through VAE and vocoder."""
Similarity = Callable[[Clips, list[str]], np.ndarray]
"""Clips and prompts -> CLAP similarities [clips, prompts]."""
Progress = Callable[[str, int, int], None]
"""(current work, number done, total)."""

_PROMPTS_PER_CALL = 8
_TEMPLATE_CLIPS = 12
_TEMPLATE_DURATION = 2.56  # s
_TEMPLATE_SEED = 9
_HALF_SEED_OFFSET = 1_000_000  # of the second half of ground truth, for the Fréchet distance

# The model makes speech-like sounds; which voice speaks is not judged.
_SPEECH_CLASSES = frozenset({"male speech", "female speech", "speech"})

# Each group of prompts has clips with seeds of its own: seed + 100,000 * group. Never renumber.
_SEED_STRIDE = 100_000
_GROUP_CLASSES = 0
_GROUP_OOD = 1
_GROUP_FIRST_ATTRIBUTE = 2
_GROUP_ORDER = 9
_GROUP_SECOND_OOD = 10


@dataclass(frozen=True)
class QualityBenchmark:
    """A model under test and the size of the test.

    Attributes:
        generate: the model.
        classifier: the sound classifier.
        num_clips: prompts over all sound classes.
        prompts_per_attribute: prompts for each attribute and for the order of events.
        duration: duration of the clips in seconds.
        seed: seed of prompts and clips.
        progress: called with (current work, number done, total).
    """

    generate: Generate
    classifier: SoundClassifier
    num_clips: int = 440
    prompts_per_attribute: int = 60
    duration: float = 5.12
    seed: int = 0
    progress: Progress = lambda work, done, total: None

    def clips(self, work: str, prompts: Sequence[str], group: int) -> Clips:
        """Generate one clip per prompt.

        A clip that the model cannot deliver (silence, not finite) counts as silence, so as wrong.

        Args:
            work: name of the work, for `progress`.
            prompts: the prompts.
            group: number of the group of prompts, which fixes the seeds.

        Returns:
            Clips [T], float32 at 16 kHz.
        """
        clips: Clips = []
        for start in range(0, len(prompts), _PROMPTS_PER_CALL):
            batch = list(prompts[start : start + _PROMPTS_PER_CALL])
            seed = self.seed + _SEED_STRIDE * group + start
            try:
                clips += self.generate(batch, self.duration, seed)
            except GenerationError:
                clips += [self._clip_or_silence(prompt, seed + k) for k, prompt in enumerate(batch)]
            self.progress(work, len(clips), len(prompts))
        return [np.asarray(clip, np.float32) for clip in clips]

    def _clip_or_silence(self, prompt: str, seed: int) -> np.ndarray:
        try:
            return self.generate([prompt], self.duration, seed)[0]
        except GenerationError:
            return np.zeros(round(self.duration * RATE), np.float32)


def evaluate_quality(
    benchmark: QualityBenchmark,
    model: str,
    reconstruct: Reconstruct | None = None,
    similarity: Similarity | None = None,
    generate_batched: Generate | None = None,
    store: ReportStore | None = None,
) -> Report:
    """Compute every quality metric of a model. Metrics whose function is None are left out.

    Args:
        benchmark: the model under test and the size of the test.
        model: name of the model, for the report.
        reconstruct: clips through VAE and vocoder.
        similarity: CLAP similarities of clips and prompts.
        generate_batched: as `benchmark.generate`, in float32 and with two prompts in one batch.
        store: the report of a stopped command, which goes on.

    Returns:
        The report.

    Raises:
        ConfigError: too few prompts, or the classifier lacks a sound class.
        DataError: the store cannot be written.
    """
    _validate(benchmark)
    store = store or ReportStore(model)
    parts: dict[str, Callable[[QualityBenchmark, Report], None]] = {
        "classes": partial(_add_classes, reconstruct=reconstruct, similarity=similarity),
        "out of distribution": partial(
            _add_out_of_distribution,
            work="out-of-distribution prompts",
            prompts=ood_prompts(),
            group=_GROUP_OOD,
        ),
        "second out of distribution": partial(
            _add_out_of_distribution,
            work="second out-of-distribution prompts",
            prompts=second_ood_prompts(),
            group=_GROUP_SECOND_OOD,
        ),
    }
    for group, check in enumerate(ATTRIBUTE_CHECKS.values(), _GROUP_FIRST_ATTRIBUTE):
        parts[check.name] = partial(_add_attribute, check=check, group=group)
    parts["order"] = _add_order
    parts["determinism"] = partial(_add_determinism, generate_batched=generate_batched)
    return store.measure(benchmark, parts)


def _add_classes(
    benchmark: QualityBenchmark,
    report: Report,
    reconstruct: Reconstruct | None,
    similarity: Similarity | None,
) -> None:
    """What is measured on one clip of each prompt over all sound classes."""
    prompts = list(class_prompts(benchmark.num_clips, benchmark.seed, benchmark.duration))
    clips = benchmark.clips("all classes", [p.prompt for p in prompts], _GROUP_CLASSES)
    _add_classifier_metrics(benchmark, report, prompts, clips, reconstruct)
    if similarity:
        _add_retrieval(benchmark, report, prompts, clips, similarity)


def _add_determinism(
    benchmark: QualityBenchmark, report: Report, generate_batched: Generate | None
) -> None:
    benchmark.progress("determinism", 0, 1)
    report.metrics += measure_determinism(
        benchmark.generate, generate_batched, benchmark.duration, benchmark.seed
    )


def is_correct(
    predictions: Predictions, class_names: Sequence[str], targets: Sequence[str]
) -> np.ndarray:
    """Return whether the most probable class of each clip is its target.

    Male and female speech count as the same class.

    Args:
        predictions: output of the classifier for N clips.
        class_names: the classes of the classifier.
        targets: the prompted class of each clip.

    Returns:
        Booleans [N].
    """
    correct = []
    for index, target in zip(predictions.best, targets, strict=True):
        predicted = class_names[index]
        both_speech = {predicted, target} <= _SPEECH_CLASSES
        correct.append(predicted == target or both_speech)
    return np.array(correct)


def class_template(class_name: str) -> np.ndarray:
    """Return typical spectral shapes of a sound class, from renders of its own."""
    sound_class = get_classes([class_name])[0]
    clips = []
    for index in range(_TEMPLATE_CLIPS):
        samples, _, _ = render_class(sound_class, _TEMPLATE_DURATION, _TEMPLATE_SEED, index)
        clips.append(samples)
    return signal_analysis.fit_template(clips, RATE)


def _validate(benchmark: QualityBenchmark) -> None:
    if benchmark.num_clips < 2:
        raise ConfigError(f"{benchmark.num_clips} clips are too few; choose 2 or more")
    if benchmark.prompts_per_attribute < 1:
        raise ConfigError(
            f"{benchmark.prompts_per_attribute} prompts per attribute are too few; choose 1 or more"
        )
    missing = [name for name in get_registry() if name not in benchmark.classifier.class_names]
    if missing:
        raise ConfigError(
            f"the sound classifier lacks the classes {', '.join(missing[:5])}; train another one: "
            "python recipes/mini/train_classifier.py --output DIR"
        )


def _add_classifier_metrics(
    benchmark: QualityBenchmark,
    report: Report,
    prompts: list[EvalPrompt],
    clips: Clips,
    reconstruct: Reconstruct | None,
) -> None:
    """Top-1 accuracy, and Fréchet distances to ground truth of other prompts."""
    classifier = benchmark.classifier
    benchmark.progress("classifying", 0, 3)
    targets = [prompt.class_names[0] for prompt in prompts]
    truths = [prompt.ground_truth for prompt in prompts]
    generated = classifier.predict(clips)
    ground_truth = classifier.predict(truths)
    # Ground truth of other prompts: the reference that neither set has seen.
    seed = benchmark.seed + _HALF_SEED_OFFSET
    others = class_prompts(benchmark.num_clips, seed, benchmark.duration)
    reference = classifier.predict([prompt.ground_truth for prompt in others])

    correct = is_correct(generated, classifier.class_names, targets)
    report.class_accuracy = _accuracy_by_class(targets, correct)
    report.confusions = _confusions(classifier, generated, targets, correct)
    worst_name, worst_accuracy = report.worst_class
    ceiling = is_correct(ground_truth, classifier.class_names, targets).mean()
    report.metrics.append(
        Metric(
            "classifier top-1 accuracy",
            float(correct.mean()),
            "%",
            len(clips),
            benchmark.seed,
            target=0.9,
            ceiling=float(ceiling),
            note=f"worst: {worst_name} {worst_accuracy:.0%}",
        )
    )

    split_half = frechet_distance(ground_truth.embeddings, reference.embeddings)
    distance = frechet_distance(generated.embeddings, reference.embeddings)
    report.metrics.append(
        Metric(
            "Fréchet distance ratio (classifier embedding)",
            distance / split_half,
            "x",
            len(clips),
            benchmark.seed,
            target=2.5,
            lower_is_better=True,
            ceiling=1.0,
            note=f"{distance:.2f} to ground truth, "
            f"{split_half:.2f} between two halves of ground truth",
        )
    )
    if reconstruct is not None:
        rebuilt = classifier.predict(reconstruct(truths))
        rebuilt_accuracy = is_correct(rebuilt, classifier.class_names, targets).mean()
        ratio = frechet_distance(rebuilt.embeddings, reference.embeddings) / split_half
        metric = _reconstruction_metric(ratio, rebuilt_accuracy, len(clips), benchmark.seed)
        report.metrics.append(metric)


def _reconstruction_metric(ratio: float, accuracy: float, n: int, seed: int) -> Metric:
    return Metric(
        "reconstruction Fréchet ratio",
        ratio,
        "x",
        n,
        seed,
        target=1.3,
        lower_is_better=True,
        ceiling=1.0,
        note=f"VAE and vocoder alone; classifier top-1 accuracy {accuracy:.1%}",
    )


def _accuracy_by_class(targets: Sequence[str], correct: np.ndarray) -> dict[str, float]:
    accuracy = {}
    for name in dict.fromkeys(targets):
        of_class = [target == name for target in targets]
        accuracy[name] = float(correct[of_class].mean())
    return accuracy


def _confusions(
    classifier: SoundClassifier,
    predictions: Predictions,
    targets: Sequence[str],
    correct: np.ndarray,
) -> list[tuple[str, str, int]]:
    """(prompted class, predicted class, number of clips), most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for target, index, is_right in zip(targets, predictions.best, correct, strict=True):
        if not is_right:
            counts[target, classifier.class_names[index]] += 1
    return [(*pair, number) for pair, number in counts.most_common()]


def _add_out_of_distribution(
    benchmark: QualityBenchmark,
    report: Report,
    work: str,
    prompts: Sequence[tuple[str, str]],
    group: int,
) -> None:
    """Prompts in wordings that the grammar never makes: pairs of a sound class and a prompt."""
    # A prompt whose class the renderer no longer has is left out.
    pairs = [(name, prompt) for name, prompt in prompts if name in get_registry()]
    targets = [name for name, _ in pairs]
    clips = benchmark.clips(work, [prompt for _, prompt in pairs], group)
    classifier = benchmark.classifier
    correct = is_correct(classifier.predict(clips), classifier.class_names, targets)
    wrong = [name for name, is_right in zip(targets, correct, strict=True) if not is_right]
    is_new = np.array([has_novel_wording(*pair) for pair in pairs])
    report.metrics.append(
        Metric(
            f"{work}, top-1",
            float(correct.mean()),
            "%",
            len(clips),
            benchmark.seed,
            target=0.85,
            note=f"{correct[is_new].mean():.0%} of the {is_new.sum()} unlike any training caption; "
            f"wrong: {', '.join(wrong) or 'none'}",
        )
    )


def _add_attribute(
    benchmark: QualityBenchmark, report: Report, check: AttributeCheck, group: int
) -> None:
    """Fraction of clips, and of ground truth, that satisfy an attribute check."""
    num_prompts = benchmark.prompts_per_attribute
    prompts = list(attribute_prompts(check, num_prompts, benchmark.seed, benchmark.duration))
    clips = benchmark.clips(check.name, [prompt.prompt for prompt in prompts], group)

    def accuracy(samples: Clips) -> float:
        satisfied = []
        for clip, prompt in zip(samples, prompts, strict=True):
            name = prompt.class_names[0]
            satisfied.append(check.is_satisfied(clip, RATE, name, prompt.annotations))
        return float(np.mean(satisfied))

    num_classes = len({prompt.class_names[0] for prompt in prompts})
    report.metrics.append(
        Metric(
            check.metric,
            accuracy(clips),
            "%",
            len(clips),
            benchmark.seed,
            target=check.target,
            ceiling=accuracy([prompt.ground_truth for prompt in prompts]),
            note=f"{num_classes} sound class" + ("es" if num_classes > 1 else ""),
        )
    )


def _add_order(benchmark: QualityBenchmark, report: Report) -> None:
    """Order of two sounds, found with spectral templates of their classes."""
    num_prompts = benchmark.prompts_per_attribute
    prompts = list(order_prompts(num_prompts, benchmark.seed, benchmark.duration))
    clips = benchmark.clips("order", [prompt.prompt for prompt in prompts], _GROUP_ORDER)
    names = {name for prompt in prompts for name in prompt.class_names}
    templates = {name: class_template(name) for name in sorted(names)}

    def accuracy(samples: Clips) -> float:
        ordered = []
        for clip, prompt in zip(samples, prompts, strict=True):
            first, second = prompt.class_names
            ordered.append(
                signal_analysis.comes_first(clip, RATE, templates[first], templates[second])
            )
        return float(np.mean(ordered))

    report.metrics.append(
        Metric(
            "event-order accuracy",
            accuracy(clips),
            "%",
            len(clips),
            benchmark.seed,
            target=0.6,
            ceiling=accuracy([prompt.ground_truth for prompt in prompts]),
        )
    )


def _add_retrieval(
    benchmark: QualityBenchmark,
    report: Report,
    prompts: list[EvalPrompt],
    clips: Clips,
    similarity: Similarity,
) -> None:
    """Whether a clip's own prompt has the highest CLAP similarity among one prompt per class."""
    size = min(len(prompts), len(get_registry()))
    texts = [prompt.prompt for prompt in prompts[:size]]

    def recall(samples: Clips) -> float:
        best = similarity(samples, texts).argmax(axis=1)
        return float((best == np.arange(size)).mean())

    report.metrics.append(
        Metric(
            "CLAP R@1",
            recall(clips[:size]),
            "%",
            size,
            benchmark.seed,
            ceiling=recall([prompt.ground_truth for prompt in prompts[:size]]),
            note=f"chance {1 / size:.1%}",
        )
    )
