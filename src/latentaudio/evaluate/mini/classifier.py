"""The judge: a small classifier that names the kind of sound it hears, trained on renders only and never on a model's output.

Knows log-mels, kinds and how to train, save and load itself. Refuses to know prompts, models and how renders are made.

Letters: B batch, T samples, L mel frames, F mel bands, C channels, K kinds, E width of the embedding.
"""

from __future__ import annotations

import json
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
from ...errors import WeightsError, said

SPEC = MelSpec()
EMBEDDING = 64
_RANGE = (
    7.0  # nats below the loudest cell of a clip that still count: 61 dB; level itself is not heard
)
_CROP = 256  # frames of a training example: 2.56 s


@dataclass(frozen=True)
class Verdict:
    """What the judge made of N clips: `scores [N, K]` log-probabilities and `embeddings [N, E]`."""

    scores: np.ndarray
    embeddings: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """Index of the likeliest kind of each clip, [N]."""
        return np.asarray(self.scores.argmax(axis=1))


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut, the first halving time and frequency."""

    def __init__(self, source: int, width: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(source, width, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.last = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, L, F] -> [B, width, L/2, F/2]."""
        x = nnf.relu(self.norm(self.down(x)))
        return nnf.relu(x + self.last(self.conv(x)))


class Judge(nn.Module):
    """Convolutions over a log-mel, attention over time, one vector, one score per kind."""

    def __init__(self, kinds: Sequence[str], widths: tuple[int, ...] = (32, 48, 96, 160)) -> None:
        super().__init__()
        self.kinds = tuple(kinds)
        self.widths = widths
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], (7, 5), (4, 2), (3, 2), bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in pairwise(widths)))
        bands = SPEC.bins // 2 ** len(widths)
        self.join = nn.Conv1d(widths[-1] * bands, 192, 1)
        self.attend = nn.Conv1d(192, 1, 1)
        self.embed = nn.Linear(2 * 192, EMBEDDING)
        self.name = nn.Linear(EMBEDDING, len(self.kinds))

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """log_mel [B, 1, L, F] of any level -> scores [B, K] (logits) and embeddings [B, E]."""
        top = log_mel.amax(dim=(1, 2, 3), keepdim=True)
        x = (log_mel - top).clamp_min(-_RANGE) * (2 / _RANGE) + 1
        x = self.blocks(self.stem(x.contiguous(memory_format=torch.channels_last)))
        x = nnf.relu(self.join(x.transpose(2, 3).flatten(1, 2)))
        weights = self.attend(x).softmax(dim=2)
        embedding = nnf.relu(
            self.embed(torch.cat([(x * weights).sum(dim=2), x.amax(dim=2)], dim=1))
        )
        return self.name(embedding), embedding

    @torch.inference_mode()
    def hear(self, clips: Sequence[np.ndarray]) -> Verdict:
        """The verdict on clips [T] float32 at 16 kHz, each judged whole and alone, so that company changes nothing."""
        self.eval()
        heard = [self(mel_of(clip).float()[None, None]) for clip in clips]
        scores = torch.cat([s for s, _ in heard]).log_softmax(dim=1)
        return Verdict(scores.numpy(), torch.cat([e for _, e in heard]).numpy())


def mel_of(samples: np.ndarray) -> Tensor:
    """Log-mel [L, F] in half precision of a clip [T] at 16 kHz."""
    return vae_mel(torch.from_numpy(np.asarray(samples, np.float32))[None], SPEC)[0, 0].half()


def train(
    mels: Sequence[Tensor],
    labels: Sequence[int],
    kinds: Sequence[str],
    steps: int = 1500,
    batch: int = 64,
    rate: float = 3e-3,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
) -> Judge:
    """A judge of `kinds` from log-mels [L, F] (half precision, any lengths) and the index of each one's kind.

    AdamW, one cosine cycle with a short warm-up. `progress(step, steps, loss)` is called after every step.
    """
    torch.manual_seed(seed)
    dice = torch.Generator().manual_seed(seed)
    judge = Judge(kinds)
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub wants a dtype
    optimiser = torch.optim.AdamW(judge.parameters(), rate, weight_decay=0.02, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
    answers, order = torch.tensor(list(labels)), torch.empty(0, dtype=torch.long)
    for step in range(steps):
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(len(mels), generator=dice)])
        chosen, order = order[:batch], order[batch:]
        crops = torch.stack([_crop(mels[i], dice) for i in chosen.tolist()])[:, None]
        crops = _disguised(crops, dice)
        with torch.autocast("cpu", torch.bfloat16):
            scores, _ = judge(crops)
        loss = nnf.cross_entropy(scores.float(), answers[chosen], label_smoothing=0.05)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress:
            progress(step + 1, steps, float(loss.detach()))
    return judge.eval()


