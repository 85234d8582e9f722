"""The quality benchmark with toy models: ground truth scores as ground truth, noise as chance."""

import numpy as np
import pytest

from latentaudio.errors import ConfigError, GenerationError, UsageError
from latentaudio.evaluate.mini import prompts as prompts_module
from latentaudio.evaluate.mini.attributes import ATTRIBUTE_CHECKS
from latentaudio.evaluate.mini.classifier import Predictions, log_mel_of
from latentaudio.evaluate.mini.determinism import measure_determinism
from latentaudio.evaluate.mini.prompts import (
    RATE,
    attribute_prompts,
    class_prompts,
    order_prompts,
    render_class,
)
from latentaudio.evaluate.mini.quality import QualityBenchmark, evaluate_quality, is_correct
from procedural_audio.captions.ood_prompts import ood_prompts, second_ood_prompts
from procedural_audio.registry import get_classes, get_registry

NUM_CLIPS = 12
PROMPTS_PER_ATTRIBUTE = 6
DURATION = 2.56

ACCURACY = "classifier top-1 accuracy"
FRECHET = "Fréchet distance ratio (classifier embedding)"
RECONSTRUCTION = "reconstruction Fréchet ratio"
OUT_OF_DISTRIBUTION = "out-of-distribution prompts, top-1"
ORDER = "event-order accuracy"
REPEATED = "determinism, max abs difference"
SEQUENTIAL = "batch invariance (sequential), max abs difference"
BATCHED = "batch invariance (batched), max abs difference"


class Oracle:
    """A classifier with a list of clips and their classes; all others are of the last class.

    Its embedding is the mean mel.
    """

    def __init__(self, known):
        self.class_names = tuple(get_registry())
        self.known = {clip.tobytes(): name for name, clip in known}

    def predict(self, clips):
        log_probs = np.full((len(clips), len(self.class_names)), -9.0)
        embeddings = []
        for row, clip in zip(log_probs, clips, strict=True):
            name = self.known.get(np.asarray(clip, np.float32).tobytes(), self.class_names[-1])
            row[self.class_names.index(name)] = -0.1
            embeddings.append(log_mel_of(clip).float().mean(dim=0)[::8].numpy())
        return Predictions(log_probs, np.stack(embeddings))


@pytest.fixture(scope="module")
def truths():
    """Prompt -> (class, ground truth) of every prompt of the benchmark."""
    prompts = list(class_prompts(NUM_CLIPS, 0, DURATION))
    prompts += order_prompts(PROMPTS_PER_ATTRIBUTE, 0, DURATION)
    for check in ATTRIBUTE_CHECKS.values():
        prompts += attribute_prompts(check, PROMPTS_PER_ATTRIBUTE, 0, DURATION)
    known = {prompt.prompt: (prompt.class_names[0], prompt.ground_truth) for prompt in prompts}
    for index, (name, prompt) in enumerate(ood_prompts() + second_ood_prompts()):
        known[prompt] = (name, render_class(get_classes([name])[0], 1.28, 7, index)[0])
    return known


def noise(prompts, duration, seed):
    """The same white noise for the same seed, in any batch."""
    clips = []
    for k in range(len(prompts)):
        rng = np.random.default_rng(seed + k)
        clips.append(rng.standard_normal(round(duration * RATE)).astype(np.float32))
    return clips


def depends_on_batch(prompts, duration, seed):
    """Noise with an offset of 0.001 for every other clip of the batch."""
    return [clip + 1e-3 * (len(prompts) - 1) for clip in noise(prompts, duration, seed)]


def evaluate(truths, generate, **functions):
    calls = []
    benchmark = QualityBenchmark(
        generate,
        Oracle(truths.values()),
        NUM_CLIPS,
        PROMPTS_PER_ATTRIBUTE,
        DURATION,
        progress=lambda *call: calls.append(call),
    )
    report = evaluate_quality(benchmark, "toy", **functions)
    assert ("all classes", NUM_CLIPS, NUM_CLIPS) in calls
    sets = {"": ood_prompts(), "second ": second_ood_prompts()}
    for name, prompts in sets.items():
        assert (f"{name}out-of-distribution prompts", len(prompts), len(prompts)) in calls
    return report


