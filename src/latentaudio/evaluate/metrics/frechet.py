"""Fréchet distance between two sets of embeddings, exact in float64.

Letters: N clips, E size of an embedding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Embeddings = NDArray[np.floating]


def frechet_distance(first: Embeddings, second: Embeddings) -> float:
    """Return the squared Fréchet distance of the Gaussians fitted to two sets of embeddings.

    |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)) (Dowson and Landau 1982; FAD, arXiv
    1812.08466). The last term is the sum of the square roots of the eigenvalues of
    S1^(1/2) S2 S1^(1/2). That matrix is symmetric, so no complex number appears.

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
    assert min(len(first), len(second)) >= 2, "a covariance needs two clips or more"
    mean1, cov1 = _mean_and_covariance(first)
    mean2, cov2 = _mean_and_covariance(second)
    root = _matrix_sqrt(cov1)
    cross = np.sqrt(np.maximum(eigh(root @ cov2 @ root, eigvals_only=True), 0.0)).sum()
    distance = np.square(mean1 - mean2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * cross
    return float(max(0.0, distance))


def _mean_and_covariance(embeddings: Embeddings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = np.asarray(embeddings, np.float64)
    return points.mean(axis=0), np.atleast_2d(np.cov(points, rowvar=False))


def _matrix_sqrt(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square root of a symmetric positive semi-definite matrix."""
    values, vectors = eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
