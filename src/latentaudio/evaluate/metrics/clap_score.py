"""Similarity of a clip and its caption: the mean cosine of a text-and-audio network.

A clip longer than the network's window is the mean over fixed windows, so that the number repeats.
A random crop, as in some tools, does not. The score has a meaning only for one checkpoint.
"""

from __future__ import annotations

import numpy as np

from .base import Measurement, MetricInputs, MetricSpec, mean_measurement


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the mean similarity, and that of the reference clips if they have captions."""
    result = mean_measurement(inputs.text_similarities, details=_details(inputs))
    of_reference = result.details.get("reference")
    if of_reference is None or result.value <= of_reference:
        return [result]
    warning = (
        f"above the score of the true clips ({of_reference:.4f}): the score no longer tells "
        "which clips fit their captions better"
    )
    return [
        Measurement(
            result.value,
            result.n,
            interval=result.interval,
            details=result.details,
            warnings=(warning,),
            by_clip=result.by_clip,
        )
    ]


SPEC = MetricSpec(
    "clap-score",
    "CLAP score",
    compute,
    ("texts",),
    is_lower_better=False,
    title_of_mini="similarity of text and audio",
)


def _details(inputs: MetricInputs) -> dict[str, float | str]:
    details: dict[str, float | str] = {"windows": "fixed, mean of the cosines"}
    if inputs.reference_similarities:
        details["reference"] = float(np.mean(list(inputs.reference_similarities.values())))
    return details
