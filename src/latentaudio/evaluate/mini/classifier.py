"""The sound classifier of the benchmark: it names the sound class of a clip.

It is trained on ground truth of the renderer only, never on the output of a model. That keeps it
independent of the model that it measures.

Letters: B batch, C channels, T samples, L mel frames, F mel bands, N clips, K classes,
E size of an embedding.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as nnf

from ...audio.mel import vae_mel
from ...config.architecture import MelSpec
from ...config.parsing import parse_json, read_bounded
from ...errors import WeightsError, first_line

SPEC = MelSpec()
EMBEDDING_SIZE = 64
_HIDDEN_SIZE = 192
_RANGE = 7.0  # nats below the loudest cell of a clip that count: 61 dB; the level itself does not
_CROP_FRAMES = 256  # of a training example: 2.56 s
_LOUD_NATS = 2.0  # a training crop contains a frame within this of the loudest one

WEIGHTS_FILE = "classifier.safetensors"
CONFIG_FILE = "classifier.json"


@dataclass(frozen=True)
class Predictions:
    """Output of the classifier for N clips.

    Attributes:
        log_probs: log-probabilities [N, K].
        embeddings: the layer before the last one [N, E], for Fréchet distances.
    """

    log_probs: np.ndarray
    embeddings: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """Index of the most probable class of each clip, [N]."""
        return np.asarray(self.log_probs.argmax(axis=1))


class _DownBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; the first one halves time and frequency."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(in_channels, out_channels, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.conv = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.last = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, L, F] -> [B, out_channels, L/2, F/2]."""
        x = nnf.relu(self.norm(self.down(x)))
        return nnf.relu(x + self.last(self.conv(x)))


