"""Between samples and latents: VAE and vocoder as one, of any length, piece by piece.

Knows front end, VAE, vocoder and the grids they work on. Refuses to know prompts and denoising.

Letters: B batch, N samples, C channels, T' F' latent grid.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from .audio.mel import vae_mel
from .audio.ops import Samples, limit_peak
from .loaders.component_store import Parts
from .loaders.resolve import Found
from .models.istft_vocoder import HiFiGAN
from .models.tiling import blended, chunked
from .types import Latent

if TYPE_CHECKING:
    from .models.vae import VAE

SHARED = 4  # a window of a long clip shares this part of itself, a fourth, with the next
_ENDLESS = 2**40  # cells
_PIECE = 512  # mel frames, and a margin, for HiFi-GAN at once on a CPU; 1,024 take half again as long in bf16
_LONGER = 1.024  # the authors sample 25.6 cells for a second that has 25 (spec 8.4)
_RUNAWAY, _BOUND = 100.0, 10.0  # of latents (spec 5.5)


class Codec:
    """The two ways of one system: sound to latent and back. Parts are asked for at every use."""

    def __init__(self, found: Found, parts: Parts) -> None:
        self.found, self.config, self.parts = found, found.config, parts

    @property
    def vae(self) -> VAE:
        """The mel VAE."""
        return cast("VAE", self.parts["vae"])

    @property
    def vocoder(self) -> nn.Module:
        """Log-mel [B, 1, T, F] to samples [B, 1, N]."""
        return self.parts["vocoder"]

    def frames(self, seconds: float) -> int:
        """Mel frames T to sample for a clip: what it lasts, but not less than was trained, in whole cells of VAE and UNet."""
        way, rate, grain = (
            self.found.fidelity,
            self.config.mel.rate / self.config.mel.hop,
            self.config.vae.factor,
        )
        seconds = max(seconds, self.found.variant.shortest if way.lengthen else 0.0)
        if way.grid == "vae":
            return grain * math.ceil(max(1, int(seconds / (1.0 / rate))) / grain)
        if way.grid == "authors":
            seconds = int(seconds * rate / grain * _LONGER) * grain / rate
        grain *= self.config.unet.factor
        return grain * max(1, math.ceil(round(seconds * rate, 6) / grain))

    @property
    def window(self) -> int:
        """Latent cells T' that the model was trained on at most; longer clips are made of windows of as many. The ways of
        others know none."""
        longest = self.frames(self.found.variant.longest) // self.config.vae.factor
        return longest if self.found.fidelity.name == "clean" else _ENDLESS

    @torch.inference_mode()
    def sound(self, z: Tensor) -> list[Samples]:
        """Unit-scaled latents [B, C, T', F'] as samples [1, N] each, as the vocoder left them.

        A fidelity that clamps bounds those of AudioLDM 1 first.
        """
        if (
            self.found.fidelity.clamp
            and self.config.unet.first_kind
            and float(z.abs().max()) > _RUNAWAY
        ):
            z = z.clamp(-_BOUND, _BOUND)
        self.parts.rest()
        mel = blended(
            lambda piece: self.vae.decode(Latent(piece)).float(),
            z,
            self.window,
            self.window // SHARED,
        )
        self.parts.rest()
        return list(self._voiced(mel).cpu().numpy())

    @torch.inference_mode()
    def latent(self, sound: Samples, frames: int | None = None) -> Tensor:
        """Samples [1, N] or [N] at the model's rate as the mode of its latent [1, C, T', F'], unit-scaled.

        frames: mel frames T to encode, a multiple of the VAE's factor; silence follows the sound. Default: those it has.
        """
        mono, hop, factor = (
            torch.from_numpy(np.atleast_2d(sound)),
            self.config.mel.hop,
            self.config.vae.factor,
        )
        frames = frames or factor * math.ceil(mono.shape[1] / (hop * factor))
        mono = mono[:, : frames * hop]  # the grids of others round down
        padded = nn.functional.pad(mono, (0, frames * hop - mono.shape[1])).to(self.parts.device)
        window, beside = (
            self.window,
            math.ceil(self.config.mel.n_fft / hop),
        )  # frames that a piece's own may hear

        def encoded(places: Tensor) -> Tensor:
            first, count = int(places[0, 0, 0, 0]) * factor, places.shape[2] * factor
            before = min(first, beside)
            heard = padded[:, (first - before) * hop : (first + count + beside) * hop]
            mel = vae_mel(heard, self.config.mel, self.found.fidelity.framing)[
                :, :, before : before + count
            ]
            return self.vae.latent(self.vae.encode(mel).mode()).z

        return blended(
            encoded, torch.arange(frames // factor).view(1, 1, -1, 1), window, window // SHARED
        )

    def resynthesised(self, sound: Samples) -> Samples:
        """Samples [1, N] or [N] once there and back, [1, N]: the best that this model can sound."""
        [wave] = self.sound(self.latent(sound))
        return limit_peak(wave[:, : np.atleast_2d(sound).shape[1]])

    def _voiced(self, mel: Tensor) -> Tensor:
        vocoder = self.vocoder
        if isinstance(vocoder, HiFiGAN):
            longest = (
                _PIECE + vocoder.margin
                if mel.device.type == "cpu"
                else self.window * self.config.vae.factor
            )
            return chunked(vocoder, mel, longest, vocoder.margin, vocoder.hop).float()
        return cast(Tensor, vocoder(mel)).float()
