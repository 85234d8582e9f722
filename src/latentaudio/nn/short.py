"""The short frames of an inverse-STFT vocoder, and a gain for the long ones, whose window of 64 ms smears attacks.

Knows how a frame's hidden state becomes short frames and gains. Refuses to know how they are played. The gain is the gain
control of AAC's scalable sampling rate profile (ISO/IEC 14496-3): long windows spread a sound to before its attack, and a gain
that is low there takes that away.

B batch, T mel frames, F mel bins, C channels, K bins of the long window, K' of the short one.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..configs import VocoderConfig

START, LOUDEST = -2.5, 5.0  # natural logs of gain
HIGHEST = 1.0  # natural log of the gain of long frames


class ShortControls(NamedTuple):
    """Predicted frames [B, STEPS T, K'] complex, the magnitude of the noise [B, STEPS T, K'], and the gain of what long frames
    and sines play, [B, T hop]."""

    coherent: Tensor
    noise: Tensor
    gain: Tensor


class ShortHead(nn.Module):
    """Magnitude and phase of STEPS short frames for every mel frame, and how loud noise is in them, relative to the mel."""

    STEPS: ClassVar[int] = 2
    POINTS: ClassVar[int] = 4
    """Gains for every mel frame."""
    lines: Tensor
    hats: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.bins, self.skip = config.short // 2 + 1, config.n_fft // config.short
        self.scale = (config.short / config.n_fft) ** 0.5  # of magnitudes of the same noise in both windows
        self.head = nn.Linear(config.channels, self.STEPS * 3 * self.bins)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        step = config.hop // self.POINTS
        place = (torch.arange(step, device="cpu") + 0.5) / step - 0.5  # of a sample, from the middle of its part
        self.register_buffer("lines", torch.stack([(-place).relu(), 1 - place.abs(), place.relu()]), persistent=False)
        self.gains = nn.Linear(config.channels, self.POINTS)
        nn.init.zeros_(self.gains.weight)
        nn.init.zeros_(self.gains.bias)

    def forward(self, x: Tensor, envelope: Tensor) -> ShortControls:
        """Hidden state [B, T, C] and the mel's envelope [B, T, K] -> what the short frames play."""
        made = self.head(x).unflatten(2, (self.STEPS, 3 * self.bins)).flatten(1, 2)
        loudness, phase, hissing = made.split(self.bins, dim=2)
        size = (envelope[..., :: self.skip] * self.scale).repeat_interleave(self.STEPS, dim=1)
        return ShortControls(torch.polar(size * _gain(loudness), phase), size * _gain(hissing), self._gains(x))

    def _gains(self, x: Tensor) -> Tensor:
        """Hidden state [B, T, C] -> gains [B, T hop], straight lines between the middles of POINTS parts of every frame."""
        points = self.gains(x).clamp(max=HIGHEST).exp().flatten(1)
        around = torch.cat([points[:, :1], points, points[:, -1:]], dim=1).unfold(1, 3, 1)
        return (around @ self.lines).flatten(1)


def _gain(control: Tensor) -> Tensor:
    """A factor of e^START at control 0, growing exponentially up to e^LOUDEST."""
    return (control + START).clamp(max=LOUDEST).exp()
