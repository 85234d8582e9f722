"""CLAP as a backbone: embeddings of fixed windows of 10 s, and of texts.

The network is that of any model which this package opens: the bundled one, a diffusers folder or
the authors' checkpoint. Windows do not overlap and are not random, so a score repeats.

Letters: T samples, M texts, E size of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...audio.mel import CLAP_RATE
from ...conditioning.clap import clap_text_embeds, embed_clips
from ...errors import UsageError
from ..features import ClipFeatures
from .base import Backbone, BackboneSpec, Samples, as_numpy, require_weights, split_windows
from .weights import sha256_of_tensors

WINDOW_S = 10


class CLAP:
    """The CLAP of a model."""

    sample_rate = CLAP_RATE
    version = 1

    def __init__(self, name: str, model: str | Path) -> None:
        """Load the CLAP of a model.

        Args:
            name: its row in `BACKBONES`.
            model: name or path of the model.

        Raises:
            UsageError: The model has no CLAP with an audio encoder.
        """
        from ...pipeline import load

        system = load(model, "cpu", "fp32")
        if not system.config.can_rank:
            raise UsageError(f"the model {model} has no CLAP for audio; name another one")
        self.name = name
        self._encoders = system.encoders
        clap = self._encoders.clap
        assert clap is not None
        self.weights_sha256 = sha256_of_tensors(clap)

    @torch.inference_mode()
    def embed(self, samples: Samples) -> ClipFeatures:
        """Return a unit vector for each window of 10 s, [W, E]."""
        windows = split_windows(samples, WINDOW_S * CLAP_RATE)
        return ClipFeatures(as_numpy(embed_clips(self._encoders, windows, CLAP_RATE)))

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors [M, E]."""
        return as_numpy(clap_text_embeds(self._encoders, texts))


def load_mini(weights: Path | None) -> Backbone:
    """Return the CLAP of the bundled model."""
    if weights is not None:
        raise UsageError("mini-clap is in the package; use --backbone clap with other weights")
    return CLAP("mini-clap", "mini")


def load_published(weights: Path | None) -> Backbone:
    """Return the CLAP of a model that the user names."""
    return CLAP("clap", require_weights(weights, "clap", "a model folder, checkpoint or name"))


SPEC_OF_MINI = BackboneSpec(
    "mini-clap",
    "CLAP of the bundled model, synthesized sounds only (Apache-2.0)",
    load_mini,
    has_texts=True,
    is_of_mini=True,
)
SPEC = BackboneSpec(
    "clap",
    "CLAP of a model that this package opens; the license is that of its weights",
    load_published,
    has_texts=True,
    weights="a model folder, checkpoint or name",
)
