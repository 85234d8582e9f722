"""Fréchet distance of two sets of embeddings, exact in float64, from one pass over the clips.

|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)) (Dowson and Landau 1982; FAD, arXiv 1812.08466).
With factors S1 = A' A and S2 = B' B, the last trace is the sum of the singular values of A B'. No
square root of a general matrix is needed, and none of an eigenvalue that rounding made negative.

Letters: N points, E size of an embedding, R rank of a covariance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ..features import Embeddings, FeatureSet, PointKind
from .base import (
    Measurement,
    MetricInputs,
    MetricSpec,
    normal_interval,
    pseudo_values,
    variance_of_mean,
)

Matrix = NDArray[np.float64]

_BATCH_POINTS = 512  # that are added to the moments together
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of a set of points.

    Attributes:
        mean: [E].
        factor: [R, E]; the covariance is factor' factor.
        num_points: N.
    """

    mean: Matrix
    factor: Matrix
    num_points: int

    @property
    def trace(self) -> float:
        """Trace of the covariance."""
        return float(np.square(self.factor).sum())


def fit_gaussian(points: Iterable[Embeddings]) -> Gaussian:
    """Return the Gaussian of points that come in arrays, in the memory of one covariance.

    While there are fewer points than dimensions, the points themselves are the factor. Rounding
    cannot fill the missing ranks then.

    Args:
        points: arrays [n, E] with two points or more in all.
    """
    batches = _batches(points)
    first = next(batches)
    size = first.shape[1]
    few = [first]
    num_points = len(first)
    for batch in batches:
        few.append(batch)
        num_points += len(batch)
        if num_points > size:
            break
    rows = np.concatenate(few)
    assert len(rows) >= 2, "a covariance needs two points or more"
    if len(rows) <= size:
        mean = rows.mean(axis=0)
        return Gaussian(mean, (rows - mean) / np.sqrt(len(rows) - 1), len(rows))
    return _from_moments(rows, batches)


def frechet_distance(first: Embeddings, second: Embeddings) -> float:
    """Return the squared Fréchet distance of the Gaussians of two sets of embeddings.

    With fewer clips than dimensions the distance is biased upwards. Compare it only with a
    distance of sets of the same size.

    Args:
        first: embeddings [N, E], two clips or more.
        second: embeddings [N, E], two clips or more.

    Returns:
        The distance, 0 or more.
    """
    assert first.ndim == second.ndim == 2, f"shapes {first.shape} and {second.shape}"
    assert first.shape[1] == second.shape[1], f"shapes {first.shape} and {second.shape}"
    return distance(fit_gaussian([first]), fit_gaussian([second]))


def distance(first: Gaussian, second: Gaussian) -> float:
    """Return the squared Fréchet distance of two Gaussians."""
    cross = scipy.linalg.svdvals(first.factor @ second.factor.T).sum()
    shift = np.square(first.mean - second.mean).sum()
    return float(max(0.0, shift + first.trace + second.trace - 2 * cross))


class Influence:
    """How much one more point changes the distance of its set to another set.

    The derivative of the distance by the first covariance is I - T. T maps the first Gaussian to
    the second (optimal transport; Olkin and Pukelsheim 1982).
    """

    def __init__(self, first: Gaussian, second: Gaussian) -> None:
        self.first = first
        self.shift = 2 * (first.mean - second.mean)
        left, values, _ = np.linalg.svd(second.factor @ first.factor.T, full_matrices=False)
        is_present = values > values.max(initial=0.0) * max(len(left), 1) * _EPS
        weights = 1 / np.sqrt(values[is_present])
        self.transport = (left[:, is_present] * weights).T @ second.factor
        mapped = self.transport @ first.factor.T
        self.expected = first.trace - float(np.square(mapped).sum())

    def __call__(self, points: Embeddings) -> Matrix:
        """Points [N, E] -> influence of each, [N]; the mean over the set is 0."""
        centered = points - self.first.mean
        spread = np.square(centered).sum(axis=1)
        spread -= np.square(centered @ self.transport.T).sum(axis=1)
        return np.asarray(centered @ self.shift + spread - self.expected)


def clip_influences(
    features: FeatureSet, unit: PointKind, first: Gaussian, second: Gaussian
) -> Matrix:
    """Return the influence of every clip of a set on the distance of its Gaussian, [number]."""
    influence = Influence(first, second)
    sums = [influence(points).sum() for points in features.iterate(unit)]
    return np.array(sums) * len(features) / first.num_points


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the Fréchet distance; its interval comes from the influence of every clip."""
    unit = inputs.protocol.unit
    generated = fit_gaussian(inputs.generated.iterate(unit))
    reference = fit_gaussian(inputs.references.iterate(unit))
    value = distance(generated, reference)
    of_generated = clip_influences(inputs.generated, unit, generated, reference)
    of_reference = clip_influences(inputs.references, unit, reference, generated)
    variance = variance_of_mean(of_generated) + variance_of_mean(of_reference)
    size = len(generated.mean)
    fewest = min(generated.num_points, reference.num_points)
    warnings = []
    if fewest <= size:
        warnings.append(
            f"{fewest} points for {size} dimensions: the distance is biased upwards; "
            "compare it only with sets of the same size, or use KAD"
        )
    details = {
        "points_generated": generated.num_points,
        "points_reference": reference.num_points,
        "dimensions": size,
        "interval": "delta method over the clips of both sets; it does not contain the bias",
    }
    return [
        Measurement(
            value,
            len(inputs.generated),
            interval=None if fewest <= size else normal_interval(value, variance, lowest=0.0),
            details=details,
            warnings=tuple(warnings),
            by_clip=pseudo_values(inputs.generated.names, value, of_generated),
        )
    ]


SPEC = MetricSpec("frechet", "Fréchet distance", compute, ("embeddings", "reference"))


def _batches(points: Iterable[Embeddings]) -> Iterator[Matrix]:
    """Join small arrays [n, E] to batches of some hundred points in float64."""
    waiting: list[Matrix] = []
    num_waiting = 0
    for array in points:
        waiting.append(np.asarray(array, np.float64))
        num_waiting += len(array)
        if num_waiting >= _BATCH_POINTS:
            yield np.concatenate(waiting)
            waiting = []
            num_waiting = 0
    if waiting:
        yield np.concatenate(waiting)


def _from_moments(rows: Matrix, batches: Iterator[Matrix]) -> Gaussian:
    """The Gaussian of the first points [n, E] and of further batches."""
    center = rows.mean(axis=0)  # near the mean, so that nothing cancels
    num_points = 0
    total = np.zeros(rows.shape[1])
    products = np.zeros((rows.shape[1], rows.shape[1]))
    batch: Matrix | None = rows
    while batch is not None:
        shifted = batch - center
        num_points += len(batch)
        total += shifted.sum(axis=0)
        products += shifted.T @ shifted
        batch = next(batches, None)
    offset = total / num_points
    covariance = (products - num_points * np.outer(offset, offset)) / (num_points - 1)
    values, vectors = scipy.linalg.eigh(covariance)
    # Below this, rounding alone makes eigenvalues.
    is_present = values > values.max(initial=0.0) * len(values) * _EPS
    is_present[-1] = True  # the largest, which is 0 if all points are equal
    factor = (vectors[:, is_present] * np.sqrt(np.maximum(values[is_present], 0.0))).T
    return Gaussian(center + offset, np.ascontiguousarray(factor), num_points)
