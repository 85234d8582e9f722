"""An inverse-STFT vocoder with noise and sine sources.

Log-mel to samples, for small models, fast on a CPU.

ConvNeXt blocks at the frame rate predict the parameters of one inverse STFT (Vocos, arXiv
2306.00814), of filtered noise and of a bank of oscillators. Long clips are synthesized in sections,
of which the network sees chunks; the result does not depend on either.

B batch, T mel frames, F mel bins (bands), N samples, C channels, K STFT bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..config.architecture import VocoderConfig
from .attack_stft import FRAMES_PER_MEL_FRAME, AttackControls, AttackHead
from .autocast import no_autocast
from .harmonics import NUM_HARMONICS, HarmonicControls, HarmonicHead
from .oscillators import (
    FILTER_ROUNDS,
    MelAnalyzer,
    exponential_gain,
    noise_stft,
    oscillator_bank,
    stabilize_pitch,
)
from .tiling import apply_chunked

CHUNK_FRAMES = 1024
"""Mel frames that the network processes at once, besides margins."""

SECTION_FRAMES = 8192
"""Mel frames that are synthesized at once, besides margins."""

INITIAL_LOG_GAIN = -2.0
"""Natural logarithm of the learned parts' gain at the start of training: quiet beside the untrained
noise vocoder."""

WEIGHT_STD = 0.02


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron over channels, scaled and added.

    See arXiv 2201.03545.
    """

    def __init__(self, channels: int, ffn_dim: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, ffn_dim)
        self.project = nn.Linear(ffn_dim, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.scale * self.project(F.gelu(self.expand(y)))
        out: Tensor = x + y.transpose(1, 2)
        return out


class InverseSTFT(nn.Module):
    """Overlap-add with "same" framing.

    Frame t is centered on sample (t + 1/2) hop, so T frames make exactly T hop samples.

    The mel front end has the same framing: (n_fft - hop) / 2 samples of padding on each side
    (numerics: mel front ends).
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        assert (n_fft - hop_length) % 2 == 0, "framing needs n_fft - hop_length to be even"
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.register_buffer("window", torch.hann_window(n_fft, device="cpu"), persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        """spectrum [B, T, K] complex -> samples [B, T hop], the least-squares inverse.

        Griffin and Lim 1984, equation 6.
        """
        frames = torch.fft.irfft(spectrum, self.n_fft) * self.window
        envelope = self.window.square().expand(1, frames.shape[1], -1)
        return self._overlap_add(frames) / self._overlap_add(envelope)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """[B, T, n_fft] -> [B, T hop], without the padding at both ends."""
        batch, count, _ = frames.shape
        length = (count - 1) * self.hop_length + self.n_fft
        stride = (1, self.hop_length)
        summed = F.fold(frames.transpose(1, 2), (1, length), (1, self.n_fft), stride=stride)
        edge = (self.n_fft - self.hop_length) // 2
        return summed.reshape(batch, length)[:, edge : length - edge]


class SynthesisControls(NamedTuple):
    """What the network predicts for a log-mel, besides the noise itself.

    Attributes:
        coherent: Predicted STFT [B, T, K], complex.
        noise_magnitude: Magnitude of the noise, [B, T, K].
        frequency: Frequency of every band's sine in Hz, [B, T, F].
        amplitude: Amplitude of every band's sine, [B, T, F].
        attacks: Controls of the short frames; None without `attack_n_fft`.
        harmonics: Controls of the harmonics; None without `use_harmonics`.
    """

    coherent: Tensor
    noise_magnitude: Tensor
    frequency: Tensor
    amplitude: Tensor
    attacks: AttackControls | None
    harmonics: HarmonicControls | None

    def pitches(self) -> Tensor:
        """Frequencies of the sines in Hz, then the pitch of the harmonics: [B, T, F or F + 1]."""
        if self.harmonics is None:
            return self.frequency
        return torch.cat([self.frequency, self.harmonics.pitch], dim=2)

    def amplitudes(self) -> Tensor:
        """Amplitudes of the sines, then of the harmonics: [B, T, F or F + H]."""
        if self.harmonics is None:
            return self.amplitude
        return torch.cat([self.amplitude, self.harmonics.amplitude], dim=2)


class _Section(NamedTuple):
    """What a section consists of, without its sines.

    Attributes:
        samples: [B, T, hop].
        pitches: [B, T, F or F + 1].
        amplitudes: [B, T, F or F + H].
        long_gain: Factor of the sines, [B, T, hop]; None without short frames.
    """

    samples: Tensor
    pitches: Tensor
    amplitudes: Tensor
    long_gain: Tensor | None = None


class ISTFTVocoder(nn.Module):
    """Vocos with sources: the sum of an inverse STFT, noise per band, and one sine per band.

    All three are relative to what `MelAnalyzer` computes from the mel, so that the untrained
    vocoder already is a noise vocoder. The STFT's predicted magnitude and phase give anything
    coherent. With `pitch_smoothing_frames` a sine whose pitch only wavers is held steady. With
    `attack_n_fft` a second inverse STFT of short frames plays attacks and short noise
    (`AttackHead`). With `use_harmonics` the harmonics of one pitch are played beside the bands'
    sines (`HarmonicHead`).

    Attributes:
        margin: Mel frames to either side that all but the sines depend on, at most.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.pitch_smoothing_frames = config.pitch_smoothing_frames
        num_bins = config.n_fft // 2 + 1
        # log gain and phase of the coherent part; log gains of noise and sines; shift of the sines'
        # frequency
        self.sizes = [num_bins] * 2 + [config.n_mels] * 3
        self.embed = nn.Conv1d(config.n_mels, config.channels, 7, padding=3)
        self.norm_in = nn.LayerNorm(config.channels, eps=1e-6)
        self.blocks = nn.Sequential(
            *(
                ConvNeXtBlock(config.channels, config.ffn_dim, 1 / config.num_layers)
                for _ in range(config.num_layers)
            )
        )
        self.norm_out = nn.LayerNorm(config.channels, eps=1e-6)
        self.head = nn.Linear(config.channels, sum(self.sizes))
        self.mel_analyzer = MelAnalyzer(config)
        self.inverse = InverseSTFT(config.n_fft, config.hop_length)
        self.attacks: AttackHead | None = None
        if config.attack_n_fft:
            self.attacks = AttackHead(config)
            attack_hop = config.hop_length // FRAMES_PER_MEL_FRAME
            self.attack_inverse = InverseSTFT(config.attack_n_fft, attack_hop)
        self.harmonics = HarmonicHead(config) if config.use_harmonics else None
        num_pitches = config.n_mels
        num_sines = config.n_mels
        if config.use_harmonics:
            num_pitches += 1
            num_sines += NUM_HARMONICS
        # of what is predicted for a section: samples, pitches, amplitudes, gain of the sines
        self.section_widths = [config.hop_length, num_pitches, num_sines]
        if config.attack_n_fft:
            self.section_widths.append(config.hop_length)
        self.margin = 3 * (1 + config.num_layers) + math.ceil(config.n_fft / config.hop_length)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.trunc_normal_(parameter, std=WEIGHT_STD)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel [B, 1, T, F] -> samples [B, 1, T hop], not clipped.

        Deterministic, but for new noise in training.
        """
        return self.synthesize(log_mel)[0]

    def synthesize(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Generate samples, section by section.

        Args:
            log_mel: [B, 1, T, F].

        Returns:
            Samples [B, 1, T hop], and the frequency in Hz [B, T, F] of every band's sine in them.
        """
        batch, _, num_frames, bands = log_mel.shape
        hop = self.inverse.hop_length
        # frames beside a section that its samples depend on, a multiple of 8
        beside = -(-(self.margin + FILTER_ROUNDS * self.pitch_smoothing_frames) // 8 + 1) * 8
        noise = self._noise(batch, num_frames).to(log_mel.device)
        phase = None  # of the sines where a section begins; one section needs none
        if num_frames > SECTION_FRAMES:
            phase = torch.zeros(batch, self.section_widths[2], device=log_mel.device)
        output = noise.new_empty(batch, num_frames * hop)
        frequencies = noise.new_empty(batch, num_frames, bands)
        for first in range(0, num_frames, SECTION_FRAMES):
            last = min(first + SECTION_FRAMES, num_frames)
            low = max(0, first - beside)
            high = min(num_frames, last + beside)
            section_noise = noise[:, low * hop : (high - 1) * hop + self.inverse.n_fft]
            section = self._predict_section(log_mel[:, :, low:high], section_noise)
            frequency = section.pitches
            if self.pitch_smoothing_frames:
                frequency = self._stabilize(frequency, section.amplitudes, bands)
            # the oscillators also need one neighbor frame at each inner end of the section
            before = min(first, 1)
            behind = min(num_frames - last, 1)
            current = slice(first - before - low, last + behind - low)
            cycles_per_sample = self._all_frequencies(frequency[:, current])
            cycles_per_sample = cycles_per_sample / self.mel_analyzer.sample_rate
            sines = oscillator_bank(
                cycles_per_sample, section.amplitudes[:, current], hop, phase, before, behind
            )
            inner = slice(first - low, last - low)
            if section.long_gain is not None:
                sines *= section.long_gain[:, inner].flatten(1)
            stft_part = section.samples[:, inner].flatten(1)
            output[:, first * hop : last * hop] = sines.add_(stft_part)
            frequencies[:, first:last] = frequency[:, inner, :bands]
        return output.unsqueeze(1), frequencies

    def synthesize_variants(self, log_mel: Tensor, count: int) -> tuple[Tensor, SynthesisControls]:
        """Generate samples several times, with different noise. For training, with short crops.

        Args:
            log_mel: [B, 1, T, F].
            count: Number of variants.

        Returns:
            Samples [count, B, T hop], and the controls that all of them share. No pitch is
            stabilized.
        """
        batch, _, num_frames, _ = log_mel.shape
        controls = self.predict_controls(log_mel[:, 0])
        with no_autocast(log_mel):
            frequency = self._all_frequencies(controls.pitches())
            cycles_per_sample = frequency / self.mel_analyzer.sample_rate
            sines = oscillator_bank(
                cycles_per_sample, controls.amplitudes(), self.inverse.hop_length
            )
            common = sines + self.inverse(controls.coherent)
            if controls.attacks is not None:
                attacks = self.attack_inverse(controls.attacks.coherent)
                common = common * controls.attacks.long_gain + attacks
            variants = []
            for _ in range(count):
                noise = self._draw_noise(batch, num_frames, None).to(log_mel.device)
                variants.append(common + self._noise_samples(controls, noise))
        return torch.stack(variants), controls

    def predict_controls(
        self, log_mel: Tensor, polar: Callable[[Tensor, Tensor], Tensor] = torch.polar
    ) -> SynthesisControls:
        """Apply the network to a log-mel [B, T, F].

        Args:
            log_mel: [B, T, F].
            polar: Makes spectra of magnitudes and phases. ONNX graphs have no complex numbers.

        Returns:
            The controls; `coherent` of both STFTs is as `polar` makes it.
        """
        x = self.embed(log_mel.transpose(1, 2))
        x = self.norm_in(x.transpose(1, 2)).transpose(1, 2)
        x = self.norm_out(self.blocks(x).transpose(1, 2))
        # in float32: 8 bits of mantissa are too few for phase, and FFTs do not support bf16
        with no_autocast(x):
            hidden = x.float()
            mel = log_mel.float().exp()
            coherent, phase, noise_level, sine_level, bend = torch.split(
                self.head(hidden), self.sizes, dim=-1
            )
            analyzer = self.mel_analyzer
            envelope = analyzer.envelope(mel)
            frequency, amplitude = analyzer.estimate_tones(mel)
            attacks = None
            if self.attacks is not None:
                attacks = self.attacks(hidden, envelope, polar)
            harmonics = None
            if self.harmonics is not None:
                harmonics = self.harmonics(hidden, log_mel.float(), analyzer)
            return SynthesisControls(
                polar(envelope * exponential_gain(coherent, INITIAL_LOG_GAIN), phase),
                analyzer.envelope(mel * exponential_gain(noise_level, 0.0)),
                # a sine may move by half a band
                frequency + torch.tanh(bend / 10) * analyzer.half_widths,
                amplitude * exponential_gain(sine_level, INITIAL_LOG_GAIN),
                attacks,
                harmonics,
            )

    def _predict_section(self, log_mel: Tensor, noise: Tensor) -> _Section:
        """Everything but the sines of log-mel [B, 1, T, F], chunk by chunk.

        noise: [B, (T - 1) hop + n_fft].
        """
        hop = self.inverse.hop_length

        def predict_chunk(positions: Tensor) -> Tensor:
            first = int(positions[0, 0, 0])
            last = int(positions[0, 0, -1]) + 1
            chunk = noise[:, first * hop : (last - 1) * hop + self.inverse.n_fft]
            parts = self._predict_chunk(log_mel[:, 0, first:last], chunk)
            return torch.cat(parts, dim=2).transpose(1, 2)

        # positions stand for the inputs, which have two different lengths
        positions = torch.arange(log_mel.shape[2]).view(1, 1, -1)
        predicted = apply_chunked(
            predict_chunk, positions, CHUNK_FRAMES + 2 * self.margin, self.margin, 1
        )
        return _Section(*predicted.transpose(1, 2).split(self.section_widths, dim=2))

    def _predict_chunk(self, log_mel: Tensor, noise: Tensor) -> list[Tensor]:
        """Samples without sines, pitches and amplitudes of the sines, and the gain of the sines.

        All are [B, T, ...]; the gain is missing without short frames.

        log_mel: [B, T, F]. noise: [B, (T - 1) hop + n_fft].
        """
        controls = self.predict_controls(log_mel)
        hop = self.inverse.hop_length
        with no_autocast(log_mel):
            noise_spectrum = noise_stft(noise, hop, self.inverse.window)
            samples = self.inverse(controls.coherent + controls.noise_magnitude * noise_spectrum)
            gains = []
            if controls.attacks is not None:
                attack_spectrum = self._attack_noise_stft(noise)
                attack_spectrum = controls.attacks.noise_magnitude * attack_spectrum
                attacks = self.attack_inverse(controls.attacks.coherent + attack_spectrum)
                samples = samples * controls.attacks.long_gain + attacks
                gains.append(controls.attacks.long_gain.unflatten(1, (-1, hop)))
            samples = samples.unflatten(1, (-1, hop))
            return [samples, controls.pitches(), controls.amplitudes(), *gains]

    def _noise_samples(self, controls: SynthesisControls, noise: Tensor) -> Tensor:
        """The noise alone, [B, T hop], of noise [B, (T - 1) hop + n_fft]."""
        spectrum = noise_stft(noise, self.inverse.hop_length, self.inverse.window)
        samples: Tensor = self.inverse(controls.noise_magnitude * spectrum)
        if controls.attacks is None:
            return samples
        spectrum = controls.attacks.noise_magnitude * self._attack_noise_stft(noise)
        attacks: Tensor = self.attack_inverse(spectrum)
        return samples * controls.attacks.long_gain + attacks

    def _attack_noise_stft(self, noise: Tensor) -> Tensor:
        """STFT [B, 2 T, S] of noise [B, (T - 1) hop + n_fft] in short frames, mean magnitude 1."""
        n_fft = self.attack_inverse.n_fft
        hop = self.attack_inverse.hop_length
        edge = (self.inverse.n_fft - self.inverse.hop_length) // 2 - (n_fft - hop) // 2
        inner = noise[:, edge : noise.shape[1] - edge]
        return noise_stft(inner, hop, self.attack_inverse.window)

    def _all_frequencies(self, pitches: Tensor) -> Tensor:
        """Frequencies [B, T, F], then those of the harmonics if there is a pitch [B, T, F + 1]."""
        if self.harmonics is None:
            return pitches
        harmonics = pitches[..., -1:] * self.harmonics.numbers
        return torch.cat([pitches[..., :-1], harmonics], dim=2)

    def _stabilize(self, pitches: Tensor, amplitudes: Tensor, bands: int) -> Tensor:
        """Stabilize the frequencies of the bands' sines; a pitch of harmonics stays."""
        frequency = stabilize_pitch(
            pitches[..., :bands],
            amplitudes[..., :bands],
            self.pitch_smoothing_frames,
            self.mel_analyzer.centers,
        )
        return torch.cat([frequency, pitches[..., bands:]], dim=2)

    def _noise(self, batch: int, num_frames: int) -> Tensor:
        """New noise for every item in training.

        Otherwise the same noise [1, N] for every item and call, from the fixed seed 0. The seed of
        a request does not change it.
        """
        if self.training:
            return self._draw_noise(batch, num_frames, None)
        return self.fixed_noise(num_frames)

    def fixed_noise(self, num_frames: int) -> Tensor:
        """Return the noise of every generated clip, [1, (T - 1) hop + n_fft]."""
        return self._draw_noise(1, num_frames, torch.Generator().manual_seed(0))

    def _draw_noise(self, batch: int, num_frames: int, generator: Generator | None) -> Tensor:
        """Normal noise [B, (T - 1) hop + n_fft]."""
        length = (num_frames - 1) * self.inverse.hop_length + self.inverse.n_fft
        return torch.randn(batch, length, generator=generator, device="cpu")
