"""Where a sound is steady noise, and how much of it a vocoder plays with what repeats: predicted frames and sines.

Predicted frames are a function of the mel, so where the mel hardly changes they come again every hop, which is heard as a buzz.
Spectral losses on magnitudes do not hear that. B batch, T frames, F mel bins, N samples, K STFT bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

from ...audio.mel import magnitudes
from ...nn.sources import MelReader
from ...nn.vocoder import Controls

_SIZE, _GROUPS = 256, 8  # window of the short-time power, groups of its bins
_LOW, _HIGH = 2.0, 3.0  # power at its peak over its mean within a mel frame: of noise below, of a click above

_TONAL = 0.2
_HEARD = 6.0  # nepers
_NEAR, _STEP, _STEEP = (
    4,
    6.0,
    20.0,
)  # frames; rise in dB over as many frames from which a moment is an attack, and is one wholly


@torch.no_grad()
def attacks(mel: Tensor) -> Tensor:
    """log-mel [B, 1, T, F] -> how far a frame is near an attack, [B, T] from 0 to 1."""
    level = (10 / math.log(10)) * (2 * mel[:, 0]).logsumexp(2)
    rise = level - pad(level[:, None], (_NEAR, 0), mode="replicate")[:, 0, :-_NEAR]
    found = ((rise - _STEP) / (_STEEP - _STEP)).clamp(0, 1)
    return max_pool1d(found[:, None], 2 * _NEAR + 1, 1, _NEAR)[:, 0]


@torch.no_grad()
def suddenness(samples: Tensor, reader: MelReader, hop: int) -> Tensor:
    """samples [B, T hop] -> how far a band's power peaks within a frame's window, [B, T, F] from 0, as noise, to 1, a click."""
    step = hop // 2
    power = magnitudes(samples, _SIZE, step, (_SIZE - step) // 2)[..., 1:].square()
    power = power.unflatten(2, (_GROUPS, -1)).mean(3) + 1e-10
    reach = reader.n_fft // (2 * step)
    around = pad(power.transpose(1, 2), (reach, reach), mode="replicate").unfold(2, 2 * reach + 1, 2)
    peak = (around.amax(3) / around.mean(3)).transpose(1, 2)
    sudden = ((peak - _LOW) / (_HIGH - _LOW)).clamp(0, 1)
    group = (reader.centres / (reader.rate / 2) * _GROUPS).long().clamp(max=_GROUPS - 1)
    return sudden[..., group]


def predicted_share(controls: Controls, mel: Tensor, reader: MelReader, noisy: Tensor, sudden: Tensor) -> Tensor:
    """How much of the mel's envelope predicted frames play where nothing is sudden, and sines where all is noise.

    mel: log-mel [B, 1, T, F]; noisy, sudden [B, T, F]. Frames may play tones at the share `_TONAL` of the
    price. A clip's loud places count most.
    """
    size = mel[:, 0].exp()
    envelope = reader.envelope(size)
    weight = ((1 - sudden) * (_TONAL + (1 - _TONAL) * noisy)) @ reader.hats
    total = envelope.sum((1, 2)) + 1e-3
    share = (weight * controls.coherent.abs()).sum((1, 2)) / total
    sines = ((1 - sudden) * noisy * controls.amplitude).sum((1, 2)) / (reader.tones(size)[1].sum((1, 2)) + 1e-5)
    if controls.short is not None:
        short = controls.short.coherent.abs().unflatten(1, (envelope.shape[1], -1)).mean(2)
        skip = envelope.shape[2] // (short.shape[2] - 1)
        share = share + (weight[..., ::skip] * short).sum((1, 2)) / (envelope[..., ::skip].sum((1, 2)) + 1e-3)
    return (share + sines).mean()


def noise_in_tones(controls: Controls, mel: Tensor, reader: MelReader, tonality: Tensor) -> Tensor:
    """How loud noise is, relative to the envelope of log-mel [B, 1, T, F], where a band is tonal, [B, T, F] from 0 to 1.

    All bands within `_HEARD` nepers of a clip's loudest count, the faintest least.
    """
    envelope = reader.envelope(mel[:, 0].exp())
    heard = ((mel[:, 0] - mel[:, 0].amax(dim=(1, 2), keepdim=True)) / _HEARD + 1).clamp(min=0)
    weight, total = (heard * tonality.square()) @ reader.hats, (heard @ reader.hats).sum((1, 2)) + 1
    share = (weight * controls.noise / envelope).sum((1, 2)) / total
    if controls.short is not None:
        short = controls.short.noise.unflatten(1, (envelope.shape[1], -1)).mean(2)
        skip = envelope.shape[2] // (short.shape[2] - 1)
        share = share + skip * (weight[..., ::skip] * short / envelope[..., ::skip]).sum((1, 2)) / total
    return share.mean()
