"""Attacks of an inverse-STFT vocoder: short STFT frames, and a gain for everything else.

A window of 64 ms spreads an attack over 64 ms, also to before its beginning (pre-echo). Frames of
a short window do not. The gain removes the pre-echo of the long frames. It works like the gain
control of the scalable sampling rate profile of AAC (ISO/IEC 14496-3).

See numerics: vocoder.

B batch, T mel frames, C channels, K bins of the long STFT, S bins of the short one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..config.architecture import VocoderConfig
from .oscillators import exponential_gain

FRAMES_PER_MEL_FRAME = 2
"""Short frames in one mel frame."""

GAINS_PER_MEL_FRAME = 4
"""Gains of the long frames in one mel frame."""

INITIAL_LOG_GAIN = -2.5
"""Natural logarithm of the gain of short frames at the start of training."""

MAX_LOG_LONG_GAIN = 1.0
"""Upper limit of the natural logarithm of the long frames' gain."""


class AttackControls(NamedTuple):
    """What the short frames play.

    Attributes:
        coherent: Predicted STFT [B, 2 T, S], complex.
        noise_magnitude: Magnitude of the noise [B, 2 T, S].
        long_gain: Factor of long frames and sines, [B, T hop].
    """

    coherent: Tensor
    noise_magnitude: Tensor
    long_gain: Tensor


class AttackHead(nn.Module):
    """Predicts the short frames, relative to the envelope of the mel, and the long frames' gain.

    A mel frame has two short frames and four gains. Gains are linear between the centers of the
    quarters of a frame.
    """

    ramps: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.num_bins = config.attack_n_fft // 2 + 1
        self.bin_stride = config.n_fft // config.attack_n_fft
        # the same noise has magnitudes in both windows that differ by this factor
        self.magnitude_scale = (config.attack_n_fft / config.n_fft) ** 0.5
        self.head = nn.Linear(config.channels, FRAMES_PER_MEL_FRAME * 3 * self.num_bins)
        self.gains = nn.Linear(config.channels, GAINS_PER_MEL_FRAME)
        part = config.hop_length // GAINS_PER_MEL_FRAME
        # distance of each sample to the center of its part, in parts
        position = (torch.arange(part, device="cpu") + 0.5) / part - 0.5
        ramps = torch.stack([(-position).relu(), 1 - position.abs(), position.relu()])
        self.register_buffer("ramps", ramps, persistent=False)

    def forward(
        self,
        hidden: Tensor,
        envelope: Tensor,
        polar: Callable[[Tensor, Tensor], Tensor] = torch.polar,
    ) -> AttackControls:
        """Predict the controls.

        Args:
            hidden: Hidden state [B, T, C].
            envelope: Envelope of the mel [B, T, K].
            polar: Makes a spectrum of its magnitude and phase.

        Returns:
            The controls; `coherent` is as `polar` makes it.
        """
        predicted = self.head(hidden).unflatten(2, (FRAMES_PER_MEL_FRAME, -1)).flatten(1, 2)
        coherent, phase, noise_level = predicted.split(self.num_bins, dim=2)
        magnitude = envelope[..., :: self.bin_stride] * self.magnitude_scale
        magnitude = magnitude.repeat_interleave(FRAMES_PER_MEL_FRAME, dim=1)
        return AttackControls(
            polar(magnitude * exponential_gain(coherent, INITIAL_LOG_GAIN), phase),
            magnitude * exponential_gain(noise_level, INITIAL_LOG_GAIN),
            self._long_gain(hidden),
        )

    def _long_gain(self, hidden: Tensor) -> Tensor:
        """Hidden state [B, T, C] -> gains [B, T hop]."""
        points = self.gains(hidden).clamp(max=MAX_LOG_LONG_GAIN).exp().flatten(1)
        padded = torch.cat([points[:, :1], points, points[:, -1:]], dim=1)
        gains: Tensor = padded.unfold(1, 3, 1) @ self.ramps
        return gains.flatten(1)
