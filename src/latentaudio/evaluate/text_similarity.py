"""Similarities of clips and their captions, and the hash of the list of captions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from .backbones.base import TextBackbone
from .features import FeatureSet


def similarities(
    features: FeatureSet, backbone: TextBackbone, captions: Mapping[str, tuple[str, ...]]
) -> dict[str, float]:
    """Return the mean cosine over windows and captions of every clip that has a caption.

    Args:
        features: embeddings of the clips.
        backbone: the network that embedded them.
        captions: captions by name.

    Returns:
        Similarities by name.
    """
    similarities = {}
    for index, name in enumerate(features.names):
        if name in captions:
            texts = backbone.embed_texts(captions[name]).astype(np.float64)
            windows = features.points(index, "windows")
            similarities[name] = float((windows @ texts.T).mean())
    return similarities


def captions_sha256(captions: Mapping[str, Sequence[str]]) -> str | None:
    """Return the hash of names and captions, sorted by name; None without captions."""
    if not captions:
        return None
    lines = []
    for name in sorted(captions):
        lines += [f"{name}\t{caption}\n" for caption in captions[name]]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
