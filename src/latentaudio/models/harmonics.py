"""Harmonics of one pitch, for an inverse-STFT vocoder.

The vocoder has one sine per mel band. Above some 1 kHz a band holds several harmonics of a note,
which one sine cannot play. Here one pitch per frame controls a series of harmonics, as in neural
source-filter models (arXiv 1904.12088) and DDSP (arXiv 2001.04643).

See numerics: vocoder.

B batch, T frames, F mel bins (bands), C channels, K STFT bins, P candidate pitches, H harmonics.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from ..config.architecture import VocoderConfig
from .oscillators import MelAnalyzer, exponential_gain

NUM_HARMONICS = 64

MIN_PITCH = 50.0
"""Lowest candidate pitch in Hz."""

MAX_PITCH = 1100.0
"""Upper limit of the candidate pitches in Hz."""

PITCHES_PER_OCTAVE = 24

PITCH_ESTIMATOR_CHANNELS = 128

INITIAL_LOG_GAIN = -2.5
"""Natural logarithm of the gain of harmonics at the start of training."""

_LOG_MEL_MEAN = -5.0  # of log-mels, roughly
_LOG_MEL_STD = 3.0  # likewise
_PITCH_NEIGHBORS = 2  # candidates on both sides of the most likely one that are averaged
_NUM_REFINEMENTS = 2
_NUM_REFINING_HARMONICS = 8
_SAME_PITCH_LOG_RATIO = 0.03  # natural logarithm of a ratio of frequencies; a deviation
_MAX_RESOLVED_HZ = 1500.0  # above it bands hold several harmonics, which tell nothing about pitch
_RESOLVED_FADE_HZ = 500.0  # width of the transition below it
_NYQUIST_FADE_HZ = 300.0  # harmonics fade over this range below the Nyquist frequency


def candidate_pitches() -> Tensor:
    """Return the candidate pitches in Hz [P], equally spaced on a logarithmic scale."""
    count = int(PITCHES_PER_OCTAVE * math.log2(MAX_PITCH / MIN_PITCH)) + 1
    steps = torch.arange(count, dtype=torch.float32, device="cpu")
    return MIN_PITCH * 2 ** (steps / PITCHES_PER_OCTAVE)


class HarmonicControls(NamedTuple):
    """What the harmonics play.

    Attributes:
        scores: Logits of the candidate pitches, [B, T, P].
        pitch: Fundamental frequency in Hz, [B, T, 1].
        amplitude: Amplitude of each harmonic, [B, T, H].
    """

    scores: Tensor
    pitch: Tensor
    amplitude: Tensor


class PitchEstimator(nn.Module):
    """Logits of candidate pitches from a log-mel: three convolutions over time."""

    def __init__(self, n_mels: int, channels: int, num_pitches: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(n_mels, channels, 5, padding=2)
        self.conv_2 = nn.Conv1d(channels, channels, 5, padding=2)
        self.conv_3 = nn.Conv1d(channels, channels, 5, padding=2)
        self.head = nn.Linear(channels, num_pitches)

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel [B, T, F] -> logits [B, T, P]."""
        x = gelu(self.conv_1(((log_mel - _LOG_MEL_MEAN) / _LOG_MEL_STD).transpose(1, 2)))
        x = x + gelu(self.conv_2(x))
        x = x + gelu(self.conv_3(x))
        scores: Tensor = self.head(x.transpose(1, 2))
        return scores


class HarmonicHead(nn.Module):
    """Estimates one pitch per frame, and predicts the levels of its harmonics from the mel.

    Attributes:
        numbers: Numbers of the harmonics [H], from 1.
    """

    numbers: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        numbers = torch.arange(1, NUM_HARMONICS + 1, dtype=torch.float32, device="cpu")
        self.register_buffer("numbers", numbers, persistent=False)
        self.bin_hz = config.sample_rate / config.n_fft
        self.nyquist = config.sample_rate / 2
        num_pitches = len(candidate_pitches())
        self.pitch_estimator = PitchEstimator(config.n_mels, PITCH_ESTIMATOR_CHANNELS, num_pitches)
        self.head = nn.Linear(config.channels, config.n_mels)

    def forward(self, hidden: Tensor, log_mel: Tensor, analyzer: MelAnalyzer) -> HarmonicControls:
        """Hidden state [B, T, C] and log-mel [B, T, F] -> controls."""
        level = self.head(hidden)
        scores = self.pitch_estimator(log_mel)
        mel = log_mel.exp()
        frequency, amplitude = analyzer.estimate_tones(mel)
        pitch = self._most_likely(scores)
        for _ in range(_NUM_REFINEMENTS):
            pitch = self.refine_pitch(pitch, frequency, amplitude, analyzer)
        envelope = analyzer.envelope(mel * exponential_gain(level, INITIAL_LOG_GAIN))
        hertz = pitch * self.numbers
        position = (hertz / self.bin_hz).clamp(max=envelope.shape[2] - 1.001)
        below = position.floor()
        lower = envelope.gather(2, below.long())
        upper = envelope.gather(2, below.long() + 1)
        magnitude = torch.lerp(lower, upper, position - below)
        magnitude = magnitude * ((self.nyquist - hertz) / _NYQUIST_FADE_HZ).clamp(0, 1)
        # a harmonic has the magnitudes of all bins up to its neighbors
        return HarmonicControls(scores, pitch, magnitude * (pitch / self.nyquist))

    @torch.no_grad()
    def refine_pitch(
        self, pitch: Tensor, frequency: Tensor, amplitude: Tensor, analyzer: MelAnalyzer
    ) -> Tensor:
        """Move a pitch towards the tones in the bands of its lowest harmonics.

        The new pitch is a geometric mean. Its weights are the tones' amplitudes, times a normal
        curve of their distance to the harmonic.

        Args:
            pitch: [B, T, 1] in Hz.
            frequency: Frequency of each band's tone [B, T, F] in Hz.
            amplitude: Their amplitudes [B, T, F].
            analyzer: Knows the bands.

        Returns:
            Pitch [B, T, 1] in Hz.
        """
        numbers = self.numbers[:_NUM_REFINING_HARMONICS]
        hertz = pitch * numbers
        band = torch.bucketize(hertz, (analyzer.centers[1:] + analyzer.centers[:-1]) / 2)
        distance = (frequency.gather(2, band) / hertz).log()
        similarity = torch.exp(-0.5 * (distance / _SAME_PITCH_LOG_RATIO).square())
        weight = amplitude.gather(2, band) * numbers * similarity
        weight = weight * ((_MAX_RESOLVED_HZ - hertz) / _RESOLVED_FADE_HZ).clamp(0, 1)
        total = weight.sum(2, keepdim=True) + 1e-9
        return pitch * torch.exp((weight * distance).sum(2, keepdim=True) / total)

    @torch.no_grad()
    def _most_likely(self, scores: Tensor) -> Tensor:
        """Logits [B, T, P] -> pitch in Hz [B, T, 1]: the mean of the best and its neighbors."""
        last = scores.shape[2] - 1
        best = scores.argmax(2, keepdim=True).clamp(_PITCH_NEIGHBORS, last - _PITCH_NEIGHBORS)
        offsets = torch.arange(-_PITCH_NEIGHBORS, _PITCH_NEIGHBORS + 1, device=scores.device)
        candidates = best + offsets
        probability = scores.gather(2, candidates).softmax(2)
        step = (probability * candidates).sum(2, keepdim=True)
        return MIN_PITCH * torch.exp2(step / PITCHES_PER_OCTAVE)
