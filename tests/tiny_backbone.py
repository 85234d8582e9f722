"""A backbone without weights: band energies of a clip, and of a text its length. For tests."""

from pathlib import Path

import numpy as np

from latentaudio.evaluate.backbones.base import BackboneSpec, split_windows
from latentaudio.evaluate.features import ClipFeatures

NUM_BANDS = 4


class TinyBackbone:
    """Log energies of four bands in windows of 0.1 s; they are also the logits."""

    sample_rate = 8000

    def __init__(self, name, version=1):
        self.name = name
        self.version = version
        self.weights_sha256 = "0" * 64
        self.num_calls = 0

    def embed(self, samples):
        self.num_calls += 1
        rows = []
        for window in split_windows(samples, 800):
            power = np.square(np.abs(np.fft.rfft(window, 800)))
            bands = [part.mean() for part in np.array_split(power, NUM_BANDS)]
            rows.append(np.log(np.array(bands) + 1e-3))
        embeddings = np.array(rows, np.float32)
        return ClipFeatures(embeddings, embeddings.mean(axis=0))

    def embed_texts(self, texts):
        return np.array([[len(text) / 100] * NUM_BANDS for text in texts], np.float32)


def spec_of(backbone, **flags):
    """A row of the table for a backbone that exists."""

    def load(weights: Path | None):
        return backbone

    return BackboneSpec(backbone.name, "for tests", load, **flags)
