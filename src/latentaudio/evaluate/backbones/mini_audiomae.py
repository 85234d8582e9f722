"""AudioMAE of the bundled model, as a backbone: the mean of its features over each window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from ...audio.mel import AUDIOMAE_RATE, kaldi_fbank
from ...errors import UsageError
from ..features import ClipFeatures
from .base import Backbone, BackboneSpec, Samples, as_numpy, split_windows
from .weights import sha256_of_tensors

if TYPE_CHECKING:
    from ...models.audiomae import AudioMAE

_FRAME_SAMPLES = 160  # of the filterbank at 16 kHz


class MiniAudioMAE:
    """The encoder; one embedding for each 10.24 s."""

    name = "mini-audiomae"
    sample_rate = AUDIOMAE_RATE
    version = 1

    def __init__(self) -> None:
        """Load AudioMAE of the bundled model."""
        from ...pipeline import load

        self._audiomae = cast("AudioMAE", load("mini", "cpu", "fp32").components["audiomae"])
        self.weights_sha256 = sha256_of_tensors(self._audiomae)

    @torch.inference_mode()
    def embed(self, samples: Samples) -> ClipFeatures:
        """Return one embedding for each window, [W, E]."""
        config = self._audiomae.config
        embeddings = []
        for window in split_windows(samples, config.num_frames * _FRAME_SAMPLES):
            rows = -(-len(window) // (_FRAME_SAMPLES * config.patch_size))
            num_frames = min(config.num_frames, max(1, rows) * config.patch_size)
            fbank = kaldi_fbank(torch.from_numpy(window)[None], num_frames)
            features = self._audiomae.features(fbank)[0, 1:]  # without CLS
            embeddings.append(as_numpy(features.mean(dim=0)))
        return ClipFeatures(np.stack(embeddings))


def load(weights: Path | None) -> Backbone:
    """Return AudioMAE of the bundled model."""
    if weights is not None:
        raise UsageError("mini-audiomae is in the package; leave --weights mini-audiomae=... out")
    return MiniAudioMAE()


SPEC = BackboneSpec(
    "mini-audiomae",
    "AudioMAE of the bundled model, synthesized sounds only (Apache-2.0)",
    load,
    is_of_mini=True,
)
