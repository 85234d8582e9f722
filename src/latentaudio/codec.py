"""`AudioCodec`: waveform <-> latent of any length, through the mel VAE and the vocoder.

Long clips are processed in windows that overlap and are crossfaded.

Letters: B batch, C channels, N samples, T mel frames, F mel bins; T' F' latent grid.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from .audio.mel import vae_mel
from .audio.ops import Samples, limit_peak
from .device import with_torch_defaults
from .loaders.component_store import ComponentStore
from .loaders.layouts import ModelSource
from .models.hifigan import HiFiGAN
from .models.tiling import apply_chunked, apply_overlapping
from .types import Latent

if TYPE_CHECKING:
    from .models.vae import VAE

WINDOW_OVERLAP_FRACTION = 4
"""Neighboring windows of a long clip share one fourth of their length."""
NO_WINDOW = 2**40
"""A window that is longer than any latent."""
VOCODER_CHUNK_FRAMES = 512
"""Mel frames, without margins, that HiFi-GAN gets at once on a CPU; 1,024 are 1.5 times slower."""
ORIGINAL_LENGTH_FACTOR = 1.024
"""The original code samples 25.6 latent frames for a second that has 25 (numerics: VAE)."""
CLAMP_TRIGGER = 100.0
"""Latents above this have diverged (numerics: reference differences)."""
CLAMP_LIMIT = 10.0
MAX_SOURCE_PEAK = 0.5
"""Peak of training clips, as the authors prepare them (numerics: mel front ends)."""


class AudioCodec:
    """The codec of one model. It fetches its components at every use.

    Attributes:
        source: The model on disk.
        config: Shapes of its components.
        components: Its components by name.
    """

    def __init__(self, source: ModelSource, components: ComponentStore) -> None:
        self.source = source
        self.config = source.config
        self.components = components

    @property
    def vae(self) -> VAE:
        """The mel VAE."""
        return cast("VAE", self.components["vae"])

    @property
    def vocoder(self) -> nn.Module:
        """Log-mel [B, 1, T, F] -> samples [B, 1, N]."""
        return self.components["vocoder"]

    def num_frames(self, duration: float) -> int:
        """Return how many mel frames T a clip is sampled with.

        They cover the duration, are no fewer than in training, and fill whole cells of the latent
        grids of VAE and UNet.

        Args:
            duration: Duration of the clip in seconds.
        """
        reference = self.source.reference
        frame_rate = self.config.mel.sample_rate / self.config.mel.hop_length
        multiple = self.config.vae.downsampling
        if reference.pad_to_min_duration:
            duration = max(duration, self.source.spec.min_duration)
        duration = max(duration, 0.0)
        if reference.latent_rounding == "vae":
            return multiple * math.ceil(max(1, int(duration / (1.0 / frame_rate))) / multiple)
        if reference.latent_rounding == "original":
            num_cells = int(duration * frame_rate / multiple * ORIGINAL_LENGTH_FACTOR)
            duration = num_cells * multiple / frame_rate
        multiple *= self.config.unet.downsampling
        return multiple * max(1, math.ceil(round(duration * frame_rate, 6) / multiple))

    @property
    def max_window(self) -> int:
        """Latent frames T' of a window: those of the longest training clip.

        References without windows sample a clip of any length at once.
        """
        if not self.source.reference.uses_windows:
            return NO_WINDOW
        return self.num_frames(self.source.spec.max_duration) // self.config.vae.downsampling

    def source_gain(self, samples: Samples) -> float:
        """Return the factor that brings a source to the level of the training clips.

        VAE and UNet know no other levels: a recording 10 dB louder came back 4 dB quieter, and its
        filled holes 5 dB. What is decoded is divided by the factor. References other than `clean`
        change no level.

        Args:
            samples: The whole source, [1, N] or [N].
        """
        peak = float(np.abs(samples).max(initial=0.0))
        if not self.source.reference.levels_sources or peak == 0.0:
            return 1.0
        gain = MAX_SOURCE_PEAK / peak
        if self.source.spec.source_rms is not None:
            rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
            gain = min(gain, self.source.spec.source_rms / rms)
        return gain

    @with_torch_defaults
    @torch.inference_mode()
    def decode(self, z: Tensor) -> list[Samples]:
        """Decode latents to waveforms.

        Args:
            z: Unit-scaled latents [B, C, T', F'].

        Returns:
            Samples [1, N] of each item, as the vocoder made them.
        """
        mel = self.decode_mel(z)
        self.components.trim_memory()
        return list(self._vocode(mel).cpu().numpy())

    @with_torch_defaults
    @torch.inference_mode()
    def decode_mel(self, z: Tensor) -> Tensor:
        """Decode latents to log-mels.

        Args:
            z: Unit-scaled latents [B, C, T', F'].

        Returns:
            Log-mels [B, 1, T, F].
        """
        is_clamped = self.source.reference.clamp_latents and self.config.unet.is_audioldm1
        if is_clamped and float(z.abs().max()) > CLAMP_TRIGGER:
            z = z.clamp(-CLAMP_LIMIT, CLAMP_LIMIT)
        self.components.trim_memory()
        return apply_overlapping(
            lambda window: self.vae.decode(Latent(window)).float(),
            z,
            self.max_window,
            self.max_window // WINDOW_OVERLAP_FRACTION,
        )

    @with_torch_defaults
    @torch.inference_mode()
    def encode(self, samples: Samples, num_frames: int | None = None) -> Tensor:
        """Encode a waveform to its latent.

        Args:
            samples: Mono samples [1, N] or [N] at the model's sample rate.
            num_frames: Mel frames T to encode, a multiple of the VAE's downsampling. Silence
                follows the samples. Default: as many as they have.

        Returns:
            Mode of the posterior, unit-scaled, [1, C, T', F'].
        """
        mel_spec = self.config.mel
        hop = mel_spec.hop_length
        factor = self.config.vae.downsampling
        mono = torch.from_numpy(np.atleast_2d(samples))
        if not num_frames:
            num_frames = factor * math.ceil(mono.shape[1] / (hop * factor))
        mono = mono[:, : num_frames * hop]  # the grids of other references round down
        missing = num_frames * hop - mono.shape[1]
        padded = nn.functional.pad(mono, (0, missing)).to(self.components.device)
        # frames beside a window whose samples its STFT reads
        margin = math.ceil(mel_spec.n_fft / hop)

        def encode_window(positions: Tensor) -> Tensor:
            """Encode the latent frames at `positions` [1, 1, T', 1], which are consecutive."""
            first = int(positions[0, 0, 0, 0]) * factor
            count = positions.shape[2] * factor
            before = min(first, margin)
            window = padded[:, (first - before) * hop : (first + count + margin) * hop]
            mel = vae_mel(window, mel_spec, self.source.reference.mel_framing)
            posterior = self.vae.encode(mel[:, :, before : before + count])
            return self.vae.normalize(posterior.mode()).z

        positions = torch.arange(num_frames // factor).view(1, 1, -1, 1)
        length = self.max_window
        return apply_overlapping(
            encode_window, positions, length, length // WINDOW_OVERLAP_FRACTION
        )

    @with_torch_defaults
    def reconstruct(self, samples: Samples) -> Samples:
        """Encode and decode samples [1, N] or [N]; return [1, N], the codec's best quality."""
        gain = self.source_gain(samples)
        [waveform] = self.decode(self.encode(gain * samples))
        return limit_peak(waveform[:, : np.atleast_2d(samples).shape[1]] / gain)

    @with_torch_defaults
    @torch.inference_mode()
    def play_mel(self, samples: Samples) -> Samples:
        """Return a sound [1, N] as the vocoder plays its mel, without the VAE."""
        gain = self.source_gain(samples)
        waveform = torch.from_numpy(gain * np.atleast_2d(samples)).to(self.components.device)
        mel = vae_mel(waveform, self.config.mel)
        clip: Samples = (self._vocode(mel) / gain).cpu().numpy()[0, :, : samples.shape[-1]]
        return clip

    def _vocode(self, mel: Tensor) -> Tensor:
        """Turn log-mels [B, 1, T, F] into samples [B, 1, N] float32."""
        vocoder = self.vocoder
        if not isinstance(vocoder, HiFiGAN):
            return cast(Tensor, vocoder(mel)).float()
        length = self.max_window * self.config.vae.downsampling
        if mel.device.type == "cpu":
            length = VOCODER_CHUNK_FRAMES + vocoder.margin
        return apply_chunked(vocoder, mel, length, vocoder.margin, vocoder.hop_length).float()
