"""The sound classifier learns its classes, ignores the level of a clip and survives the disk."""

import numpy as np
import pytest
import torch

from latentaudio.errors import WeightsError
from latentaudio.evaluate.mini.classifier import (
    SPEC,
    SoundClassifier,
    load_classifier,
    log_mel_of,
    save_classifier,
    train_classifier,
)
from latentaudio.evaluate.mini.prompts import class_prompts

CLASSES = ("tone", "rain", "clock")


@pytest.fixture(scope="module")
def classifier():
    prompts = list(class_prompts(60, 1, 1.28, CLASSES, "train"))
    mels = [log_mel_of(prompt.ground_truth) for prompt in prompts]
    labels = [CLASSES.index(prompt.class_names[0]) for prompt in prompts]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train_classifier(mels, labels, CLASSES, steps=30, batch_size=16, learning_rate=3e-3)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unseen():
    return list(class_prompts(18, 2, 1.28, CLASSES))


def truths(prompts):
    return [prompt.ground_truth for prompt in prompts]


def test_it_learns_from_renders_and_recognizes_unseen_ones(classifier, unseen):
    predictions = classifier.predict(truths(unseen))
    assert predictions.log_probs.shape == (18, 3) and predictions.embeddings.shape[0] == 18
    correct = []
    for index, prompt in zip(predictions.best, unseen, strict=True):
        correct.append(CLASSES[index] == prompt.class_names[0])
    assert np.mean(correct) >= 0.85
    assert np.exp(predictions.log_probs).sum(axis=1) == pytest.approx(np.ones(18), abs=1e-4)


def test_the_level_of_a_clip_has_no_influence(classifier, unseen):
    loud = classifier.predict(truths(unseen))
    soft = classifier.predict([0.5 * clip for clip in truths(unseen)])
    assert (loud.best == soft.best).mean() >= 0.9


def test_other_clips_have_no_influence(classifier, unseen):
    several = classifier.predict(truths(unseen[:3]))
    single = classifier.predict(truths(unseen[1:2]))
    assert np.array_equal(several.log_probs[1], single.log_probs[0])


@pytest.mark.parametrize("duration", [0.5, 1.28, 10.24])
def test_clips_of_any_length_are_classified(classifier, duration):
    clip = np.zeros(round(duration * SPEC.sample_rate), np.float32)
    assert classifier.predict([clip]).log_probs.shape == (1, 3)


def test_a_saved_classifier_predicts_the_same(classifier, unseen, tmp_path):
    save_classifier(classifier, tmp_path)
    loaded = load_classifier(tmp_path)
    assert loaded.class_names == CLASSES
    clips = truths(unseen[:4])
    expected = classifier.predict(clips).log_probs
    assert loaded.predict(clips).log_probs == pytest.approx(expected, abs=0.05)


def test_errors_of_a_missing_or_damaged_classifier_say_what_to_do(tmp_path):
    with pytest.raises(WeightsError, match=r"recipes/mini/train_classifier\.py --output"):
        load_classifier(tmp_path / "none")
    save_classifier(SoundClassifier(CLASSES), tmp_path)
    (tmp_path / "classifier.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="train it again"):
        load_classifier(tmp_path)


def test_it_has_at_most_1_5_million_parameters():
    classifier = SoundClassifier(tuple(map(str, range(90))))
    assert sum(weight.numel() for weight in classifier.parameters()) <= 1_500_000
