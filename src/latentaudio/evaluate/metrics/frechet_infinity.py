"""FAD∞: the Fréchet distance that infinitely many clips would have (arXiv 1911.07023).

The distance of N clips is too large by about b / N. Both sets are split into k parts, k = 1 to 5.
The mean distance of the parts belongs to N / k clips. A line through these five numbers over 1 / N
meets the axis at the distance of infinitely many clips.

Parts that do not overlap are better than random subsets: every clip counts in every point of the
fit, so the points share the noise of the clips and lie on a line.
"""

from __future__ import annotations

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from .base import Measurement, MetricInputs, MetricSpec, normal_interval, variance_of_mean
from .frechet import Gaussian, clip_influences, distance, fit_gaussian

MIN_PARTS = 3
"""Fewest sizes for a fit whose quality can be seen."""
_MIN_CLIPS = 4  # in a part


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the intercept of the fit, with its slope, R² and the distances behind it."""
    num_clips = min(len(inputs.generated), len(inputs.references))
    rng = np.random.default_rng(inputs.protocol.seed)
    generated_order = rng.permutation(len(inputs.generated))
    reference_order = rng.permutation(len(inputs.references))
    num_parts = min(inputs.protocol.infinity_parts, max(MIN_PARTS, num_clips // _MIN_CLIPS))
    inverse_sizes = []
    distances = []
    smallest = 0
    size = 0
    pair: tuple[Gaussian, Gaussian] | None = None
    for parts in range(1, num_parts + 1):
        values = []
        for part in range(parts):
            generated = _gaussian(inputs, generated_order[part::parts], of_reference=False)
            reference = _gaussian(inputs, reference_order[part::parts], of_reference=True)
            values.append(distance(generated, reference))
            pair = pair or (generated, reference)
            smallest = min(generated.num_points, reference.num_points)
            size = len(generated.mean)
        inverse_sizes.append(parts / len(inputs.generated))
        distances.append(float(np.mean(values)))
    assert pair is not None
    fit = scipy.stats.linregress(inverse_sizes, distances)
    variance = float(fit.intercept_stderr) ** 2 + _variance(inputs, *pair)
    warnings = []
    if smallest <= size:
        warnings.append(
            f"the smallest part has {smallest} points for {size} dimensions: the distance does not "
            f"fall with 1/N yet; use {num_parts * (size + 1)} clips or more"
        )
    details = {
        "fit": "least squares of the distance over 1/N; both sets are split",
        "r_squared": float(fit.rvalue) ** 2,
        "slope": float(fit.slope),
        "clips": [len(inputs.generated) // parts for parts in range(1, num_parts + 1)],
        "distances": distances,
        "interval": "delta method over the clips, and the standard error of the intercept",
    }
    return [
        Measurement(
            float(fit.intercept),
            len(inputs.generated),
            interval=None if warnings else normal_interval(float(fit.intercept), variance),
            details=details,
            warnings=tuple(warnings),
        )
    ]


SPEC = MetricSpec(
    "frechet-infinity",
    "Fréchet distance, N to infinity",
    compute,
    ("embeddings", "reference"),
    min_clips=2 * MIN_PARTS,
)


def _gaussian(inputs: MetricInputs, indices: NDArray[np.int64], of_reference: bool) -> Gaussian:
    features = inputs.references if of_reference else inputs.generated
    return fit_gaussian(features.iterate(inputs.protocol.unit, indices.tolist()))


def _variance(inputs: MetricInputs, generated: Gaussian, reference: Gaussian) -> float:
    """Variance of the distance over the clips of both sets."""
    unit = inputs.protocol.unit
    of_generated = clip_influences(inputs.generated, unit, generated, reference)
    of_reference = clip_influences(inputs.references, unit, reference, generated)
    return variance_of_mean(of_generated) + variance_of_mean(of_reference)
