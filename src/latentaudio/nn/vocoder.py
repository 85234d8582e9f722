"""From log-mel to sound: HiFi-GAN (published models) and an inverse-STFT vocoder (small models, fast on a CPU).

Knows both generators and how they frame time. Refuses to know losses, discriminators, weights files and what a mel means.

B batch, T mel frames, F mel bins, N samples, C channels, K STFT bins. Spec section 3; Vocos is arXiv 2306.00814.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..configs import VocoderConfig
from .harmonics import HarmonicControls, HarmonicHead
from .packed import added, leaky
from .short import ShortControls, ShortHead
from .sources import ROUNDS, MelReader, held, hiss, oscillate
from .tiles import chunked

LEAK = 0.1
_PIECE, _SECTION = 1024, 8192  # mel frames, and margins, that the inverse-STFT vocoder shapes, and sings, at once
QUIET, LOUDEST = -2.0, 5.0  # natural logs of gain: where the learned parts begin, and where they end lest one step deafens


def build_vocoder(config: VocoderConfig) -> nn.Module:
    """The generator `config` describes: a module from log-mel [B, 1, T, F] to samples [B, 1, N] in float32."""
    return ISTFTVocoder(config) if config.kind == "istft" else HiFiGAN(config)


class ResBlock(nn.Module):
    """HiFi-GAN's residual block of type "1": a dilated and a plain convolution per dilation."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding="same", dilation=d) for d in dilations)
        self.convs2 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding="same") for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = added(plain, leaky(dilated, F.leaky_relu(x, LEAK), LEAK), x)
        return x


