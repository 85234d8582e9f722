"""Inception score (arXiv 1606.03498): exp of the mean divergence of p(class | clip) from p(class).

The classes of AudioSet do not exclude each other, so a softmax over them is disputed. The score is
here because the papers print it.

Letters: N clips, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy.special
from numpy.typing import NDArray

from ..features import FeatureSet
from .base import (
    Measurement,
    MetricInputs,
    MetricSpec,
    normal_interval,
    pseudo_values,
    variance_of_mean,
)

Vector = NDArray[np.float64]


def log_scores(features: FeatureSet, clips: Sequence[int]) -> Vector:
    """Return the divergence of each clip's classes from their mean, [N].

    The clips are read twice, one at a time, so memory does not grow with their number.

    Args:
        features: a set with logits.
        clips: indices of clips.
    """
    total = np.zeros(0)
    for index in clips:
        probs = scipy.special.softmax(features.logits(index))
        total = total + probs if len(total) else probs
    mean = total / len(clips)
    scores = []
    for index in clips:
        probs = scipy.special.softmax(features.logits(index))
        scores.append(scipy.special.rel_entr(probs, mean).sum())  # 0 log 0 is 0
    return np.array(scores)


def split(num_clips: int, num_parts: int, seed: int) -> list[list[int]]:
    """Return the clips of random parts, the same as in torch-fidelity and audioldm_eval."""
    order = np.random.RandomState(seed).permutation(num_clips)
    edges = [index * num_clips // num_parts for index in range(num_parts + 1)]
    return [order[start:end].tolist() for start, end in pairwise(edges)]


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return the score, over all clips or as the mean over parts if the protocol says so."""
    features = inputs.generated
    num_clips = len(features)
    scores = log_scores(features, range(num_clips))
    value = math.exp(scores.mean())
    num_splits = inputs.protocol.inception_splits
    if num_splits > 1:
        parts = split(num_clips, min(num_splits, num_clips), inputs.protocol.seed)
        value = float(np.mean([math.exp(log_scores(features, part).mean()) for part in parts]))
    influences = value * (scores - scores.mean())
    variance = variance_of_mean(influences)
    return [
        Measurement(
            value,
            num_clips,
            interval=normal_interval(value, variance, lowest=1.0),
            details={
                "classes": len(features.logits(0)),
                "splits": num_splits,
                "probabilities": "softmax",
            },
            by_clip=pseudo_values(inputs.generated.names, value, influences),
        )
    ]


SPEC = MetricSpec(
    "inception-score", "Inception score", compute, ("classes",), is_lower_better=False
)
