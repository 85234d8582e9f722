"""Inception score (arXiv 1606.03498): exp of the mean divergence of p(class | clip) from p(class).

The classes of AudioSet do not exclude each other, so a softmax over them is disputed. The score is
here because the papers print it.

Letters: N clips, K classes.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import scipy.special
from numpy.typing import NDArray

from .base import (
    Measurement,
    MetricInputs,
    MetricSpec,
    normal_interval,
    pseudo_values,
    variance_of_mean,
)
from .mmd import Matrix


def log_scores(log_probs: Matrix) -> Matrix:
    """Return the divergence of each clip's classes from their mean, [N].

    Args:
        log_probs: [N, K] natural logarithms of probabilities.
    """
    log_mean = scipy.special.logsumexp(log_probs, axis=0) - math.log(len(log_probs))
    probs = np.exp(log_probs)
    # 0 log 0 is 0
    terms = np.where(probs > 0, probs * (np.where(probs > 0, log_probs, 0.0) - log_mean), 0.0)
    return np.asarray(terms.sum(axis=1))


def split(num_clips: int, num_parts: int, seed: int) -> list[NDArray[np.int64]]:
    """Return the clips of random parts, the same as in torch-fidelity and audioldm_eval."""
    order = np.random.RandomState(seed).permutation(num_clips)
    edges = [index * num_clips // num_parts for index in range(num_parts + 1)]
    return [order[start:end] for start, end in pairwise(edges)]


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the score, over all clips or as the mean over parts if the protocol says so."""
    num_clips = len(inputs.generated)
    logits = np.stack([inputs.generated.logits(index) for index in range(num_clips)])
    log_probs = scipy.special.log_softmax(logits, axis=1)
    scores = log_scores(log_probs)
    value = math.exp(scores.mean())
    num_splits = inputs.protocol.inception_splits
    if num_splits > 1:
        parts = split(num_clips, min(num_splits, num_clips), inputs.protocol.seed)
        value = float(np.mean([math.exp(log_scores(log_probs[part]).mean()) for part in parts]))
    influences = value * (scores - scores.mean())
    variance = variance_of_mean(influences)
    return [
        Measurement(
            value,
            num_clips,
            interval=normal_interval(value, variance, lowest=1.0),
            details={"classes": logits.shape[1], "splits": num_splits, "probabilities": "softmax"},
            by_clip=pseudo_values(inputs.generated.names, value, influences),
        )
    ]


SPEC = MetricSpec(
    "inception-score", "Inception score", compute, ("classes",), is_lower_better=False
)