def test_ground_truth_reaches_every_ceiling(truths):
    def similarity(clips, prompts):
        matches = np.zeros((len(clips), len(prompts)))
        for i, clip in enumerate(clips):
            for j, prompt in enumerate(prompts):
                matches[i, j] = np.array_equal(clip, truths[prompt][1])
        return matches

    def generate(prompts, duration, seed):
        clips = []
        for k, prompt in enumerate(prompts):
            if prompt in truths:
                clips.append(truths[prompt][1])
            else:
                clips += noise([prompt], duration, seed + k)
        return clips

    def reverse(clips):
        return [clip[::-1].copy() for clip in clips]

    report = evaluate(
        truths, generate, similarity=similarity, reconstruct=reverse, generate_batched=noise
    )
    assert report.metric(ACCURACY).value == report.metric(ACCURACY).ceiling == 1.0
    assert report.metric(OUT_OF_DISTRIBUTION).value == report.metric("CLAP R@1").value == 1.0
    assert report.metric(FRECHET).value == pytest.approx(1.0)
    # The mean spectrum of the oracle's embedding is the same for a reversed clip.
    assert report.metric(RECONSTRUCTION).value == pytest.approx(1.0, abs=0.2)
    for name in (*(check.metric for check in ATTRIBUTE_CHECKS.values()), ORDER):
        metric = report.metric(name)
        assert metric.value == metric.ceiling >= 0.65 and metric.n == PROMPTS_PER_ATTRIBUTE
    assert report.metric(REPEATED).result == report.metric(SEQUENTIAL).result == "pass"
    assert report.metric(BATCHED).value == 0.0
    assert len(report.class_accuracy) == NUM_CLIPS and not report.confusions


def test_noise_scores_as_chance(truths):
    def reconstruct(clips):
        return noise(clips, DURATION, 1)

    report = evaluate(truths, noise, reconstruct=reconstruct, generate_batched=depends_on_batch)
    assert report.metric(ACCURACY).value == 0.0 and report.metric(ACCURACY).result == "fail"
    assert report.metric(FRECHET).value > 2.5 and report.metric(RECONSTRUCTION).value > 1.3
    assert report.metric(OUT_OF_DISTRIBUTION).value <= 0.05
    assert report.metric(ATTRIBUTE_CHECKS["bell"].metric).value == 0.0
    for name in (*(check.metric for check in ATTRIBUTE_CHECKS.values()), ORDER):
        assert report.metric(name).value <= 0.35
    assert report.worst_class[1] == 0.0
    assert sum(n for *_, n in report.confusions) == NUM_CLIPS
    assert report.metric(SEQUENTIAL).result == "pass"
    assert report.metric(BATCHED).value == pytest.approx(1e-3, rel=1e-3)


def test_a_clip_that_fails_counts_as_silence_and_its_batch_is_kept():
    def fails_for_b(prompts, duration, seed):
        if "b" in prompts:
            raise GenerationError("silence")
        return [np.full(3, seed, np.float32) for _ in prompts]

    benchmark = QualityBenchmark(fails_for_b, Oracle(()), duration=1.0, seed=5)
    first, second, third = benchmark.clips("x", ["a", "b", "c"], 0)
    assert first[0] == 5 and third[0] == 7 and second.shape == (RATE,) and not second.any()


def test_male_and_female_speech_count_as_one_class():
    predictions = Predictions(np.eye(3)[[0, 1, 2]], np.zeros((3, 1)))
    class_names = ("male speech", "female speech", "dog")
    targets = ["female speech", "female speech", "male speech"]
    assert is_correct(predictions, class_names, targets).tolist() == [True, True, False]


def test_a_batch_that_changes_its_clips_is_detected():
    metrics = measure_determinism(depends_on_batch, depends_on_batch, DURATION, 0)
    repeated, sequential, batched = metrics
    assert (repeated.name, sequential.name, batched.name) == (REPEATED, SEQUENTIAL, BATCHED)
    assert repeated.result == "pass" and sequential.result == "fail"
    assert sequential.value == pytest.approx(1e-3, rel=1e-3)
    assert batched.value == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [({"num_clips": 1}, "1 clips are too few"), ({"prompts_per_attribute": 0}, "0 prompts per")],
)
def test_too_few_prompts_are_rejected(sizes, message):
    with pytest.raises(ConfigError, match=message):
        evaluate_quality(QualityBenchmark(noise, Oracle(()), **sizes), "toy")


def test_a_classifier_of_other_classes_is_rejected():
    benchmark = QualityBenchmark(noise, Oracle(()))
    benchmark.classifier.class_names = benchmark.classifier.class_names[1:]
    first = next(iter(get_registry()))
    with pytest.raises(ConfigError, match=rf"{first}.*recipes/mini/train_classifier\.py"):
        evaluate_quality(benchmark, "toy")


def test_clips_too_short_for_two_sounds_are_one_line(monkeypatch):
    monkeypatch.setattr(prompts_module, "_MAX_SCENES", 5)
    with pytest.raises(UsageError, match=r"clips of 0\.5 s are too short for two sounds"):
        list(order_prompts(1, 0, 0.5))
