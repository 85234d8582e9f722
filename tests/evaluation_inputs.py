"""Inputs of metrics from arrays, for tests."""

from dataclasses import replace

import numpy as np

from latentaudio.evaluate.clips import pair_names
from latentaudio.evaluate.features import FeatureSet, feature_set
from latentaudio.evaluate.metrics.base import MetricInputs
from latentaudio.evaluate.protocols import PROTOCOLS


def inputs_of(generated, reference=None, **settings):
    """Inputs of a metric: sets or arrays of embeddings, and settings of the protocol."""
    sides = []
    for side in (generated, reference):
        is_ready = side is None or isinstance(side, FeatureSet)
        sides.append(side if is_ready else feature_set(np.asarray(side)))
    protocol = replace(PROTOCOLS["recommended"], **settings)
    pairs = pair_names(sides[0].names, sides[1].names)[0] if sides[1] else []
    return MetricInputs(*sides, protocol, pairs)


def logit_inputs(generated, reference=None, **settings):
    """Inputs of a metric of classes, from arrays of logits."""
    sides = []
    for side in (generated, reference):
        array = None if side is None else np.asarray(side, np.float64)
        sides.append(None if array is None else feature_set(np.zeros((len(array), 1)), array))
    return inputs_of(*sides, **settings)
