"""Divergence of a clip's classes from those of the reference clip with the same name.

Four numbers, because papers mean different ones: softmax or sigmoid over the logits, and both
directions. "The KL" of the AudioLDM papers is softmax, reference || generated.

Letters: K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.special
from numpy.typing import NDArray

from .base import Measurement, MetricInputs, MetricSpec, mean_measurement

Vector = NDArray[np.float64]
Divergence = Callable[[Vector, Vector, float], float]
"""(logits [K] of p, logits [K] of q, epsilon) -> KL(p || q) in nats."""


def softmax_kl(first: Vector, second: Vector, epsilon: float = 0.0) -> float:
    """Return KL(p || q) of softmax probabilities of two vectors of logits [K]."""
    log_p = scipy.special.log_softmax(first)
    log_q = scipy.special.log_softmax(second)
    if epsilon:
        return float((np.exp(log_p) * (log_p - np.log(np.exp(log_q) + epsilon))).sum())
    return float(max(0.0, (np.exp(log_p) * (log_p - log_q)).sum()))


def bernoulli_kl(first: Vector, second: Vector, epsilon: float = 0.0) -> float:
    """Return the sum over classes of KL(p || q) of "the class is there", logits [K]."""
    log_p = scipy.special.log_expit(first)
    log_not_p = scipy.special.log_expit(-first)
    is_there = np.exp(log_p) * (log_p - scipy.special.log_expit(second))
    is_absent = np.exp(log_not_p) * (log_not_p - scipy.special.log_expit(-second))
    return float(max(0.0, (is_there + is_absent).sum()))


def sigmoid_sum(first: Vector, second: Vector, epsilon: float = 0.0) -> float:
    """Return the sum of p log(p / q) over sigmoid probabilities; no divergence, may be below 0."""
    log_p = scipy.special.log_expit(first)
    q = scipy.special.expit(second)
    return float((np.exp(log_p) * (log_p - np.log(q + epsilon))).sum())


_SIGMOID: dict[str, Divergence] = {"bernoulli": bernoulli_kl, "sum": sigmoid_sum}


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the four means over pairs."""
    protocol = inputs.protocol
    sigmoid = _SIGMOID[protocol.kl_sigmoid]
    forms: dict[str, Divergence] = {
        "softmax": softmax_kl,
        f"sigmoid {protocol.kl_sigmoid}": sigmoid,
    }
    values: dict[str, dict[str, float]] = {}
    for form in forms:
        for direction in ("reference || generated", "generated || reference"):
            values[f"{form}, {direction}"] = {}
    for generated_index, reference_index in inputs.pairs:
        name = inputs.generated.names[generated_index]
        generated = inputs.generated.logits(generated_index)
        reference = inputs.references.logits(reference_index)
        for form, divergence in forms.items():
            forward = divergence(reference, generated, protocol.kl_epsilon)
            backward = divergence(generated, reference, protocol.kl_epsilon)
            values[f"{form}, reference || generated"][name] = forward
            values[f"{form}, generated || reference"][name] = backward
    details = {"epsilon": protocol.kl_epsilon, "unit": "nats"}
    return [mean_measurement(numbers, form, details) for form, numbers in values.items()]


SPEC = MetricSpec("kl", "KL divergence", compute, ("classes", "pairs", "reference"))
