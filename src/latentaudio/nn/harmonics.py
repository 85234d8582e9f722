"""The harmonics of one pitch: what sines a mel band apart cannot play, since above 1 kHz several harmonics share a band.

Knows how a frame's hidden state becomes a pitch and amplitudes, as in neural source-filter models (arXiv 1904.12088). Refuses
to know how sines are played. B batch, T frames, F mel bins, C channels, K STFT bins, P pitches, H harmonics.
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from ..configs import VocoderConfig
from .sources import MelReader

START, LOUDEST = -2.5, 5.0  # natural logs of gain
LOWEST, HIGHEST, STEPS = 50.0, 1100.0, 24  # Hz, and pitches an octave
_NEAR = 2  # pitches to either side of the likeliest that tell where between them it lies
WIDTH, MEAN, DEVIATION = 128, -5.0, 3.0  # of the pitch reader; of log-mels, about
_ROUNDS, _RESOLVED, _ALIKE = (
    2,
    8,
    0.03,
)  # of refining a pitch; harmonics that do it; how far off they may be, as a natural logarithm
_SHARED, _SLOPE = 1500.0, 500.0  # Hz above which bands hold several harmonics, and over which they cease to count
_FADE = 300.0  # Hz below the Nyquist frequency over which harmonics fade


def pitches() -> Tensor:
    """The pitches in Hz [P] that are told apart."""
    count = int(STEPS * math.log2(HIGHEST / LOWEST)) + 1
    return LOWEST * 2 ** (torch.arange(count, dtype=torch.float32, device="cpu") / STEPS)


class HarmonicControls(NamedTuple):
    """Scores of pitches [B, T, P], the pitch in Hz [B, T, 1], the amplitude of its harmonics [B, T, H]."""

    scores: Tensor
    pitch: Tensor
    amplitude: Tensor


class PitchReader(nn.Module):
    """Scores of pitches from a log-mel: three convolutions over time."""

    def __init__(self, bins: int, width: int, count: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(bins, width, 5, padding=2)
        self.second = nn.Conv1d(width, width, 5, padding=2)
        self.third = nn.Conv1d(width, width, 5, padding=2)
        self.last = nn.Linear(width, count)

    def forward(self, log_mel: Tensor) -> Tensor:
        """log-mel [B, T, F] -> [B, T, P]."""
        x = gelu(self.first(((log_mel - MEAN) / DEVIATION).transpose(1, 2)))
        x = x + gelu(self.second(x))
        x = x + gelu(self.third(x))
        scores: Tensor = self.last(x.transpose(1, 2))
        return scores


class HarmonicHead(nn.Module):
    """One pitch for every mel frame, and how loud its harmonics are in every band, relative to the mel."""

    COUNT: ClassVar[int] = 64
    grid: Tensor
    order: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.register_buffer("grid", pitches(), persistent=False)
        self.register_buffer("order", torch.arange(1, self.COUNT + 1, dtype=torch.float32, device="cpu"), persistent=False)
        self.spacing, self.n_fft, self.top = config.rate / config.n_fft, config.n_fft, config.rate / 2
        self.reader = PitchReader(config.bins, WIDTH, len(self.grid))
        self.head = nn.Linear(config.channels, config.bins)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, log_mel: Tensor, reader: MelReader) -> HarmonicControls:
        """Hidden state [B, T, C] and log-mel [B, T, F] -> pitch and amplitudes."""
        gain, scores, mel = self.head(x), self.reader(log_mel), log_mel.exp()
        pitch = self._pitch(scores)
        for _ in range(_ROUNDS):
            pitch = self._refined(pitch, *reader.tones(mel), reader)
        envelope = reader.envelope(mel * (gain + START).clamp(max=LOUDEST).exp())
        hertz = pitch * self.order
        place = (hertz / self.spacing).clamp(max=envelope.shape[2] - 1.001)
        below = place.floor()
        low, high = (envelope.gather(2, index) for index in (below.long(), below.long() + 1))
        size = torch.lerp(low, high, place - below) * ((self.top - hertz) / _FADE).clamp(0, 1)
        return HarmonicControls(scores, pitch, size * (pitch / (self.spacing * self.n_fft / 2)))

    @torch.no_grad()
    def _refined(self, pitch: Tensor, frequency: Tensor, amplitude: Tensor, reader: MelReader) -> Tensor:
        """A pitch in Hz [B, T, 1] moved to the tones of its lowest harmonics' bands, [B, T, F] Hz and amplitude."""
        hertz = pitch * self.order[:_RESOLVED]
        band = torch.bucketize(hertz, (reader.centres[1:] + reader.centres[:-1]) / 2)
        away = (frequency.gather(2, band) / hertz).log()
        weight = amplitude.gather(2, band) * self.order[:_RESOLVED] * torch.exp(-0.5 * (away / _ALIKE).square())
        weight = weight * ((_SHARED - hertz) / _SLOPE).clamp(0, 1)
        return pitch * torch.exp((weight * away).sum(2, keepdim=True) / (weight.sum(2, keepdim=True) + 1e-9))

    @torch.no_grad()
    def _pitch(self, scores: Tensor) -> Tensor:
        """Scores [B, T, P] -> Hz [B, T, 1]: the mean, on a logarithmic scale, of the likeliest and its neighbours."""
        best = scores.argmax(2, keepdim=True).clamp(_NEAR, scores.shape[2] - 1 - _NEAR)
        around = best + torch.arange(-_NEAR, _NEAR + 1, device=scores.device)
        share = scores.gather(2, around).softmax(2)
        return LOWEST * torch.exp2((share * around).sum(2, keepdim=True) / STEPS)
