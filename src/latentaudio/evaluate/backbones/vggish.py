"""VGGish (arXiv 1609.09430), the network behind the FAD of most papers, from published files.

The weights are `vggish-10086976.pth` of the repository harritaylor/torchvggish, which has Google's
tensors. As in the tools that papers use, the last ReLU and the principal components are left out.

Letters: B batch, T samples, L frames, F mel bands.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...fileio import sha256_of_file
from ..features import ClipFeatures
from .base import Backbone, BackboneSpec, Samples, as_numpy, require_weights
from .published_weights import load_published
from .yamnet import filterbank

RATE = 16000  # Hz
EXAMPLE_FRAMES = 96  # of an embedding: 0.96 s, without overlap
EXAMPLE_SAMPLES = 15600
_WINDOW = 400  # samples: 25 ms
_HOP = 160
_N_FFT = 512
_LOG_OFFSET = 0.01
_LEVELS: tuple[tuple[int, ...], ...] = ((64,), (128,), (256, 256), (512, 512))
_HIDDEN = 4096
EMBEDDING_SIZE = 128


class VGG(nn.Module):
    """The network; modules have the names of the published file."""

    def __init__(
        self, levels: tuple[tuple[int, ...], ...] = _LEVELS, hidden_size: int = _HIDDEN
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 1
        for level in levels:
            for out_channels in level:
                layers += [nn.Conv2d(in_channels, out_channels, 3, 1, 1), nn.ReLU()]
                in_channels = out_channels
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(in_channels * 24, hidden_size),  # 96 x 64 after four poolings: 6 x 4
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, EMBEDDING_SIZE),
        )

    def forward(self, log_mel: Tensor) -> Tensor:
        """[B, 1, 96, 64] -> [B, 128]."""
        x = self.features(log_mel)
        x = x.permute(0, 2, 3, 1).flatten(1)  # channels last, as in TensorFlow
        out: Tensor = self.embeddings(x)
        return out


class VGGish:
    """VGGish as a backbone; one embedding for each 0.96 s."""

    name = "vggish"
    sample_rate = RATE
    version = 1

    def __init__(self, weights: Path) -> None:
        """Load the weights.

        Args:
            weights: the published file, or a .safetensors file of the same tensors.

        Raises:
            WeightsError: The file is damaged or of another network.
        """
        self.network = VGG()
        load_published(self.network, weights)
        self.weights_sha256 = sha256_of_file(weights)

    @torch.inference_mode()
    def embed(self, samples: Samples) -> ClipFeatures:
        """Return one embedding for each example, [W, 128]."""
        examples = torch.from_numpy(make_examples(samples))
        return ClipFeatures(as_numpy(self.network(examples)))


def make_examples(samples: Samples) -> np.ndarray:
    """Return log-mels [B, 1, 96, 64] of a clip [T]; a rest of less than 0.96 s is left out.

    A clip that is too short is padded with silence to one example.
    """
    padded = np.pad(samples.astype(np.float64), (0, max(0, EXAMPLE_SAMPLES - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    spectrum = np.abs(np.fft.rfft(frames * window, _N_FFT))
    log_mel = np.log(spectrum @ filterbank().astype(np.float64) + _LOG_OFFSET)
    count = len(log_mel) // EXAMPLE_FRAMES
    shape = (count, 1, EXAMPLE_FRAMES, log_mel.shape[1])
    return np.asarray(log_mel[: count * EXAMPLE_FRAMES].reshape(shape), np.float32)


def load(weights: Path | None) -> Backbone:
    """Return the network of published weights."""
    return VGGish(require_weights(weights, "vggish", "vggish-10086976.pth"))


SPEC = BackboneSpec(
    "vggish",
    "VGGish, YouTube-8M, without the last ReLU and without PCA; own license",
    load,
    weights="vggish-10086976.pth",
)
