"""KAD and KID against double loops, torchmetrics and scikit-learn."""

import numpy as np
import pytest
from evaluation_inputs import inputs_of

from latentaudio.evaluate.metrics import kad, kid
from latentaudio.evaluate.metrics.mmd import squared_mmd

RNG = np.random.default_rng(0)
X = RNG.standard_normal((23, 5)) + 0.5
Y = RNG.standard_normal((17, 5))


def double_loop(first, second, kernel):
    """The unbiased estimate, written as its definition."""
    within = []
    for points in (first, second):
        total = 0.0
        for i in range(len(points)):
            for j in range(len(points)):
                if i != j:
                    total += kernel(points[i], points[j])
        within.append(total / (len(points) * (len(points) - 1)))
    between = np.mean([[kernel(a, b) for b in second] for a in first])
    return within[0] + within[1] - 2 * between


def test_kad_equals_a_double_loop_with_the_median_distance_of_the_reference():
    distances = [np.linalg.norm(Y[i] - Y[j]) for i in range(17) for j in range(i)]
    bandwidth = np.median(distances)
    expected = double_loop(X, Y, lambda a, b: np.exp(-((a - b) @ (a - b)) / (2 * bandwidth**2)))
    [result] = kad.compute(inputs_of(X, Y))
    assert result.value == pytest.approx(100 * expected, rel=1e-9)
    assert result.details["bandwidth"] == pytest.approx(bandwidth, rel=1e-12)
    assert "reference" in result.details["bandwidth_rule"]


def test_the_bandwidth_of_the_generated_clips_is_another_number():
    [result] = kad.compute(inputs_of(X, Y, kad_bandwidth="generated"))
    assert result.details["bandwidth"] == pytest.approx(kad.median_distance(X))
    assert "generated" in result.details["bandwidth_rule"]


def test_kid_equals_a_double_loop():
    [result] = kid.compute(inputs_of(X, Y))
    expected = double_loop(X, Y, lambda a, b: (a @ b / 5 + 1) ** 3)
    assert result.value == pytest.approx(expected, rel=1e-9)


def test_torchmetrics_and_scikit_learn_have_the_same_kernels():
    torch = pytest.importorskip("torch")
    tm = pytest.importorskip("torchmetrics.image.kid")
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    n = 17
    expected = float(tm.poly_mmd(torch.tensor(X[:n]), torch.tensor(Y)))
    [result] = kid.compute(inputs_of(X[:n], Y))
    assert result.value == pytest.approx(expected, rel=1e-6)
    ours = kid.polynomial_kernel(X, Y)
    np.testing.assert_allclose(ours, pairwise.polynomial_kernel(X, Y, degree=3), rtol=1e-12)
    rbf = pairwise.rbf_kernel(X, Y, gamma=1 / (2 * 1.7**2))
    np.testing.assert_allclose(kad.gaussian_kernel(1.7, Y.mean(0))(X, Y), rbf, rtol=1e-10)


def test_blocks_of_rows_give_the_same_number():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1100, 2))
    y = rng.standard_normal((600, 2)) + 0.1
    kernel = kad.gaussian_kernel(1.0, np.zeros(2))
    xx = kernel(x, x)
    yy = kernel(y, y)
    expected = (xx.sum() - 1100) / (1100 * 1099) + (yy.sum() - 600) / (600 * 599)
    expected -= 2 * kernel(x, y).mean()
    result = squared_mmd(x, y, kernel)
    assert result.value == pytest.approx(expected, rel=1e-9)
    assert result.influences.mean() == pytest.approx(0, abs=1e-12)


def test_the_estimate_is_unbiased_and_its_interval_covers():
    values = []
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        same = inputs_of(rng.standard_normal((20, 3)), rng.standard_normal((30, 3)))
        [result] = kad.compute(same)
        values.append(result.value)
        covered += result.interval[0] <= 0 <= result.interval[1]
    standard_error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * standard_error
    assert covered >= 54


def test_few_random_points_stand_for_many_and_the_result_says_how_many():
    rng = np.random.default_rng(2)
    inputs = inputs_of(rng.standard_normal((90, 3)) + 1, rng.standard_normal((80, 3)),
                       max_kernel_points=40)  # fmt: skip
    [result] = kad.compute(inputs)
    assert result.n == 40 and result.details["points_reference"] == 40
    assert kad.compute(inputs)[0].value == result.value


def test_subsets_of_kid_average_to_the_number_of_all_clips():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((60, 3)) + 0.5
    y = rng.standard_normal((60, 3))
    [all_clips] = kid.compute(inputs_of(x, y))
    [subsets] = kid.compute(inputs_of(x, y, kid_subsets=300, kid_subset_size=30))
    assert subsets.value == pytest.approx(all_clips.value, rel=0.05)
    assert subsets.details["deviation_of_subsets"] > 0
    # as many clips as a subset has: every subset is the same, which looks exact and is not
    [useless] = kid.compute(inputs_of(x, y, kid_subsets=3, kid_subset_size=1000))
    assert useless.details["deviation_of_subsets"] < 1e-12
