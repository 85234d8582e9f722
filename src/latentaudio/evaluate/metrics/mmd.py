"""Squared maximum mean discrepancy, unbiased, with the influence of every point (JMLR 13, 723).

Kernel matrices are computed in blocks of rows, so memory does not grow with the square of N.

Letters: N, M points, E size of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..features import FeatureSet
from .base import Interval, MetricInputs, normal_interval, variance_of_mean

Matrix = NDArray[np.float64]
Kernel = Callable[[Matrix, Matrix], Matrix]
"""Points [N, E] and [M, E] -> kernel values [N, M]."""

_BLOCK_ROWS = 512


@dataclass(frozen=True)
class Discrepancy:
    """A squared maximum mean discrepancy.

    Attributes:
        value: the unbiased estimate, which can be below 0.
        influences: influence of each clip of the first set.
        variance: of the estimate.
    """

    value: float
    influences: Matrix
    variance: float

    def interval(self, scale: float = 1.0) -> Interval:
        """Return the 95 % interval of `scale` times the value."""
        return normal_interval(scale * self.value, scale**2 * self.variance)


@dataclass(frozen=True)
class _Sums:
    """Sums over one kernel matrix [N, M].

    Attributes:
        rows: mean of each row, without the diagonal of a set with itself, [N].
        columns: mean of each column, [M].
        mean_square: mean of the squares of all entries.
    """

    rows: Matrix
    columns: Matrix
    mean_square: float

    @property
    def mean(self) -> float:
        """Mean of all entries."""
        return float(self.rows.mean())

    @property
    def centered_square(self) -> float:
        """Mean square of the entries minus their row and column means plus the mean."""
        row_part = np.square(self.rows).mean()
        column_part = np.square(self.columns).mean()
        return float(max(0.0, self.mean_square - row_part - column_part + self.mean**2))


def squared_mmd(
    first: Matrix,
    second: Matrix,
    kernel: Kernel,
    first_clips: NDArray[np.int64] | None = None,
    second_clips: NDArray[np.int64] | None = None,
) -> Discrepancy:
    """Return the unbiased squared discrepancy of two sets of points.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y), without pairs of a point with itself. The
    variance has the first-order term and the second-order term, which is all that remains if both
    sets have the same distribution.

    Args:
        first: [N, E], two points or more.
        second: [M, E], two points or more.
        kernel: the kernel.
        first_clips: clip of each point of the first set. Points of one clip are not independent.
            None: each point is a clip.
        second_clips: the same for the second set.
    """
    within_first = _sums(first, first, kernel, is_same_set=True)
    within_second = _sums(second, second, kernel, is_same_set=True)
    between = _sums(first, second, kernel, is_same_set=False)
    value = within_first.mean + within_second.mean - 2 * between.mean
    of_first = 2 * (within_first.rows - between.rows)
    of_second = 2 * (within_second.rows - between.columns)
    num_first = len(first)
    num_second = len(second)
    second_order = 2 * within_first.centered_square / (num_first * (num_first - 1))
    second_order += 2 * within_second.centered_square / (num_second * (num_second - 1))
    second_order += 4 * between.centered_square / (num_first * num_second)
    of_first = per_clip(of_first - of_first.mean(), first_clips)
    of_second = per_clip(of_second - of_second.mean(), second_clips)
    variance = variance_of_mean(of_first) + variance_of_mean(of_second) + second_order
    return Discrepancy(value, of_first, variance)


def per_clip(influences: Matrix, clips: NDArray[np.int64] | None) -> Matrix:
    """Return the influence of each clip from those of its points.

    Args:
        influences: of points, [N].
        clips: the clip of each point; None: each point is a clip.

    Returns:
        One value for each clip, whose mean is that of `influences`.
    """
    if clips is None:
        return influences
    _, groups = np.unique(clips, return_inverse=True)
    sums = np.bincount(groups, influences)
    return np.asarray(sums * len(sums) / len(influences))


def draw_points(features: FeatureSet, inputs: MetricInputs) -> tuple[Matrix, NDArray[np.int64]]:
    """Return points of a set, at most `max_kernel_points` of them, and the clip of each.

    Clips are drawn at random until there are enough points; the seed is that of the protocol.

    Args:
        features: the set.
        inputs: the metric's inputs.
    """
    limit = inputs.protocol.max_kernel_points
    order = np.random.default_rng(inputs.protocol.seed).permutation(len(features))
    chosen: list[tuple[int, Matrix]] = []
    num_points = 0
    for index in order.tolist():
        points = features.points(index, inputs.protocol.unit)
        if chosen and num_points + len(points) > limit:
            break
        chosen.append((index, points))
        num_points += len(points)
    chosen.sort(key=lambda entry: entry[0])
    clips = np.concatenate([np.full(len(points), index) for index, points in chosen])
    return np.concatenate([points for _, points in chosen]), clips


def _sums(first: Matrix, second: Matrix, kernel: Kernel, is_same_set: bool) -> _Sums:
    """Sums over the kernel matrix of two sets, block by block."""
    rows = []
    columns = np.zeros(len(second))
    squares = 0.0
    for start in range(0, len(first), _BLOCK_ROWS):
        block = kernel(first[start : start + _BLOCK_ROWS], second)
        if is_same_set:
            np.fill_diagonal(block[:, start:], 0.0)
        rows.append(block.sum(axis=1))
        columns += block.sum(axis=0)
        squares += float(np.square(block).sum())
    num_columns = len(second) - is_same_set
    num_rows = len(first) - is_same_set
    mean_square = squares / (len(first) * num_columns)
    return _Sums(np.concatenate(rows) / num_columns, columns / num_rows, mean_square)
