"""What a log-mel says about its sound without any learning, and the two sources an STFT head lacks: hiss and steady tones.

A convolutional vocoder answers an unchanging mel with an unchanging frame, so whatever it plays repeats every hop: at 16 kHz
and hop 160 a held note can only be made of multiples of 100 Hz, and steady noise buzzes. Oscillators that carry their phase
from frame to frame, and real noise, take that away; a network then has only to decide how much of each.

Knows the geometry of Slaney mel bands. Refuses to know networks. B batch, T frames, F mel bins, K STFT bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.architecture import VocoderConfig, mel_edges

BLOCK = 32  # frames of sines made at a time: they stay in the processor's cache, four times as fast, and memory stays flat
_GRID, ROUNDS = 4, 6  # frames heard as one when pitch is held; how often that is done
_BANDS, _HEARD = (
    16,
    64,
)  # bands and pooled frames for which that is done at a time, in the processor's cache
_ALIKE = 0.03  # natural logarithm of a ratio of frequencies that may well be one note


class MelAnalyzer(nn.Module):
    """Reads a mel (not its logarithm; magnitudes of a Hann STFT, Slaney bands with area normalisation: spec 1.1)."""

    centres: Tensor
    half_widths: Tensor
    hats: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.rate, self.n_fft = config.sample_rate, config.n_fft
        edges = torch.tensor(
            mel_edges(config.n_mels, config.fmin, config.fmax), dtype=torch.float64, device="cpu"
        )
        low, centre, high = edges[:-2], edges[1:-1], edges[2:]
        grid = torch.linspace(
            0, config.sample_rate / 2, config.n_fft // 2 + 1, dtype=torch.float64, device="cpu"
        )[:, None]
        hats = torch.minimum((grid - low) / (centre - low), (high - grid) / (high - centre)).clamp(
            min=0
        )
        hats[grid[:, 0] < centre[0], 0] = (
            1  # outside the outermost centres the envelope stays what it is there
        )
        hats[grid[:, 0] > centre[-1], -1] = 1
        self.register_buffer("centres", centre.float(), persistent=False)
        self.register_buffer("half_widths", ((high - low) / 2).float(), persistent=False)
        self.register_buffer("hats", hats.T.float().contiguous(), persistent=False)

    def envelope(self, mel: Tensor) -> Tensor:
        """mel [B, T, F] -> the STFT magnitude [B, T, K] of the smoothest spectrum with this mel.

        A band's weights sum to the reciprocal of the bin spacing, so mel times spacing is the mean magnitude around its centre.
        """
        return (mel * (self.rate / self.n_fft)) @ self.hats

    def estimate_tones(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """mel [B, T, F] -> frequency in Hz and amplitude, each [B, T, F], of the sine that would explain bands b - 1 to b + 1.

        Neighbouring triangles interpolate linearly, so the centroid of the un-normalised bands is that of the spectrum itself,
        hence a lone sine's frequency; and the magnitudes of a sine's main lobe sum to amplitude * n_fft / 2.
        """
        weight = mel * self.half_widths
        total = 3 * F.avg_pool1d(weight, 3, 1, 1)
        moment = 3 * F.avg_pool1d(weight * self.centres, 3, 1, 1)
        return moment / total, total / (self.n_fft / 2)

    def reassigned_frequencies(self, samples: Tensor, hop: int, window: int = 2048) -> tuple[Tensor, Tensor]:
        """Which frequency in Hz each band truly carries, and how far that is one tone rather than noise, each [B, T, F].

        samples [B, T hop]. The power-weighted mean, over a triangle around a band's centre, of the STFT's reassigned
        frequencies (Auger and Flandrin 1995, equation 3.13), which are a lone sine's own at every bin it reaches; tonality
        falls from 1 to 0 as their deviation grows from nothing to a third of the band's half width.
        """
        n = torch.arange(window, device=samples.device, dtype=samples.dtype)
        hann = torch.hann_window(window, device=samples.device, dtype=samples.dtype)
        slope = (math.pi / window) * torch.sin(2 * math.pi * n / window)
        padded = F.pad(samples, ((window - hop) // 2,) * 2)
        plain, sloped = (
            torch.stft(padded, window, hop, window=w, center=False, return_complex=True).transpose(
                1, 2
            )
            for w in (hann, slope)
        )
        power = plain.abs().square()
        grid = torch.arange(window // 2 + 1, device=samples.device, dtype=samples.dtype) * (
            self.rate / window
        )
        shift = (sloped * plain.conj()).imag / (power + 1e-12)
        where = grid - (self.rate / (2 * math.pi)) * shift
        low, high = self.centres - self.half_widths, self.centres + self.half_widths
        hats = (1 - (grid[:, None] - self.centres).abs() / self.half_widths).clamp(min=0)
        total = power @ hats + 1e-9
        mean = (((power * where) @ hats) / total).clamp(low, high)
        spread = (((power * where.square()) @ hats) / total - mean.square()).clamp(min=0).sqrt()
        return mean, (1 - 3 * spread / self.half_widths).clamp(min=0)


def noise_stft(noise: Tensor, hop: int, window: Tensor) -> Tensor:
    """STFT [B, T, K] of normal noise [B, (T - 1) hop + n_fft] with mean magnitude 1; window [n_fft]."""
    n_fft = window.shape[0]
    spectrum = torch.stft(
        noise, n_fft, hop, window=window, center=False, return_complex=True
    ).transpose(1, 2)
    return (
        spectrum / (window.square().sum() * math.pi / 4).sqrt()
    )  # a complex normal's mean magnitude is sqrt(pi / 4) sigma


def oscillator_bank(
    frequency: Tensor,
    amplitude: Tensor,
    hop: int,
    phase: Tensor | None = None,
    before: int = 0,
    behind: int = 0,
) -> Tensor:
    """Sum of F sines whose frequency [B, T, F] (cycles per sample) and amplitude [B, T, F] glide: samples [B, T hop].

    Both are straight lines between frame borders, where they have the mean of the two frames; phase is the exact integral.
    phase [B, F]: turns gone at the beginning, which become those at the end. before, behind: frames at either end that are
    neighbours only, and not heard.
    """
    heard = slice(before, frequency.shape[1] + 1 - behind)
    pitch, loudness = _borders(frequency)[:, heard], _borders(amplitude)[:, heard]
    start = _phases(pitch, hop, phase)
    n = torch.arange(hop, device=frequency.device, dtype=frequency.dtype)
    sides = (pitch[:, :-1], pitch[:, 1:], loudness[:, :-1], loudness[:, 1:])
    parts = (torch.split(x, BLOCK, dim=1) for x in (start, *sides))
    whole = pitch.new_empty(*start.shape[:2], hop)
    for number, (begin, rate, later, level, next_level) in enumerate(zip(*parts, strict=True)):
        ramp = torch.stack([level, (next_level - level) / hop], dim=2)
        phase = torch.addcmul(begin[..., None], rate[..., None], n)
        phase = torch.addcmul(phase, ((later - rate) / (2 * hop))[..., None], n * n)
        constant, growing = (ramp @ torch.sin(2 * math.pi * phase)).unbind(2)
        whole[:, number * BLOCK : (number + 1) * BLOCK] = constant + growing * n
    return whole.flatten(1)


def stabilize_pitch(frequency: Tensor, loudness: Tensor, reach: int) -> Tensor:
    """Frequencies [B, T, F] that waver as notes of one pitch, others as they are; loudness [B, T, F] says which frames count.

    Some rounds of a bilateral filter (Tomasi and Manduchi 1998; so repeated, a mean shift): each becomes the geometric mean of
    its own band within `reach` frames, where those nearby, loud and alike (`_ALIKE`) count most. A leap is not alike; a glide
    lies evenly about each of its frames but the last, and whatever would be moved far is not. Frames are pooled by `_GRID` to
    be heard, not to be changed.
    """
    bands = zip(
        torch.split(frequency, _BANDS, dim=2), torch.split(loudness, _BANDS, dim=2), strict=True
    )
    return torch.cat([_held(pitch, level, reach) for pitch, level in bands], dim=2)


def _held(frequency: Tensor, loudness: Tensor, reach: int) -> Tensor:
    """`held` for some bands."""
    frames, arms = frequency.shape[1], -(-reach // _GRID)
    spare = -frames % _GRID
    given = frequency.clamp_min(1.0).log()
    pitch = F.pad(given.transpose(1, 2), (0, spare), mode="replicate").unflatten(2, (-1, _GRID))
    weight = F.pad(loudness.transpose(1, 2), (0, spare)).unflatten(2, (-1, _GRID))
    total = weight.sum(3)
    near = torch.hann_window(2 * arms + 3, periodic=False, device=pitch.device, dtype=pitch.dtype)[
        1:-1
    ]

    def around(value: Tensor) -> Tensor:
        return F.pad(value, (arms, arms)).unfold(2, 2 * arms + 1, 1)

    for _ in range(ROUNDS):
        pooled = (pitch * weight).sum(3) / total.clamp_min(1e-20)
        parts = (torch.split(x, _HEARD, dim=2) for x in (pitch, around(pooled), around(total)))
        pitch = pitch.new_empty(pitch.shape)
        for number, (one, others, heard) in enumerate(zip(*parts, strict=True)):
            pitch[:, :, number * _HEARD : (number + 1) * _HEARD] = _drawn(one, others, heard * near)
    moved = pitch.flatten(2)[..., :frames].transpose(1, 2) - given
    return frequency * torch.exp(moved * torch.exp(-0.5 * (moved / (2 * _ALIKE)).square()))


def _drawn(pitch: Tensor, others: Tensor, heard: Tensor) -> Tensor:
    """Log-pitches [B, F, T, G] as the mean of the others [B, F, T, A] about them, by loudness [B, F, T, A] and likeness."""
    others = others[..., None, :]
    share = heard[..., None, :] * torch.exp(-0.5 * ((others - pitch[..., None]) / _ALIKE).square())
    size = share.sum(-1)
    return torch.where(size > 1e-12, (share * others).sum(-1) / size.clamp_min(1e-12), pitch)


def _borders(x: Tensor) -> Tensor:
    """[B, T, F] at frames -> [B, T + 1, F] at their borders."""
    x = torch.cat([x[:, :1], x, x[:, -1:]], dim=1)
    return (x[:, 1:] + x[:, :-1]).mul_(0.5)


def _phases(pitch: Tensor, hop: int, phase: Tensor | None) -> Tensor:
    """Pitches [B, T + 1, F] at frames' borders -> phases [B, T, F] at their beginnings, in turns, less most whole ones."""
    turns = (
        (pitch[:, 1:] + pitch[:, :-1]).mul_(hop / 2).remainder_(1)
    )  # whole turns are silent and would eat the mantissa
    ends = turns.cumsum(1)
    if phase is not None:
        ends += phase[:, None]
        phase.copy_(ends[:, -1].remainder(1))
    return ends.sub_(turns)
