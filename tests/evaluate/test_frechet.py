"""The Fréchet distance against closed forms and scipy's general matrix square root."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from latentaudio.evaluate.frechet import frechet_distance


def cloud(mean, spread, n=4000, seed=0):
    """Points whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(np.asarray(spread)).T + np.asarray(mean)


def test_a_cloud_is_at_no_distance_from_itself():
    x = np.random.default_rng(1).standard_normal((50, 8))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_a_shift_counts_its_square():
    x = np.random.default_rng(1).standard_normal((50, 8))
    assert frechet_distance(x, x + 0.5) == pytest.approx(8 * 0.25)


def test_diagonal_covariances_have_a_closed_form():
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    expected = 1.0 + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert frechet_distance(
        cloud([0, 0, 0], np.diag(a)), cloud([0, 1, 0], np.diag(b), seed=2)
    ) == pytest.approx(expected)


def test_it_is_scipys_formula_for_covariances_that_do_not_commute():
    one, two = np.array([[2.0, 0.9], [0.9, 1.0]]), np.array([[1.0, -0.6], [-0.6, 3.0]])
    expected = 0.25 + np.trace(one + two - 2 * sqrtm(one @ two).real)
    assert frechet_distance(cloud([0, 0], one), cloud([0.5, 0], two, seed=3)) == pytest.approx(
        expected
    )


def test_fewer_points_than_dimensions_still_give_a_number():
    dice = np.random.default_rng(4)
    distance = frechet_distance(dice.standard_normal((6, 16)), dice.standard_normal((6, 16)))
    assert np.isfinite(distance) and distance > 0
