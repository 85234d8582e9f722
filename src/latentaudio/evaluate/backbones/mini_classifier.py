"""The sound classifier of mini's benchmark, as a backbone. It knows synthesized sounds only."""

from __future__ import annotations

from pathlib import Path

import torch

from ...errors import WeightsError
from ...fileio import sha256_of_file
from ..features import ClipFeatures
from ..mini.classifier import SPEC as MEL_SPEC
from ..mini.classifier import WEIGHTS_FILE, load_classifier, log_mel_of
from .base import Backbone, BackboneSpec, Samples, as_numpy

DEFAULT_FOLDER = Path("benchmarks/classifier")
"""In the folder of the repository."""


class MiniClassifier:
    """The classifier; one embedding for a clip of any length."""

    name = "mini-classifier"
    sample_rate = MEL_SPEC.sample_rate
    version = 1

    def __init__(self, folder: Path) -> None:
        """Load the classifier of a folder.

        Raises:
            WeightsError: The folder has none.
        """
        self._classifier = load_classifier(folder)
        self.labels = list(self._classifier.class_names)
        self.weights_sha256 = sha256_of_file(folder / WEIGHTS_FILE)

    @torch.inference_mode()
    def embed(self, samples: Samples) -> ClipFeatures:
        """Return one embedding [1, 64] and the logits of the classes."""
        log_mel = log_mel_of(samples).float()[None, None]
        logits, embedding = self._classifier(log_mel)
        return ClipFeatures(as_numpy(embedding), as_numpy(logits)[0])


def load(weights: Path | None) -> Backbone:
    """Return the classifier of a folder; None is that of the repository."""
    folder = weights or DEFAULT_FOLDER
    if weights is None and not folder.is_dir():
        raise WeightsError(
            f"there is no {folder} here; run in the folder of the repository, or add "
            "--weights mini-classifier=FOLDER"
        )
    return MiniClassifier(folder)


SPEC = BackboneSpec(
    "mini-classifier",
    "classifier of mini's benchmark, synthesized sounds only (Apache-2.0)",
    load,
    has_classes=True,
    is_of_mini=True,
    weights="folder of the sound classifier",
)
