"""PANNs Cnn14 (arXiv 1912.10211): a classifier of AudioSet's 527 classes, from published files.

The weights are `Cnn14_16k_mAP=0.438.pth` or `Cnn14_mAP=0.431.pth` (Zenodo 3987831 and 3576403). No
code of a file is executed. The embedding is the layer before the classes; the logits come before
the sigmoid. The file holds its mel filters, which tell the two rates apart.

Letters: B batch, C channels, T samples, L frames, F mel bands, E size of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from ...audio.mel import filterbank, magnitudes
from ...errors import WeightsError
from ...fileio import sha256_of_file
from ..features import ClipFeatures
from .base import Backbone, BackboneSpec, Samples, as_numpy, require_weights
from .published_weights import load_published

N_MELS = 64
NUM_CLASSES = 527
CHANNELS = (1, 64, 128, 256, 512, 1024, 2048)
_FLOOR = 1e-10  # of the power: -100 dB
_MIN_FRAMES = 32  # five poolings by two
_MEL_KEY = "logmel_extractor.melW"
_CONSTANTS = ("spectrogram_extractor.", "logmel_extractor.")  # of the front end
_MEL_TOLERANCE = 1e-5


@dataclass(frozen=True)
class FrontEnd:
    """The log-mel of a network.

    Attributes:
        sample_rate: in Hz.
        n_fft: samples of a window.
        hop_length: samples between windows.
        fmin: lowest frequency in Hz.
        fmax: highest frequency in Hz.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    fmin: float
    fmax: float

    def bank(self) -> Tensor:
        """Return the mel filters [F, n_fft / 2 + 1]."""
        return filterbank(self.sample_rate, self.n_fft, N_MELS, self.fmin, self.fmax)


FRONT_ENDS = {
    "panns-16k": FrontEnd(16000, 512, 160, 50.0, 8000.0),
    "panns-32k": FrontEnd(32000, 1024, 320, 50.0, 14000.0),
}


class _ConvBlock(nn.Module):
    """Two 3x3 convolutions, each with batch norm and ReLU, then average pooling."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, pool_size: int) -> Tensor:
        """[B, C, L, F] -> [B, out_channels, L / pool_size, F / pool_size]."""
        x = nnf.relu(self.bn1(self.conv1(x)))
        x = nnf.relu(self.bn2(self.conv2(x)))
        return nnf.avg_pool2d(x, pool_size)


class Cnn14(nn.Module):
    """The network; modules have the names of the published file."""

    def __init__(self, front_end: FrontEnd, channels: tuple[int, ...] = CHANNELS) -> None:
        super().__init__()
        self.front_end = front_end
        self.bn0 = nn.BatchNorm2d(N_MELS)
        self.num_blocks = len(channels) - 1
        for number, (in_channels, out_channels) in enumerate(pairwise(channels), 1):
            self.add_module(f"conv_block{number}", _ConvBlock(in_channels, out_channels))
        self.fc1 = nn.Linear(channels[-1], channels[-1])
        self.fc_audioset = nn.Linear(channels[-1], NUM_CLASSES)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Samples [B, T] -> embeddings [B, E] and logits [B, 527]."""
        front = self.front_end
        power = magnitudes(samples, front.n_fft, front.hop_length, front.n_fft // 2).square()
        mel = power @ front.bank().T
        x = 10.0 * mel.clamp_min(_FLOOR).log10()[:, None]  # [B, 1, L, F]
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        for number in range(1, self.num_blocks + 1):
            is_last = number == self.num_blocks
            x = self.get_submodule(f"conv_block{number}")(x, 1 if is_last else 2)
        x = x.mean(dim=3)
        x = x.amax(dim=2) + x.mean(dim=2)
        embedding = nnf.relu(self.fc1(x))
        return embedding, self.fc_audioset(embedding)


class PANNs:
    """Cnn14 as a backbone; one embedding for a clip of any length."""

    version = 1

    def __init__(self, name: str, weights: Path) -> None:
        """Load the weights.

        Args:
            name: row of `BACKBONES`.
            weights: the published file, or a .safetensors file of the same tensors.

        Raises:
            WeightsError: The file is damaged, of another network or of another rate.
        """
        self.name = name
        self.front_end = FRONT_ENDS[name]
        self.sample_rate = self.front_end.sample_rate
        self.network = Cnn14(self.front_end)
        constants = load_published(self.network, weights, _CONSTANTS)
        _check_filters(constants.get(_MEL_KEY), self.front_end, weights, name)
        self.weights_sha256 = sha256_of_file(weights)

    @torch.inference_mode()
    def embed(self, samples: Samples) -> ClipFeatures:
        """Return one embedding [1, 2048] and the logits of the classes."""
        missing = max(0, _MIN_FRAMES * self.front_end.hop_length - len(samples))
        padded = torch.from_numpy(np.pad(samples, (0, missing)))
        embedding, logits = self.network(padded[None])
        return ClipFeatures(as_numpy(embedding), as_numpy(logits)[0])


def load(weights: Path | None, name: str) -> Backbone:
    """Return the network of published weights."""
    return PANNs(name, require_weights(weights, name, "the Cnn14 file of PANNs"))


def _check_filters(bank: Tensor | None, front: FrontEnd, weights: Path, name: str) -> None:
    """Raise WeightsError if the mel filters of a file are those of another rate."""
    if bank is None:
        return
    expected = front.bank().T
    if bank.shape == expected.shape and (bank - expected).abs().max() < _MEL_TOLERANCE:
        return
    others = " or ".join(each for each in FRONT_ENDS if each != name)
    raise WeightsError(
        f"{weights} has mel filters of another rate than {name}; use it with {others}"
    )


SPECS = tuple(
    BackboneSpec(
        name,
        f"PANNs Cnn14 at {front.sample_rate // 1000} kHz, AudioSet, 527 classes; own license",
        partial(load, name=name),
        has_classes=True,
        weights="the Cnn14 file of PANNs",
    )
    for name, front in FRONT_ENDS.items()
)
