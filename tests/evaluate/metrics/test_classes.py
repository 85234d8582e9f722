"""Inception score and KL against closed forms, torchmetrics and scipy."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from evaluation_inputs import logit_inputs

from latentaudio.evaluate.metrics import inception_score, kl

RNG = np.random.default_rng(0)
A = RNG.standard_normal((12, 7)) * 3
B = RNG.standard_normal((12, 7)) * 2


def one_hot(count, height=1000.0):
    return np.eye(count) * height


def test_one_hot_clips_of_all_classes_score_the_number_of_classes():
    [result] = inception_score.compute(logit_inputs(one_hot(9)))
    assert result.value == pytest.approx(9, rel=1e-12)


def test_uniform_clips_score_one():
    [result] = inception_score.compute(logit_inputs(np.zeros((5, 9))))
    assert result.value == pytest.approx(1, rel=1e-12)
    assert result.interval == pytest.approx((1, 1))


def test_torchmetrics_has_the_same_inception_score():
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("torchmetrics.image.inception")

    class Features(torch.nn.Module):
        num_features = 7

        def forward(self, x):
            return x

    metric = image.InceptionScore(feature=Features(), splits=1)
    metric.update(torch.tensor(A))
    expected = float(metric.compute()[0])
    [result] = inception_score.compute(logit_inputs(A))
    assert result.value == pytest.approx(expected, rel=1e-6)


def test_the_mean_over_parts_is_another_number():
    [whole] = inception_score.compute(logit_inputs(A))
    [parts] = inception_score.compute(logit_inputs(A, inception_splits=3, seed=2020))
    assert 1 <= parts.value < whole.value
    assert parts.details["splits"] == 3


def test_parts_are_those_of_the_published_code():
    parts = inception_score.split(10, 3, 2020)
    assert [len(part) for part in parts] == [3, 3, 4]  # not 4, 3, 3 as numpy splits
    order = np.random.RandomState(2020).permutation(10)
    assert [clip for part in parts for clip in part] == order.tolist()


def test_kl_has_four_named_forms_that_equal_scipys():
    results = {each.variant: each for each in kl.compute(logit_inputs(A, B))}
    assert len(results) == 4
    p = scipy.special.softmax(B, axis=1)  # the reference
    q = scipy.special.softmax(A, axis=1)
    forward = scipy.stats.entropy(p, q, axis=1)
    backward = scipy.stats.entropy(q, p, axis=1)
    softmax = results["softmax, reference || generated"]
    assert list(softmax.by_clip.values()) == pytest.approx(forward.tolist(), rel=1e-9)
    assert softmax.value == pytest.approx(forward.mean(), rel=1e-9)
    backward_result = results["softmax, generated || reference"]
    assert backward_result.value == pytest.approx(backward.mean(), rel=1e-9)
    p = scipy.special.expit(B)
    q = scipy.special.expit(A)
    terms = scipy.special.rel_entr(p, q) + scipy.special.rel_entr(1 - p, 1 - q)
    bernoulli = results["sigmoid bernoulli, reference || generated"]
    assert bernoulli.value == pytest.approx(terms.sum(1).mean(), rel=1e-9)


def test_torchmetrics_has_the_same_kl():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional")
    p = torch.tensor(scipy.special.softmax(B, axis=1))
    q = torch.tensor(scipy.special.softmax(A, axis=1))
    expected = float(functional.kl_divergence(p, q))
    [result, *_] = kl.compute(logit_inputs(A, B))
    assert result.value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("divergence", [kl.softmax_kl, kl.bernoulli_kl])
@pytest.mark.parametrize("height", [0.0, 1.0, 700.0, 1e5])
def test_a_divergence_is_zero_to_itself_and_never_below_zero(divergence, height):
    logits = np.random.default_rng(1).standard_normal((2, 30)) * height
    assert divergence(logits[0], logits[0]) == 0
    value = divergence(logits[0], logits[1])
    assert value >= 0 and math.isfinite(value)


def test_epsilon_bounds_the_divergence_as_in_the_published_code():
    sure = one_hot(2)
    expected = math.log(1 / 1e-6)  # it is added to the second distribution alone
    assert kl.softmax_kl(sure[0], sure[1], 1e-6) == pytest.approx(expected, rel=1e-9)
    assert kl.softmax_kl(sure[0], sure[1]) == pytest.approx(1000)


def test_the_sum_over_sigmoids_can_be_below_zero_and_is_no_divergence():
    assert kl.sigmoid_sum(np.array([-1.0, -2.0]), np.array([1.0, 2.0]), 1e-6) < 0
