"""PaSST (arXiv 2110.05069): a transformer on patches of a mel, AudioSet's 527 classes.

The weights are published files of the repository kkoutini/PaSST, such as
`passt-s-f128-p16-s10-ap.476-swa.pt`. No code of a file is executed. The embedding is the mean of
the class token and the distillation token; the logits come before the sigmoid. Clips are cut into
windows of 10 s every 5 s, as in stable-audio-metrics.

Letters: B batch, T samples, L frames, F mel bands, E size of an embedding, H W grid of patches,
S tokens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from ...fileio import sha256_of_file
from ..features import ClipFeatures
from .base import Backbone, BackboneSpec, Samples, as_numpy, require_weights
from .published_weights import load_published
from .yamnet import mel_filters

RATE = 32000  # Hz
WINDOW_S = 10
HOP_S = 5
NUM_CLASSES = 527
_N_MELS = 128
_MAX_FRAMES = 998  # of the positions in the published files
_PATCH = 16
_STRIDE = 10
_SIZE = 768
_DEPTH = 12
_NUM_HEADS = 12
_N_FFT = 1024
_WINDOW_SAMPLES = 800
_HOP_SAMPLES = 320
_FMAX = 15000.0
_PREEMPHASIS = 0.97
_MIN_SAMPLES = (_PATCH + 1) * _HOP_SAMPLES
_NORM_EPS = 1e-6  # of the blocks; the head has PyTorch's default


class _Attention(nn.Module):
    def __init__(self, size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(size, 3 * size)
        self.proj = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, S, E] -> [B, S, E]."""
        batch, length, size = x.shape
        heads = self.qkv(x).view(batch, length, 3, self.num_heads, size // self.num_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = nnf.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class _MLP(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(size, 4 * size)
        self.fc2 = nn.Linear(4 * size, size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, S, E] -> [B, S, E]."""
        out: Tensor = self.fc2(nnf.gelu(self.fc1(x)))
        return out


class _Block(nn.Module):
    def __init__(self, size: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size, _NORM_EPS)
        self.attn = _Attention(size, num_heads)
        self.norm2 = nn.LayerNorm(size, _NORM_EPS)
        self.mlp = _MLP(size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, S, E] -> [B, S, E]."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _PatchEmbedding(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, size, _PATCH, _STRIDE)

    def forward(self, mel: Tensor) -> Tensor:
        """[B, 1, F, L] -> [B, E, H, W]."""
        out: Tensor = self.proj(mel)
        return out


class Transformer(nn.Module):
    """The network; modules have the names of the published files."""

    def __init__(self, size: int = _SIZE, depth: int = _DEPTH, num_heads: int = _NUM_HEADS) -> None:
        super().__init__()
        self.patch_embed = _PatchEmbedding(size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, size))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, size))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, size, _N_MELS // _STRIDE, 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, size, 1, _MAX_FRAMES // _STRIDE))
        self.blocks = nn.Sequential(*(_Block(size, num_heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(size, _NORM_EPS)
        self.head = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, NUM_CLASSES))
        self.head_dist = nn.Linear(size, NUM_CLASSES)  # in the files, without effect

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel [B, 1, F, L] -> embeddings [B, E] and logits [B, 527]."""
        x = self.patch_embed(mel)
        x = x + self.time_new_pos_embed[..., : x.shape[-1]] + self.freq_new_pos_embed
        tokens = torch.cat((self.cls_token, self.dist_token), dim=1) + self.new_pos_embed
        x = torch.cat((tokens.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)), dim=1)
        x = self.norm(self.blocks(x))
        embedding = x[:, :2].mean(dim=1)
        return embedding, self.head(embedding)


class PaSST:
    """PaSST as a backbone; one embedding for each window."""

    name = "passt"
    sample_rate = RATE
    version = 1

    def __init__(self, weights: Path) -> None:
        """Load the weights.

        Args:
            weights: the published file, or a .safetensors file of the same tensors.

        Raises:
            WeightsError: The file is damaged or of another network.
        """
        self.network = Transformer()
        load_published(self.network, weights)
        self.weights_sha256 = sha256_of_file(weights)

    @torch.inference_mode()
    def embed(self, samples: Samples) -> ClipFeatures:
        """Return one embedding for each window, [W, 768], and the mean logits of the windows."""
        embeddings = []
        logits = []
        for window in windows_of(samples):
            embedding, logit = self.network(log_mel(torch.from_numpy(window))[None, None])
            embeddings.append(as_numpy(embedding))
            logits.append(as_numpy(logit))
        return ClipFeatures(np.concatenate(embeddings), np.concatenate(logits).mean(axis=0))


def windows_of(samples: Samples) -> list[Samples]:
    """Return windows of 10 s every 5 s of a clip [T]; the last one is shorter.

    A clip that is too short for a patch is padded with silence.
    """
    size = WINDOW_S * RATE
    windows = []
    for start in range(0, max(1, len(samples)), HOP_S * RATE):
        windows.append(samples[start : start + size])
        if len(samples) - start <= size:
            break
    missing = max(0, _MIN_SAMPLES - len(windows[0]))
    windows[0] = np.pad(windows[0], (0, missing))
    return windows


def log_mel(samples: Tensor) -> Tensor:
    """Return the log-mel [128, L] of a window [T], as PaSST is trained on."""
    emphasized = samples[1:] - _PREEMPHASIS * samples[:-1]
    spectrum = torch.stft(
        emphasized,
        _N_FFT,
        _HOP_SAMPLES,
        _WINDOW_SAMPLES,
        torch.hann_window(_WINDOW_SAMPLES, periodic=False),
        return_complex=True,
    )
    filters = torch.from_numpy(mel_filters(RATE, _N_FFT, _N_MELS, 0.0, _FMAX))
    mel = filters.T @ spectrum.abs().square()
    return ((mel + 1e-5).log() + 4.5) / 5.0


def load(weights: Path | None) -> Backbone:
    """Return the network of published weights."""
    return PaSST(require_weights(weights, "passt", "passt-s-f128-p16-s10-ap.476-swa.pt"))


SPEC = BackboneSpec(
    "passt",
    "PaSST, AudioSet, 527 classes, 32 kHz; own license",
    load,
    has_classes=True,
    weights="passt-s-f128-p16-s10-ap.476-swa.pt",
)
