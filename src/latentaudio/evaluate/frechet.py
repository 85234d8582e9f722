"""Fréchet distance between two clouds of embeddings, exact in float64.

Knows means and covariances. Refuses to know what was embedded.

Letters: N clips, E width of the embedding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Cloud = NDArray[np.floating]


def frechet_distance(first: Cloud, second: Cloud) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two clouds [N, E] (Dowson and Landau 1982; FAD, arXiv 1812.08466).

    |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)); the last term is the sum of the square roots of the eigenvalues of
    S1^(1/2) S2 S1^(1/2), which is symmetric, so nothing complex ever appears. Both clouds need at least two clips; with fewer
    clips than dimensions the distance is defined but biased upwards, so compare it only with one of equally large clouds.
    """
    assert first.ndim == second.ndim == 2 and first.shape[1] == second.shape[1], (
        f"shapes {first.shape} and {second.shape}"
    )
    assert min(len(first), len(second)) >= 2, "a cloud needs two points to have a spread"
    (m1, s1), (m2, s2) = _moments(first), _moments(second)
    root = _root(s1)
    cross = np.sqrt(np.maximum(eigh(root @ s2 @ root, eigvals_only=True), 0.0)).sum()
    return float(max(0.0, np.square(m1 - m2).sum() + np.trace(s1) + np.trace(s2) - 2 * cross))


def _moments(cloud: Cloud) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = np.asarray(cloud, np.float64)
    return points.mean(axis=0), np.atleast_2d(np.cov(points, rowvar=False))


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square root of a symmetric positive semi-definite matrix."""
    values, vectors = eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
