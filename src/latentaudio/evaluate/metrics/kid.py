"""KID, the kernel distance with a polynomial kernel (arXiv 1801.01401).

The unbiased squared maximum mean discrepancy with the kernel (x y / E + 1)^3. The usual form is a
mean over random subsets of 1000 clips; all clips at once give its expectation without that noise.

Letters: E size of an embedding.
"""

from __future__ import annotations

import numpy as np

from .base import Measurement, MetricInputs, MetricSpec, pseudo_values
from .mmd import Matrix, draw_points, squared_mmd

DEGREE = 3


def polynomial_kernel(first: Matrix, second: Matrix) -> Matrix:
    """Points [N, E] and [M, E] -> (x y / E + 1)^3, [N, M]."""
    return np.asarray((first @ second.T / first.shape[1] + 1.0) ** DEGREE)


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return KID over all clips, or as a mean over subsets if the protocol says so."""
    protocol = inputs.protocol
    generated, clips = draw_points(inputs.generated, inputs)
    reference, reference_clips = draw_points(inputs.references, inputs)
    details = {
        "kernel": "(x y / E + 1)^3",
        "points_generated": len(generated),
        "points_reference": len(reference),
        "subsets": protocol.kid_subsets,
    }
    result = squared_mmd(generated, reference, polynomial_kernel, clips, reference_clips)
    value = result.value
    if protocol.kid_subsets:
        size = min(protocol.kid_subset_size, len(generated), len(reference))
        rng = np.random.RandomState(protocol.seed)  # the draws of torch-fidelity, audioldm_eval
        values = []
        for _ in range(protocol.kid_subsets):
            rows = rng.choice(len(generated), size, replace=False)
            columns = rng.choice(len(reference), size, replace=False)
            part = squared_mmd(generated[rows], reference[columns], polynomial_kernel)
            values.append(part.value)
        value = float(np.mean(values))
        details["subset_size"] = size
        details["deviation_of_subsets"] = float(np.std(values))
    names = [inputs.generated.names[index] for index in np.unique(clips)]
    return [
        Measurement(
            value,
            len(names),
            interval=result.interval(),
            details=details,
            by_clip=pseudo_values(names, value, result.influences),
        )
    ]


SPEC = MetricSpec(
    "kid",
    "Kernel distance, polynomial (KID)",
    compute,
    ("embeddings", "reference"),
    title_of_mini="Kernel distance, polynomial",
)
