"""The four axes of Audiobox Aesthetics (arXiv 2502.05139), 1 to 10, higher is better.

CE is content enjoyment, CU content usefulness, PC production complexity, PQ production quality. A
complex clip is not a better one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .base import Measurement, MetricInputs, MetricSpec, mean_measurement

AXES: Mapping[str, str] = {
    "CE": "content enjoyment",
    "CU": "content usefulness",
    "PC": "production complexity",
    "PQ": "production quality",
}


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the mean of every axis over the clips."""
    scores = np.concatenate(list(inputs.generated.iterate("clips")))  # [N, 4]
    references = None
    if inputs.reference is not None:
        references = np.concatenate(list(inputs.reference.iterate("clips"))).mean(axis=0)
    measured = []
    for axis, (name, meaning) in enumerate(AXES.items()):
        details: dict[str, object] = {"axis": meaning}
        if references is not None:
            details["reference"] = float(references[axis])
        values = dict(zip(inputs.generated.names, scores[:, axis].tolist(), strict=True))
        measured.append(mean_measurement(values, name, details))
    return measured


SPEC = MetricSpec("aesthetics", "Aesthetics", compute, ("aesthetics",), is_lower_better=False)
