"""Seams of the backbones: what a network gets, what it returns, and its row in the table.

Letters: T samples, M texts, E size of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import UsageError
from ..features import ClipFeatures

Samples = NDArray[np.float32]


class Backbone(Protocol):
    """A network that turns clips into features.

    Attributes:
        name: its row in `BACKBONES`.
        sample_rate: rate of its input in Hz.
        weights_sha256: hash of its weights.
        version: number of our code around it; a change makes cached features invalid.
    """

    name: str
    sample_rate: int
    weights_sha256: str
    version: int

    def embed(self, samples: Samples) -> ClipFeatures:
        """Return the features of a clip [T] at `sample_rate`."""


class TextBackbone(Backbone, Protocol):
    """A backbone that embeds texts in the same space."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors [M, E]."""


@dataclass(frozen=True)
class BackboneSpec:
    """A row of `BACKBONES`.

    Attributes:
        name: the word that users type.
        description: network, training data and license of the weights, in one line.
        load: weights (None: those that are there) -> the backbone.
        has_classes: whether it gives logits of classes.
        has_texts: whether it embeds texts.
        has_embeddings: whether its output is a space in which distances have a meaning.
        has_aesthetics: whether its output is the four axes of Audiobox Aesthetics.
        is_of_mini: whether it was trained on the sounds of `mini` alone. Its numbers must not be
            called FAD or CLAP.
        weights: what the user has to name; "" if nothing.
    """

    name: str
    description: str
    load: Callable[[Path | None], Backbone]
    has_classes: bool = False
    has_texts: bool = False
    has_embeddings: bool = True
    has_aesthetics: bool = False
    is_of_mini: bool = False
    weights: str = ""


def require_weights(weights: Path | None, name: str, kind: str) -> Path:
    """Return the path of the weights.

    Args:
        weights: what the user has named.
        name: the backbone.
        kind: what to name, for the error.

    Raises:
        UsageError: Nothing is named.
    """
    if weights is None:
        raise UsageError(
            f"the backbone {name} needs weights: add --weights {name}=PATH with {kind}"
        )
    return weights


def split_windows(samples: Samples, size: int) -> list[Samples]:
    """Return the fixed windows of a clip [T], each `size` samples long but the last.

    A rest shorter than half a window is left out, unless it is the whole clip.

    Args:
        samples: the clip.
        size: samples of a window.
    """
    starts = range(0, max(1, len(samples)), size)
    windows = [samples[start : start + size] for start in starts]
    if len(windows) > 1 and len(windows[-1]) * 2 < size:
        windows.pop()
    return windows


def as_numpy(values: Tensor) -> NDArray[np.float32]:
    """Return a tensor as an array in float32."""
    return np.asarray(values.detach().to("cpu", torch.float32).numpy())