def _crop(mel: Tensor, dice: torch.Generator) -> Tensor:
    """2.56 s [256, F] of a log-mel that hold something loud; a shorter clip keeps silence around it."""
    mel = mel.float()
    if len(mel) <= _CROP:
        before = int(torch.randint(_CROP - len(mel) + 1, (1,), generator=dice))
        return nnf.pad(
            mel, (0, 0, before, _CROP - len(mel) - before), value=float(np.log(SPEC.floor))
        )
    loud = mel.amax(dim=1)
    good = torch.nonzero(loud > loud.max() - 2.0)[:, 0]
    anchor = int(good[int(torch.randint(len(good), (1,), generator=dice))])
    start = anchor - int(torch.randint(_CROP, (1,), generator=dice))
    return mel[(start := min(max(start, 0), len(mel) - _CROP)) : start + _CROP]


def _disguised(mel: Tensor, dice: torch.Generator) -> Tensor:
    """Log-mels [B, 1, L, F] with what a vocoder or a VAE may do to them: hiss, tint, blur, holes.

    A judge that leaned on a renderer's perfect silence or razor-sharp partials would judge the vocoder and not the sound.
    """
    size, bands = len(mel), mel.shape[3]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(size, *(shape or (1, 1, 1)), generator=dice)

    top = mel.amax(dim=(1, 2, 3), keepdim=True)
    place = torch.linspace(-1, 1, bands)
    mel = (
        mel
        + uniform(-0.5, 0.5) * place
        + uniform(0, 0.4) * torch.sin(uniform(1, 4) * place + uniform(0, 6.3))
    )
    hiss = top + uniform(-9.5, -4.5) + 0.5 * place + 0.25 * torch.randn(mel.shape, generator=dice)
    mel = torch.logaddexp(mel, hiss)
    bell = torch.tensor([0.25, 0.5, 0.25])
    blur = (bell[:, None] * bell[None])[None, None]
    for _ in range(2):
        mel = torch.lerp(mel, nnf.conv2d(mel, blur, padding=1), uniform(-0.6, 1.0).clamp_min(0))
    for axis, widest in ((2, 24), (3, 8)):
        span = torch.arange(mel.shape[axis]).view(*(1 if a != axis else -1 for a in range(4)))
        start, width = uniform(0, mel.shape[axis]), uniform(0, widest)
        mel = torch.where((span >= start) & (span < start + width), top - _RANGE, mel)
    return mel


def save_judge(judge: Judge, folder: Path, card: Mapping[str, float] | None = None) -> None:
    """Write `classifier.safetensors` (half precision) and `classifier.json`: the kinds in order, and how it was made."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {k: v.half() if v.is_floating_point() else v for k, v in judge.state_dict().items()}
    save_file({k: v.contiguous() for k, v in halves.items()}, folder / "classifier.safetensors")
    about = {"kinds": judge.kinds, "widths": judge.widths, "card": dict(card or {})}
    (folder / "classifier.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load_judge(folder: Path) -> Judge:
    """The judge that `save_judge` wrote. Raises WeightsError where there is none or it does not fit."""
    try:
        about = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
        state = load_file(folder / "classifier.safetensors")
        judge = Judge(about["kinds"], tuple(about["widths"]))
        judge.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
        )
    except FileNotFoundError:
        raise WeightsError(
            f"{folder} holds no judge; make one: python recipes/mini/judge.py --out {folder}"
        ) from None
    except (SafetensorError, KeyError, ValueError, RuntimeError) as problem:
        raise WeightsError(
            f"the judge in {folder} cannot be read ({said(problem)}); train it again"
        ) from None
    return judge.eval()
