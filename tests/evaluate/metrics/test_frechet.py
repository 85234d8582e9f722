"""The Fréchet distance against closed forms, and torchmetrics' formula."""

import numpy as np
import pytest
from evaluation_inputs import inputs_of
from scipy.linalg import sqrtm

from latentaudio.evaluate.features import ClipFeatures, FeatureSet
from latentaudio.evaluate.metrics import frechet_infinity
from latentaudio.evaluate.metrics.frechet import (
    Influence,
    compute,
    distance,
    fit_gaussian,
    frechet_distance,
)

EXACT = 1e-6  # relative


def exact_sample(mean, covariance, n=400, seed=0):
    """Points whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x, rowvar=False)))).T
    return x @ np.linalg.cholesky(np.asarray(covariance)).T + np.asarray(mean)


def test_the_distance_of_one_dimension_has_a_closed_form():
    first = exact_sample([1.0], [[4.0]])
    second = exact_sample([-2.0], [[0.25]], seed=1)
    assert frechet_distance(first, second) == pytest.approx(9 + (2 - 0.5) ** 2, rel=EXACT)


def test_diagonal_covariances_have_a_closed_form():
    a = np.array([1.0, 4.0, 9.0])
    b = np.array([4.0, 4.0, 1.0])
    first = exact_sample([0, 0, 0], np.diag(a))
    second = exact_sample([0, 1, 0], np.diag(b), seed=2)
    expected = 1.0 + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=EXACT)


def test_covariances_that_commute_have_a_closed_form():
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    a = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    b = a[::-1] ** 2
    first = exact_sample(np.zeros(5), rotation * a @ rotation.T)
    second = exact_sample(np.zeros(5), rotation * b @ rotation.T, seed=1)
    expected = np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=EXACT)


def test_covariances_that_do_not_commute_equal_scipys_square_root():
    a = np.array([[2.0, 0.9], [0.9, 1.0]])
    b = np.array([[1.0, -0.6], [-0.6, 3.0]])
    first = exact_sample([0, 0], a)
    second = exact_sample([0.5, 0], b, seed=3)
    expected = 0.25 + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("n", [6, 12, 13, 50, 700])
def test_the_distance_of_a_set_to_itself_is_zero(n):
    x = np.random.default_rng(1).standard_normal((n, 12)) * 100
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9 * np.square(x).sum(1).mean())


@pytest.mark.parametrize("n", [6, 50])
def test_a_translation_adds_its_square_symmetrically(n):
    x = np.random.default_rng(1).standard_normal((n, 8))
    assert frechet_distance(x, x + 0.5) == pytest.approx(8 * 0.25, rel=EXACT)
    assert frechet_distance(x + 0.5, x) == pytest.approx(frechet_distance(x, x + 0.5), rel=EXACT)


@pytest.mark.parametrize("n", [7, 60])
def test_a_rotation_of_both_sets_changes_nothing(n):
    rng = np.random.default_rng(2)
    rotation = np.linalg.qr(rng.standard_normal((10, 10)))[0]
    x = rng.standard_normal((n, 10))
    y = rng.standard_normal((n + 1, 10)) * 2 + 1
    rotated = frechet_distance(x @ rotation, y @ rotation)
    assert rotated == pytest.approx(frechet_distance(x, y), rel=EXACT)


def test_covariances_of_low_rank_have_a_closed_form_where_a_general_root_fails():
    # rank 2 in 40 dimensions: distance within a plane
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((40, 2)))[0]
    first = exact_sample([0, 0], np.diag([4.0, 1.0])) @ basis.T
    second = exact_sample([0, 0], np.diag([1.0, 9.0]), seed=1) @ basis.T
    assert frechet_distance(first, second) == pytest.approx(1 + 4, rel=EXACT)


def test_torchmetrics_has_the_same_number():
    torch = pytest.importorskip("torch")
    fid = pytest.importorskip("torchmetrics.image.fid")
    rng = np.random.default_rng(3)
    x = rng.standard_normal((90, 6)) * [1, 2, 3, 1, 2, 3]
    y = rng.standard_normal((80, 6)) + 0.3
    moments = []
    for points in (x, y):
        moments += [torch.tensor(points.mean(0)), torch.tensor(np.cov(points, rowvar=False))]
    expected = float(fid._compute_fid(*moments))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("sizes", [(3, 5, 2, 700, 1), (1,) * 30, (2000,)])
def test_points_in_parts_give_the_moments_of_all(sizes):
    rng = np.random.default_rng(4)
    parts = [rng.standard_normal((n, 5)) * 3 + 1e4 for n in sizes]
    together = np.concatenate(parts)
    gaussian = fit_gaussian(parts)
    assert gaussian.num_points == len(together)
    np.testing.assert_allclose(gaussian.mean, together.mean(0), rtol=1e-12)
    covariance = gaussian.factor.T @ gaussian.factor
    np.testing.assert_allclose(covariance, np.cov(together, rowvar=False), rtol=1e-9, atol=1e-9)


def test_equal_points_have_no_spread_and_a_finite_distance():
    same = np.ones((40, 4))
    assert frechet_distance(same, same) == 0
    assert frechet_distance(same, same + 1) == pytest.approx(4)


def test_the_influence_of_a_point_is_the_derivative_of_the_distance():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((4000, 3))
    y = rng.standard_normal((3000, 3)) * [1, 2, 0.5] + 0.4
    base = fit_gaussian([x])
    reference = fit_gaussian([y])
    point = np.array([[2.0, -1.0, 0.5]])
    with_copies = fit_gaussian([x, np.repeat(point, 4, axis=0)])
    change = (distance(with_copies, reference) - distance(base, reference)) * 4004 / 4
    influence = Influence(base, reference)
    assert influence(point)[0] == pytest.approx(change, rel=0.01)
    assert influence(x).mean() == pytest.approx(0, abs=0.01)


def test_pseudo_values_average_to_the_distance_and_few_clips_have_no_interval():
    rng = np.random.default_rng(6)
    [result] = compute(inputs_of(rng.standard_normal((60, 4)), rng.standard_normal((50, 4)) + 1))
    assert np.mean(list(result.by_clip.values())) == pytest.approx(result.value, rel=0.02)
    low, high = result.interval
    assert low < result.value < high and not result.warnings
    [few] = compute(inputs_of(rng.standard_normal((4, 4)), rng.standard_normal((50, 4))))
    assert few.interval is None
    assert "4 points for 4 dimensions" in few.warnings[0]


def test_windows_of_a_clip_count_as_one_clip_in_the_interval():
    rng = np.random.default_rng(7)
    clips = rng.standard_normal((80, 3)) + 1
    reference = rng.standard_normal((80, 3))

    def repeated(values):
        rows = [np.repeat(row[None], 5, axis=0) for row in values]
        return FeatureSet([str(k) for k in range(80)], lambda k: ClipFeatures(rows[k]))

    inputs = inputs_of(clips, reference)
    [single] = compute(inputs)
    [windows] = compute(inputs_of(repeated(clips), repeated(reference), unit="windows"))
    assert windows.value == pytest.approx(single.value, rel=0.02)
    width = single.interval[1] - single.interval[0]
    assert windows.interval[1] - windows.interval[0] == pytest.approx(width, rel=0.05)


def test_the_limit_removes_the_bias_and_its_interval_covers_the_true_value():
    covered = 0
    errors = []
    biases = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((150, 6)) + 0.4
        y = rng.standard_normal((150, 6))
        [result] = frechet_infinity.compute(inputs_of(x, y))
        low, high = result.interval
        covered += low <= 6 * 0.16 <= high
        errors.append(result.value - 0.96)
        biases.append(frechet_distance(x, y) - 0.96)
        assert result.details["slope"] > 0 and result.details["r_squared"] > 0.8
    assert covered >= 10
    assert abs(np.mean(errors)) < 0.1 < np.mean(biases)


def test_the_limit_says_if_there_are_too_few_clips():
    rng = np.random.default_rng(0)
    inputs = inputs_of(rng.standard_normal((30, 20)), rng.standard_normal((30, 20)))
    [result] = frechet_infinity.compute(inputs)
    assert result.interval is None and "use 105 clips or more" in result.warnings[0]
