"""KAD, the kernel audio distance (arXiv 2502.15602): unbiased for any number of clips.

The squared maximum mean discrepancy with the Gaussian kernel exp(-|x - y|^2 / (2 b^2)), times 100.
The bandwidth b is the median distance between points of the reference, as the paper says. The code
of kadtk takes the median of the generated set: `kad_bandwidth` of the protocol.
"""

from __future__ import annotations

import numpy as np
import scipy.spatial.distance

from .base import Measurement, MetricInputs, MetricSpec, pseudo_values
from .mmd import Kernel, Matrix, draw_points, squared_mmd


def gaussian_kernel(bandwidth: float, center: Matrix) -> Kernel:
    """Return the Gaussian kernel.

    Args:
        bandwidth: its standard deviation.
        center: [E], subtracted first, so that squares of far points do not cancel.
    """

    def kernel(first: Matrix, second: Matrix) -> Matrix:
        first = first - center
        second = second - center
        squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1)
        squares -= 2 * (first @ second.T)
        return np.asarray(np.exp(np.maximum(squares, 0.0) / (-2 * bandwidth**2)))

    return kernel


def median_distance(points: Matrix) -> float:
    """Return the median Euclidean distance between different points [N, E]; 1 if it is 0."""
    median = float(np.median(scipy.spatial.distance.pdist(points)))
    return median or 1.0


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return KAD, with its bandwidth."""
    protocol = inputs.protocol
    generated, clips = draw_points(inputs.generated, inputs)
    reference, reference_clips = draw_points(inputs.references, inputs)
    source = reference if protocol.kad_bandwidth == "reference" else generated
    bandwidth = median_distance(source)
    kernel = gaussian_kernel(bandwidth, reference.mean(axis=0))
    result = squared_mmd(generated, reference, kernel, clips, reference_clips)
    value = protocol.kad_scale * result.value
    details = {
        "kernel": "Gaussian",
        "bandwidth": bandwidth,
        "bandwidth_rule": f"median distance between points of the {protocol.kad_bandwidth} clips",
        "scale": protocol.kad_scale,
        "points_generated": len(generated),
        "points_reference": len(reference),
    }
    names = [inputs.generated.names[index] for index in np.unique(clips)]
    return [
        Measurement(
            value,
            len(names),
            interval=result.interval(protocol.kad_scale),
            details=details,
            by_clip=pseudo_values(names, value, protocol.kad_scale * result.influences),
        )
    ]


SPEC = MetricSpec(
    "kad",
    "Kernel audio distance (KAD)",
    compute,
    ("embeddings", "reference"),
    title_of_mini="Kernel distance",
)