class HiFiGAN(nn.Module):
    """HiFi-GAN generator (arXiv 2010.05646; spec 3)."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        width = config.channels
        self.conv_pre = nn.Conv1d(config.bins, width, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.rates, config.kernels, strict=True):
            self.ups.append(nn.ConvTranspose1d(width, width // 2, kernel, rate, padding=(kernel - rate) // 2))
            width //= 2
            self.resblocks.extend(ResBlock(width, k, config.dilations) for k in config.block_kernels)
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3)
        self.parallel = len(config.block_kernels)
        self.hop = math.prod(config.rates)
        self.margin = self._reach(config)
        """Mel frames to either side that a sample depends on, at most."""
        for module in (*self.ups.modules(), *self.resblocks.modules(), self.conv_post):
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                nn.init.normal_(module.weight, 0.0, 0.01)

    @staticmethod
    def _reach(config: VocoderConfig) -> int:
        """Every layer's reach, each in frames of its own rate, summed."""
        wide = max(config.block_kernels) // 2 * sum(d + 1 for d in config.dilations)
        reach, rate = 3.0, 1
        for factor, kernel in zip(config.rates, config.kernels, strict=True):
            rate *= factor
            reach += (kernel + wide) / rate
        return math.ceil(reach + 3 / rate) + 1

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel [B, 1, T, F] -> samples [B, 1, N] in (-1, 1). Odd kernel - rate adds samples: N = 160 T + 32 at 16 kHz."""
        x = self.conv_pre(log_mel.squeeze(1).transpose(1, 2).to(cast(Tensor, self.conv_pre.bias).dtype))
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, LEAK))
            blocks = self.resblocks[i * self.parallel : (i + 1) * self.parallel]
            first, *rest = (block(x) for block in blocks)
            x = sum(rest, first) / self.parallel
        x = self.conv_post(F.leaky_relu(x))  # the slope of this one is torch's default, 0.01, in the published models
        return torch.tanh(x.float())


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron over channels, scaled and added (arXiv 2201.03545)."""

    def __init__(self, channels: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, hidden)
        self.project = nn.Linear(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.scale * self.project(F.gelu(self.expand(y)))
        out: Tensor = x + y.transpose(1, 2)
        return out


class InverseSTFT(nn.Module):
    """Overlap-add with "same" framing: frame t is centred on sample (t + 1/2) hop, so T frames make exactly T hop samples.

    That is the framing of the mel front end (spec 1.1 (1)): (n_fft - hop) / 2 samples padded on each side, no centring.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        assert (n_fft - hop) % 2 == 0, "framing needs n_fft - hop to be even"
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft, device="cpu"), persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        """spectrum [B, T, K] complex -> samples [B, T hop], the least-squares inverse (Griffin and Lim 1984, equation 6)."""
        frames = torch.fft.irfft(spectrum, self.n_fft) * self.window
        envelope = self.window.square().expand(1, frames.shape[1], -1)
        return self._overlap_add(frames) / self._overlap_add(envelope)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        batch, count, _ = frames.shape
        length = (count - 1) * self.hop + self.n_fft
        summed = F.fold(frames.transpose(1, 2), (1, length), (1, self.n_fft), stride=(1, self.hop))
        edge = (self.n_fft - self.hop) // 2
        return summed.reshape(batch, length)[:, edge : length - edge]


class Controls(NamedTuple):
    """What an inverse-STFT vocoder decides: predicted frames [B, T, K] complex, the magnitude of the noise [B, T, K], the
    frequency in Hz and the amplitude of every band's sine [B, T, F], and what its short frames play."""

    coherent: Tensor
    noise: Tensor
    frequency: Tensor
    amplitude: Tensor
    short: ShortControls | None
    harmonic: HarmonicControls | None

    def sines(self) -> tuple[Tensor, Tensor]:
        """Frequencies in Hz [B, T, F] and amplitudes [B, T, F]; with harmonics their pitch [B, T, F + 1] and amplitudes
        [B, T, F + H] follow."""
        if self.harmonic is None:
            return self.frequency, self.amplitude
        frequency = torch.cat([self.frequency, self.harmonic.pitch], dim=2)
        return frequency, torch.cat([self.amplitude, self.harmonic.amplitude], dim=2)


class ISTFTVocoder(nn.Module):
    """Vocos with sources: ConvNeXt blocks at the frame rate decide what one inverse STFT and an oscillator bank play.

    Three parts, each relative to what `MelReader` reads off the mel, so that an untrained one already is a noise vocoder:
    an STFT of predicted magnitude and phase (Vocos: attacks, anything coherent), noise per band, and one sine per band, which
    with `reach` holds its pitch where it only wavers. With `short` a second inverse STFT, of shorter frames, adds predicted
    frames and noise of its own (`ShortHead`), with `harmonics` the harmonics of one pitch are played beside the bands' sines.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.reach = config.reach
        self.sizes = [config.n_fft // 2 + 1] * 2 + [config.bins] * 3
        self.embed = nn.Conv1d(config.bins, config.channels, 7, padding=3)
        self.norm_in = nn.LayerNorm(config.channels, eps=1e-6)
        self.blocks = nn.Sequential(
            *(ConvNeXtBlock(config.channels, config.hidden, 1 / config.layers) for _ in range(config.layers))
        )
        self.norm_out = nn.LayerNorm(config.channels, eps=1e-6)
        self.head = nn.Linear(config.channels, sum(self.sizes))
        self.reader = MelReader(config)
        self.inverse = InverseSTFT(config.n_fft, config.hop)
        if config.short:
            self.short = ShortHead(config)
            self.short_inverse = InverseSTFT(config.short, config.hop // ShortHead.STEPS)
        if config.harmonics:
            self.harmonics = HarmonicHead(config)
        self.margin = 3 * (1 + config.layers) + math.ceil(config.n_fft / config.hop)
        """Mel frames to either side that all but the tones depend on, at most."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.trunc_normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel [B, 1, T, F] -> samples [B, 1, T hop], not clipped. Same mel, same sound: only training draws new noise."""
        return self.played(log_mel)[0]

    def played(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` returns, and the frequency in Hz [B, T, F] of every band's sine in it."""
        batch, _, frames, bands = log_mel.shape
        hop, beside = self.inverse.hop, -(-(self.margin + ROUNDS * self.reach) // 8 + 1) * 8
        noise, phase = self._noise(batch, frames).to(log_mel.device), None
        voices = bands + HarmonicHead.COUNT if hasattr(self, "harmonics") else bands
        tracks = bands + (voices > bands)
        if frames > _SECTION:
            phase = torch.zeros(batch, voices, device=log_mel.device)
        sound, sung = noise.new_empty(batch, frames * hop), noise.new_empty(batch, frames, bands)
        for first in range(0, frames, _SECTION):
            last = min(first + _SECTION, frames)
            low, high = max(0, first - beside), min(frames, last + beside)
            grain = noise[:, low * hop : (high - 1) * hop + self.inverse.n_fft]
            made = self._parts(log_mel[:, :, low:high], grain).transpose(1, 2)
            samples, frequency, amplitude = made[..., :hop], made[..., -tracks - voices : -voices], made[..., -voices:]
            if self.reach:
                steady = held(frequency[..., :bands], amplitude[..., :bands], self.reach)  # a pitch needs no holding
                frequency = torch.cat([steady, frequency[..., bands:]], dim=2)
            before, behind = min(first, 1), min(frames - last, 1)  # a neighbour
            heard = slice(first - before - low, last + behind - low)
            pitch = self._every(frequency[:, heard]) / self.reader.rate
            tones = oscillate(pitch, amplitude[:, heard], hop, phase, before, behind)
            if made.shape[2] > hop + tracks + voices:
                tones *= made[:, first - low : last - low, hop : 2 * hop].flatten(1)
            sound[:, first * hop : last * hop] = tones.add_(samples[:, first - low : last - low].flatten(1))
            sung[:, first:last] = frequency[:, first - low : last - low, :bands]
        return sound.unsqueeze(1), sung

    def _parts(self, log_mel: Tensor, noise: Tensor) -> Tensor:
        """What `_part` makes of log-mel [B, 1, T, F] and noise [B, (T - 1) hop + n_fft], piece by piece."""
        hop = self.inverse.hop

        def piece(places: Tensor) -> Tensor:
            first, last = int(places[0, 0, 0]), int(places[0, 0, -1]) + 1
            grain = noise[:, first * hop : (last - 1) * hop + self.inverse.n_fft]
            return self._part(log_mel[:, 0, first:last], grain)

        places = torch.arange(log_mel.shape[2]).view(1, 1, -1)
        return chunked(piece, places, _PIECE + 2 * self.margin, self.margin, 1)

    def _part(self, log_mel: Tensor, noise: Tensor) -> Tensor:
        """Of log-mel [B, T, F] and noise [B, (T - 1) hop + n_fft], side by side [B, hop + 2F, T]: samples without tones, the
        tones' frequency in Hz, their amplitude; with `short` [B, 2 hop + 2F, T]: behind the samples the tones' gain."""
        controls = self.controls(log_mel)
        with torch.autocast(log_mel.device.type, enabled=False):
            spectrum = controls.coherent + controls.noise * hiss(noise, self.inverse.hop, self.inverse.window)
            hop, samples = self.inverse.hop, self.inverse(spectrum)
            if controls.short is None:
                parts = [samples.unflatten(1, (-1, hop))]
            else:
                short = self.short_inverse(controls.short.coherent + controls.short.noise * self._short_hiss(noise))
                samples = samples * controls.short.gain + short
                parts = [samples.unflatten(1, (-1, hop)), controls.short.gain.expand_as(samples).unflatten(1, (-1, hop))]
            return torch.cat([*parts, *controls.sines()], dim=2).transpose(1, 2)

    def controls(self, log_mel: Tensor) -> Controls:
        """What the network decides for a log-mel [B, T, F]."""
        x = self.embed(log_mel.transpose(1, 2))
        x = self.norm_in(x.transpose(1, 2)).transpose(1, 2)
        x = self.norm_out(self.blocks(x).transpose(1, 2))
        with torch.autocast(x.device.type, enabled=False):  # phase does not survive 8 bits of mantissa, and FFTs refuse them
            mel, heads = log_mel.float().exp(), self.head(x.float())
            loudness, phase, hissing, tone, bend = torch.split(heads, self.sizes, dim=-1)
            envelope = self.reader.envelope(mel)
            frequency, amplitude = self.reader.tones(mel)
            return Controls(
                torch.polar(envelope * _gain(loudness, QUIET), phase),
                self.reader.envelope(mel * _gain(hissing, 0.0)),
                frequency + torch.tanh(bend / 10) * self.reader.half_widths,
                amplitude * _gain(tone, QUIET),
                self.short(x.float(), envelope) if hasattr(self, "short") else None,
                self.harmonics(x.float(), log_mel.float(), self.reader) if hasattr(self, "harmonics") else None,
            )

    def _every(self, frequency: Tensor) -> Tensor:
        """Frequencies [B, T, F], or with a pitch [B, T, F + 1], of all sines: those of its harmonics in its place."""
        if not hasattr(self, "harmonics"):
            return frequency
        return torch.cat([frequency[..., :-1], frequency[..., -1:] * self.harmonics.order], dim=2)

    def _short_hiss(self, noise: Tensor) -> Tensor:
        """STFT [B, STEPS T, K'] of the same noise [B, (T - 1) hop + n_fft] in short frames, mean magnitude 1."""
        n_fft, hop = self.short_inverse.n_fft, self.short_inverse.hop
        edge = (self.inverse.n_fft - self.inverse.hop) // 2 - (n_fft - hop) // 2
        return hiss(noise[:, edge : noise.shape[1] - edge], hop, self.short_inverse.window)

    def takes(self, log_mel: Tensor, count: int) -> tuple[Tensor, Tensor, Controls]:
        """For training: `count` sounds [count, B, T hop] of a short log-mel [B, 1, T, F] that differ in their noise alone; the
        frequencies in Hz [B, T, F] of the sines in them, none held; what the network decided."""
        batch, _, frames, _ = log_mel.shape
        controls = self.controls(log_mel[:, 0])
        with torch.autocast(log_mel.device.type, enabled=False):
            frequency, amplitude = controls.sines()
            pitch = self._every(frequency) / self.reader.rate
            fixed = oscillate(pitch, amplitude, self.inverse.hop) + self.inverse(controls.coherent)
            if controls.short is not None:
                fixed = fixed * controls.short.gain + self.short_inverse(controls.short.coherent)
            made = []
            for _ in range(count):
                noise = torch.randn(batch, (frames - 1) * self.inverse.hop + self.inverse.n_fft, device="cpu").to(
                    log_mel.device
                )
                sound = self.inverse(controls.noise * hiss(noise, self.inverse.hop, self.inverse.window))
                if controls.short is not None:
                    sound = sound * controls.short.gain + self.short_inverse(controls.short.noise * self._short_hiss(noise))
                made.append(fixed + sound)
        return torch.stack(made), controls.frequency, controls

    def _noise(self, batch: int, frames: int) -> Tensor:
        """New noise for every item in training; otherwise always the same, whatever the batch."""
        generator = None if self.training else torch.Generator().manual_seed(0)
        length = (frames - 1) * self.inverse.hop + self.inverse.n_fft
        return torch.randn(batch if self.training else 1, length, generator=generator, device="cpu")


def _gain(control: Tensor, start: float) -> Tensor:
    """A factor of e^start at control 0, growing exponentially up to e^LOUDEST."""
    return (control + start).clamp(max=LOUDEST).exp()
