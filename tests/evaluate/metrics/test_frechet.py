"""The Fréchet distance against closed forms and scipy's general matrix square root."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from latentaudio.evaluate.metrics.frechet import frechet_distance


def exact_sample(mean, covariance, n=4000, seed=0):
    """Points whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(np.asarray(covariance)).T + np.asarray(mean)


def test_the_distance_of_a_set_to_itself_is_zero():
    x = np.random.default_rng(1).standard_normal((50, 8))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_a_shift_of_the_mean_adds_its_square():
    x = np.random.default_rng(1).standard_normal((50, 8))
    assert frechet_distance(x, x + 0.5) == pytest.approx(8 * 0.25)


def test_diagonal_covariances_have_a_closed_form():
    a = np.array([1.0, 4.0, 9.0])
    b = np.array([4.0, 4.0, 1.0])
    first = exact_sample([0, 0, 0], np.diag(a))
    second = exact_sample([0, 1, 0], np.diag(b), seed=2)
    expected = 1.0 + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert frechet_distance(first, second) == pytest.approx(expected)


def test_it_equals_scipys_formula_for_covariances_that_do_not_commute():
    a = np.array([[2.0, 0.9], [0.9, 1.0]])
    b = np.array([[1.0, -0.6], [-0.6, 3.0]])
    first = exact_sample([0, 0], a)
    second = exact_sample([0.5, 0], b, seed=3)
    expected = 0.25 + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(first, second) == pytest.approx(expected)


def test_fewer_points_than_dimensions_give_a_finite_distance():
    rng = np.random.default_rng(4)
    distance = frechet_distance(rng.standard_normal((6, 16)), rng.standard_normal((6, 16)))
    assert np.isfinite(distance) and distance > 0
