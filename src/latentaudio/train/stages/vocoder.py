"""Mel to waveform: multi-resolution spectral losses, and adversarial ones with feature matching (HiFi-GAN, arXiv 2010.05646).

Knows losses and crops. Refuses to know steps and files.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Generator, Tensor
from torch.nn.functional import l1_loss, relu

from ...audio.mel import filterbank, magnitudes, vae_mel
from ...data.dataset import crops, dice, draw
from ...data.manifest import read_manifest
from ...errors import ConfigError
from ...models.discriminators import WaveDiscriminator
from ...models.istft_vocoder import ISTFTVocoder
from ...models.vae import VAE
from .base import Losses, Preview, Stage, StageOptions

RESOLUTIONS = ((2048, 240, 160), (1024, 160, 80), (512, 80, 64), (256, 40, 40), (128, 32, 20))
"""(window, hop, mel bands) of the spectral losses: long windows hear pitch, short ones hear onsets."""


class VocoderOptions(StageOptions):
    """frames: mel frames of a crop. mel, adversarial, matching: weights; adversarial 0 trains without discriminators.

    decoded: share of crops whose mel comes out of the VAE, so that its blur is learnt to be heard through (as HiFi-GAN is
    fine-tuned on the mels of the model in front of it, arXiv 2010.05646, section 4.4). pitch: weight of the frequencies of an
    inverse-STFT vocoder's sines against those of the sound, in half widths of their bands.
    """

    frames: int = 100
    decoded: float = 0.0
    pitch: float = 0.0
    mel: float = 15.0
    magnitude: float = 1.0
    adversarial: float = 0.0
    matching: float = 2.0
    critic_channels: int = 16


class VocoderStage(Stage):
    """Players: the vocoder and, with `adversarial`, its critics."""

    Options = VocoderOptions
    parts = {"vocoder": "vocoder"}  # noqa: RUF012

    def setup(self) -> None:
        self.clips = read_manifest(*self.data)
        self.vocoder = self.learnt("vocoder")
        self.players = {"vocoder": self.vocoder}
        o = self.options
        if o.pitch > 0 and not isinstance(self.vocoder, ISTFTVocoder):
            raise ConfigError(
                "options.pitch is for vocoders with sines of their own (kind istft); set it to 0"
            )
        if o.decoded > 0:
            factor = self.config.vae.factor
            if o.frames % factor:
                raise ConfigError(
                    f"options.decoded needs options.frames to be a multiple of {factor}, not {o.frames}"
                )
            self.vae = cast(VAE, self.given("vae"))
        if o.adversarial > 0:
            self.critics = WaveDiscriminator(o.critic_channels)
            self.players["critics"] = self.critics
        self.weights = {
            "vocoder/mel": o.mel, "vocoder/magnitude": o.magnitude, "vocoder/adversarial": o.adversarial,
            "vocoder/matching": o.adversarial * o.matching, "vocoder/pitch": o.pitch,
        }  # fmt: skip

    def batch(self, position: int) -> Tensor:
        """Samples [B, T]."""
        recipe, spec = self.recipe, self.config.mel
        indices = draw(len(self.clips), recipe.batch, recipe.seed, position)
        return crops(
            self.clips,
            indices,
            spec.rate,
            self.options.frames * spec.hop,
            dice(recipe.seed, 2, position),
        )

    def losses(self, batch: Tensor, player: str, dice: Generator) -> Losses:
        with _exactly(batch):
            truth = vae_mel(batch, self.config.mel)
            mel = self._heard(truth, dice)
        if player == "critics":
            with torch.no_grad():
                fake = self.vocoder(mel)[..., : batch.shape[1]]
            return {"critics/hinge": self._hinge(batch[:, None], fake)}
        losses = {}
        if self.options.pitch > 0:
            made, frequency = cast(ISTFTVocoder, self.vocoder).played(mel)
            with _exactly(batch):
                losses["vocoder/pitch"] = self._detuned(frequency, batch, truth)
        else:
            made = self.vocoder(mel)
        made = made[..., : batch.shape[1]].float()
        with _exactly(batch):
            losses["vocoder/mel"], losses["vocoder/magnitude"] = self._spectral(made[:, 0], batch)
        if "critics" in self.players:
            losses |= self._adversarial(batch[:, None], made)
        return losses

    def _heard(self, mel: Tensor, dice: Generator) -> Tensor:
        """The crops' log-mels [B, 1, T, F], some of them as the VAE gives them back."""
        if self.options.decoded == 0:
            return mel
        chosen = (torch.rand(len(mel), generator=dice) < self.options.decoded).to(mel.device)
        with torch.no_grad():
            decoded = self.vae.decode(self.vae.latent(self.vae.encode(mel).mode())).float()
        return torch.where(chosen[:, None, None, None], decoded, mel)

    def _detuned(self, frequency: Tensor, real: Tensor, mel: Tensor) -> Tensor:
        """How far sines [B, T, F] stray from the sound [B, N]: louder, purer bands count more, each clip by itself."""
        reader = cast(ISTFTVocoder, self.vocoder).reader
        wanted, tonality = reader.sung(real, self.config.mel.hop)
        loud = mel[:, 0].exp().sqrt()
        weight = tonality * loud / loud.amax(dim=(1, 2), keepdim=True)
        return (weight * (frequency - wanted).abs() / reader.half_widths).sum() / (
            weight.sum() + 1e-3
        )

    def _hinge(self, real: Tensor, fake: Tensor) -> Tensor:
        verdicts = zip(self.critics(real), self.critics(fake), strict=True)
        terms = [
            relu(1 - r.score.float()).mean() + relu(1 + f.score.float()).mean() for r, f in verdicts
        ]
        return torch.stack(terms).mean()

    def _adversarial(self, real: Tensor, fake: Tensor) -> Losses:
        with torch.no_grad():
            wanted = self.critics(real)
        verdicts = self.critics(fake)
        pairs = [
            (f, w)
            for v, r in zip(verdicts, wanted, strict=True)
            for f, w in zip(v.features, r.features, strict=True)
        ]
        return {
            "vocoder/adversarial": -torch.stack([v.score.float().mean() for v in verdicts]).mean(),
            "vocoder/matching": torch.stack(
                [l1_loss(f.float(), w.float()) / (w.float().abs().mean() + 1e-4) for f, w in pairs]
            ).mean(),
        }

    def _spectral(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """(L1 of log-mels, L1 of magnitudes over the real ones' size), each averaged over the resolutions."""
        rate = self.config.mel.rate
        logs, linears = [], []
        for size, hop, bands in RESOLUTIONS:
            bank = filterbank(rate, size, bands, 0.0, rate / 2).to(made)
            a, b = (magnitudes(x, size, hop, size // 2) for x in (made, real))
            logs.append(
                l1_loss((a @ bank.T).clamp_min(1e-5).log(), (b @ bank.T).clamp_min(1e-5).log())
            )
            linears.append((a - b).abs().mean() / (b.mean() + 1e-3))
        return torch.stack(logs).mean(), torch.stack(linears).mean()

    def preview(self) -> Preview:
        """Three clips as they come back."""
        real = self.batch(0)[:3].to(next(self.vocoder.parameters()).device)
        mel = vae_mel(real, self.config.mel)
        made = self.vocoder(mel)[:, 0, : real.shape[1]].float()
        rows = [
            torch.cat([m[0], vae_mel(x[None], self.config.mel)[0, 0]], dim=1)
            for m, x in zip(mel.cpu(), made.cpu(), strict=True)
        ]
        return Preview(
            {"resynthesis": torch.cat(rows)},
            {f"resynthesis_{i}": x for i, x in enumerate(made)},
            self.config.mel.rate,
        )


def _exactly(samples: Tensor) -> AbstractContextManager[None]:
    """No autocast: logarithms of faint bands and differences of near frequencies do not survive 8 bits of mantissa."""
    return torch.autocast(samples.device.type, enabled=False)