class SoundClassifier(nn.Module):
    """A CNN over a log-mel spectrogram with attention pooling over time.

    Attributes:
        class_names: the sound classes, in the order of the outputs.
        channels: channels of the convolutions, level by level.
    """

    def __init__(
        self, class_names: Sequence[str], channels: tuple[int, ...] = (32, 48, 96, 160)
    ) -> None:
        """Build a classifier with random weights.

        Args:
            class_names: the sound classes.
            channels: channels of the convolutions, level by level.
        """
        super().__init__()
        self.class_names = tuple(class_names)
        self.channels = channels
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels[0], (7, 5), (4, 2), (3, 2), bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(*(_DownBlock(a, b) for a, b in pairwise(channels)))
        bands = SPEC.n_mels // 2 ** len(channels)
        self.project = nn.Conv1d(channels[-1] * bands, _HIDDEN_SIZE, 1)
        self.attention = nn.Conv1d(_HIDDEN_SIZE, 1, 1)
        self.embedding = nn.Linear(2 * _HIDDEN_SIZE, EMBEDDING_SIZE)
        self.head = nn.Linear(EMBEDDING_SIZE, len(self.class_names))

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, K] and embeddings [B, E] of log-mels [B, 1, L, F] of any level."""
        # Relative to the loudest cell, so that the level of a clip has no influence.
        peak = log_mel.amax(dim=(1, 2, 3), keepdim=True)
        x = (log_mel - peak).clamp_min(-_RANGE) * (2 / _RANGE) + 1
        x = self.blocks(self.stem(x.contiguous(memory_format=torch.channels_last)))
        # Frequency becomes channels: what remains is a sequence over time.
        x = nnf.relu(self.project(x.transpose(2, 3).flatten(1, 2)))
        weights = self.attention(x).softmax(dim=2)
        pooled = torch.cat([(x * weights).sum(dim=2), x.amax(dim=2)], dim=1)
        embedding = nnf.relu(self.embedding(pooled))
        return self.head(embedding), embedding

    @torch.inference_mode()
    def predict(self, clips: Sequence[np.ndarray]) -> Predictions:
        """Classify clips.

        Each clip is computed alone and in full length, so that other clips have no influence.

        Args:
            clips: clips [T], float32 at 16 kHz.

        Returns:
            Log-probabilities and embeddings.
        """
        self.eval()
        logits = []
        embeddings = []
        for clip in clips:
            clip_logits, embedding = self(log_mel_of(clip).float()[None, None])
            logits.append(clip_logits)
            embeddings.append(embedding)
        log_probs = torch.cat(logits).log_softmax(dim=1)
        return Predictions(log_probs.numpy(), torch.cat(embeddings).numpy())


def log_mel_of(samples: np.ndarray) -> Tensor:
    """Return the log-mel [L, F] in half precision of a clip [T] at 16 kHz."""
    return vae_mel(torch.from_numpy(np.asarray(samples, np.float32))[None], SPEC)[0, 0].half()


def train_classifier(
    mels: Sequence[Tensor],
    labels: Sequence[int],
    class_names: Sequence[str],
    steps: int = 1500,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
) -> SoundClassifier:
    """Train a classifier with AdamW and one cosine cycle with a short warm-up.

    Args:
        mels: log-mels [L, F] in half precision, of any length.
        labels: index of the class of each log-mel.
        class_names: the sound classes.
        steps: optimizer steps.
        batch_size: crops per step.
        learning_rate: peak learning rate.
        seed: seed of weights, batches and augmentation.
        progress: called with (step, steps, loss) after every step.

    Returns:
        The trained classifier, in evaluation mode.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    classifier = SoundClassifier(class_names)
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        classifier.parameters(), learning_rate, weight_decay=0.02, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, steps, pct_start=0.1)
    targets = torch.tensor(list(labels))
    queue = torch.empty(0, dtype=torch.long)  # a shuffled epoch, refilled when it runs out
    for step in range(steps):
        while len(queue) < batch_size:
            queue = torch.cat([queue, torch.randperm(len(mels), generator=generator)])
        indices = queue[:batch_size]
        queue = queue[batch_size:]
        crops = torch.stack([_random_crop(mels[i], generator) for i in indices.tolist()])
        crops = _augment(crops[:, None], generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits, _ = classifier(crops)
        loss = nnf.cross_entropy(logits.float(), targets[indices], label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress:
            progress(step + 1, steps, float(loss.detach()))
    return classifier.eval()


def _random_crop(mel: Tensor, generator: torch.Generator) -> Tensor:
    """A crop [256, F] of a log-mel that contains a loud frame; a shorter clip is padded."""
    mel = mel.float()
    if len(mel) <= _CROP_FRAMES:
        missing = _CROP_FRAMES - len(mel)
        before = int(torch.randint(missing + 1, (1,), generator=generator))
        return nnf.pad(mel, (0, 0, before, missing - before), value=float(np.log(SPEC.floor)))
    level = mel.amax(dim=1)
    loud_frames = torch.nonzero(level > level.max() - _LOUD_NATS)[:, 0]
    anchor = int(loud_frames[int(torch.randint(len(loud_frames), (1,), generator=generator))])
    start = anchor - int(torch.randint(_CROP_FRAMES, (1,), generator=generator))
    start = min(max(start, 0), len(mel) - _CROP_FRAMES)
    return mel[start : start + _CROP_FRAMES]


def _augment(mel: Tensor, generator: torch.Generator) -> Tensor:
    """Log-mels [B, 1, L, F] with typical artifacts of a vocoder or VAE: noise, tilt, blur, gaps.

    Without them the classifier would rely on the perfect silence and the sharp partials of the
    renderer. It would then measure the vocoder instead of the sound.
    """
    batch_size = len(mel)
    num_bands = mel.shape[3]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        draw = torch.rand(batch_size, *(shape or (1, 1, 1)), generator=generator)
        return low + (high - low) * draw

    peak = mel.amax(dim=(1, 2, 3), keepdim=True)
    position = torch.linspace(-1, 1, num_bands)
    # Spectral tilt and a slow ripple over frequency. The order of the draws fixes the results.
    tilted = mel + uniform(-0.5, 0.5) * position
    mel = tilted + uniform(0, 0.4) * torch.sin(uniform(1, 4) * position + uniform(0, 6.3))
    noise = peak + uniform(-9.5, -4.5) + 0.5 * position
    noise = noise + 0.25 * torch.randn(mel.shape, generator=generator)
    mel = torch.logaddexp(mel, noise)
    kernel = torch.tensor([0.25, 0.5, 0.25])
    kernel2d = (kernel[:, None] * kernel[None])[None, None]
    for _ in range(2):
        blurred = nnf.conv2d(mel, kernel2d, padding=1)
        mel = torch.lerp(mel, blurred, uniform(-0.6, 1.0).clamp_min(0))
    for axis, max_width in ((2, 24), (3, 8)):
        index = torch.arange(mel.shape[axis])
        index = index.view(1, 1, -1, 1) if axis == 2 else index.view(1, 1, 1, -1)
        start = uniform(0, mel.shape[axis])
        width = uniform(0, max_width)
        mel = torch.where((index >= start) & (index < start + width), peak - _RANGE, mel)
    return mel


def save_classifier(
    classifier: SoundClassifier, folder: Path, training: Mapping[str, float] | None = None
) -> None:
    """Write the weights in half precision, and the class names, to a folder.

    Args:
        classifier: the classifier.
        folder: the folder; created if missing.
        training: facts on the training, stored beside the class names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {}
    for key, value in classifier.state_dict().items():
        stored = value.half() if value.is_floating_point() else value
        state[key] = stored.contiguous()
    save_file(state, folder / WEIGHTS_FILE)
    config = {
        "class_names": classifier.class_names,
        "channels": classifier.channels,
        "training": dict(training or {}),
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def load_classifier(folder: Path) -> SoundClassifier:
    """Load the classifier that `save_classifier` wrote.

    Args:
        folder: the folder.

    Returns:
        The classifier, in evaluation mode and float32.

    Raises:
        WeightsError: the folder has no classifier, or its files do not match.
    """
    try:
        config = parse_json(read_bounded(folder / CONFIG_FILE))
        stored = load_file(folder / WEIGHTS_FILE)
        names = config["class_names"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("class_names is not a list of texts")
        with torch.device("meta"):  # sizes in a file may be huge
            classifier = SoundClassifier(names, tuple(config["channels"]))
        state = {}
        for key, value in stored.items():
            state[key] = value.float() if value.is_floating_point() else value
        classifier.load_state_dict(state, assign=True)
    except FileNotFoundError:
        raise WeightsError(
            f"{folder} contains no sound classifier; train one with "
            f"python recipes/mini/train_classifier.py --output {shlex.quote(str(folder))}"
        ) from None
    except (
        OSError, SafetensorError, ArithmeticError, AttributeError, LookupError, RuntimeError,
        TypeError, ValueError,
    ) as error:  # fmt: skip
        raise WeightsError(
            f"the sound classifier in {folder} cannot be loaded ({first_line(error)}); "
            "train it again"
        ) from None
    return classifier.eval()
