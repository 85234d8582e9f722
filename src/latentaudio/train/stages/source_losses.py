"""Losses that tell a vocoder which of its sources plays what: predicted frames, sines or noise.

Predicted frames are a function of the mel. Where the mel is steady they repeat at every hop, which
sounds like a buzz. Losses of magnitudes do not measure that. The words "deterministic" (predicted
frames, sines and harmonics) and "noise" (the stochastic part) are those of spectral modeling
synthesis (Serra and Smith 1990).

See numerics: training.

Shapes: B batch, N samples, T frames, F mel bins (bands), K STFT bins, P candidate pitches.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, max_pool1d, pad

from ...audio.mel import magnitudes
from ...models.harmonics import HarmonicControls
from ...models.istft_vocoder import SynthesisControls
from ...models.oscillators import MelAnalyzer

_ATTACK_FRAMES = 4  # frames over which a rise is measured, and on both sides of it that are near
_ATTACK_MIN_DB = 6.0  # a smaller rise is no attack
_ATTACK_FULL_DB = 20.0  # a larger one certainly is

_TRANSIENT_WINDOW = 256  # samples
_TRANSIENT_GROUPS = 8  # groups of neighboring bins
_NOISE_PEAK_RATIO = 2.0  # peak power over mean power in a mel frame: noise is at most here
_CLICK_PEAK_RATIO = 3.0  # a click is at least here

_FRAMES_IN_TONES_COST = 0.2  # of predicted frames in tonal bands; in noise it is 1
_AUDIBLE_NEPERS = 6.0  # below a clip's loudest band; fainter bands do not count
_PITCH_TARGET_STD = 0.7  # of the target distribution, in candidate pitches


@torch.no_grad()
def attack_proximity(log_mel: Tensor) -> Tensor:
    """Return how near frames are to an attack, [B, T] from 0 to 1.

    An attack is a rise of the level by 6 dB (0) to 20 dB (1) within four frames.

    Args:
        log_mel: [B, 1, T, F].
    """
    level = (10 / math.log(10)) * (2 * log_mel[:, 0]).logsumexp(2)
    earlier = pad(level[:, None], (_ATTACK_FRAMES, 0), mode="replicate")[:, 0, :-_ATTACK_FRAMES]
    attack = ((level - earlier - _ATTACK_MIN_DB) / (_ATTACK_FULL_DB - _ATTACK_MIN_DB)).clamp(0, 1)
    return max_pool1d(attack[:, None], 2 * _ATTACK_FRAMES + 1, 1, _ATTACK_FRAMES)[:, 0]


@torch.no_grad()
def transience(samples: Tensor, analyzer: MelAnalyzer, hop: int) -> Tensor:
    """Return how transient the bands are, [B, T, F] from 0 (steady noise) to 1 (a click).

    It is read from the ratio of peak power to mean power within the window of a mel frame.

    Args:
        samples: [B, T hop].
        analyzer: Knows the bands.
        hop: Samples per frame.
    """
    step = hop // 2
    edge = (_TRANSIENT_WINDOW - step) // 2
    power = magnitudes(samples, _TRANSIENT_WINDOW, step, edge)[..., 1:].square()
    power = power.unflatten(2, (_TRANSIENT_GROUPS, -1)).mean(3) + 1e-10
    reach = analyzer.n_fft // (2 * step)
    padded = pad(power.transpose(1, 2), (reach, reach), mode="replicate")
    frames = padded.unfold(2, 2 * reach + 1, 2)
    ratio = (frames.amax(3) / frames.mean(3)).transpose(1, 2)
    transient = ((ratio - _NOISE_PEAK_RATIO) / (_CLICK_PEAK_RATIO - _NOISE_PEAK_RATIO)).clamp(0, 1)
    group = analyzer.centers / (analyzer.sample_rate / 2) * _TRANSIENT_GROUPS
    return transient[..., group.long().clamp(max=_TRANSIENT_GROUPS - 1)]


def deterministic_in_noise(
    controls: SynthesisControls,
    log_mel: Tensor,
    analyzer: MelAnalyzer,
    noisiness: Tensor,
    transient: Tensor,
) -> Tensor:
    """Return how much predicted frames and sines play where the sound is steady noise.

    Each part is a weighted sum of its magnitudes, divided by that of the mel's envelope. The weight
    of frames is (1 - transient) (0.2 + 0.8 noisiness), that of sines (1 - transient) noisiness.

    Args:
        controls: Predicted for the mel.
        log_mel: [B, 1, T, F].
        analyzer: Knows the bands.
        noisiness: [B, T, F] from 0, a tone, to 1.
        transient: See `transience`, [B, T, F].

    Returns:
        Mean over the batch. Loud places of a clip have the largest weights.
    """
    mel = log_mel[:, 0].exp()
    envelope = analyzer.envelope(mel)
    band_cost = (1 - transient) * (_FRAMES_IN_TONES_COST + (1 - _FRAMES_IN_TONES_COST) * noisiness)
    cost = band_cost @ analyzer.triangles
    frames = (cost * controls.coherent.abs()).sum((1, 2)) / (envelope.sum((1, 2)) + 1e-3)
    sines = ((1 - transient) * noisiness * controls.amplitude).sum((1, 2))
    sines = sines / (analyzer.estimate_tones(mel)[1].sum((1, 2)) + 1e-5)
    if controls.attacks is not None:
        magnitude = _per_mel_frame(controls.attacks.coherent.abs(), envelope)
        stride = _bin_stride(magnitude, envelope)
        total = envelope[..., ::stride].sum((1, 2)) + 1e-3
        frames = frames + (cost[..., ::stride] * magnitude).sum((1, 2)) / total
    return (frames + sines).mean()


def noise_in_tones(
    controls: SynthesisControls, log_mel: Tensor, analyzer: MelAnalyzer, tonality: Tensor
) -> Tensor:
    """Return how loud noise is, relative to the mel's envelope, where the sound is tonal.

    The weight of a band is tonality^2 times its audibility: 1 for a clip's loudest band, 0 at 6
    nepers (52 dB) below it.

    Args:
        controls: Predicted for the mel.
        log_mel: [B, 1, T, F].
        analyzer: Knows the bands.
        tonality: [B, T, F] from 0 to 1.

    Returns:
        Mean over the batch.
    """
    log_mel = log_mel[:, 0]
    envelope = analyzer.envelope(log_mel.exp())
    loudest = log_mel.amax(dim=(1, 2), keepdim=True)
    audibility = ((log_mel - loudest) / _AUDIBLE_NEPERS + 1).clamp(min=0)
    weight = (audibility * tonality.square()) @ analyzer.triangles
    total = (audibility @ analyzer.triangles).sum((1, 2)) + 1
    noise = (weight * controls.noise_magnitude / envelope).sum((1, 2)) / total
    if controls.attacks is not None:
        magnitude = _per_mel_frame(controls.attacks.noise_magnitude, envelope)
        stride = _bin_stride(magnitude, envelope)
        ratio = weight[..., ::stride] * magnitude / envelope[..., ::stride]
        noise = noise + stride * ratio.sum((1, 2)) / total
    return noise.mean()


def pitch_cross_entropy(scores: Tensor, pitch_index: Tensor, confidence: Tensor) -> Tensor:
    """Return the cross-entropy of pitch logits, where there is a pitch.

    The target is a normal curve around the true pitch, with a deviation of 0.7 candidates.

    Args:
        scores: Logits [B, T, P].
        pitch_index: Of the real audio, see `pitch_analysis.estimate_pitch`, [B, T].
        confidence: Weight of each frame, [B, T].

    Returns:
        The weighted mean.
    """
    candidates = torch.arange(scores.shape[2], device=pitch_index.device)
    distance = (candidates - pitch_index[..., None]) / _PITCH_TARGET_STD
    target = torch.softmax(-0.5 * distance.square(), 2)
    entropy = -(target * log_softmax(scores, 2)).sum(2)
    return (confidence * entropy).sum() / (confidence.sum() + 1)


def harmonics_without_pitch(
    harmonics: HarmonicControls, log_mel: Tensor, analyzer: MelAnalyzer, confidence: Tensor
) -> Tensor:
    """Return how much harmonics play where there is no pitch, relative to the mel's tones.

    Args:
        harmonics: Predicted for the mel.
        log_mel: [B, 1, T, F].
        analyzer: Knows the bands.
        confidence: That there is a pitch, [B, T].

    Returns:
        Mean over the batch.
    """
    amplitude = ((1 - confidence)[..., None] * harmonics.amplitude).sum((1, 2))
    tones = analyzer.estimate_tones(log_mel[:, 0].exp())[1].sum((1, 2))
    return (amplitude / (tones + 1e-5)).mean()


def _per_mel_frame(magnitude: Tensor, envelope: Tensor) -> Tensor:
    """Magnitudes [B, 2 T, S] of short frames -> their means in each mel frame, [B, T, S]."""
    frames: Tensor = magnitude.unflatten(1, (envelope.shape[1], -1))
    return frames.mean(2)


def _bin_stride(magnitude: Tensor, envelope: Tensor) -> int:
    """Bins of the long window per bin of the short one."""
    return envelope.shape[2] // (magnitude.shape[2] - 1)
