"""Mel to waveform: multi-resolution spectral losses, and adversarial ones with feature matching (HiFi-GAN, arXiv 2010.05646).

Knows losses and crops. Refuses to know steps and files.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn.functional import l1_loss, relu

from ...audio.mel import filterbank, magnitudes, vae_mel
from ...data.dataset import crops, dice, draw
from ...data.manifest import read_manifest
from ...errors import ConfigError
from ...nn.discriminators import WaveDiscriminator
from ...nn.vae import VAE
from ...nn.vocoder import ISTFTVocoder
from . import Losses, Preview, Stage, StageOptions
from .pitches import harmonicity, mistaken, pitch_of, unpitched_share
from .steadiness import attacks, noise_in_tones, predicted_share, suddenness

RESOLUTIONS = ((2048, 240, 160), (1024, 160, 80), (512, 80, 64), (256, 40, 40), (128, 32, 20))
"""(window, hop, mel bands) of the spectral losses: long windows hear pitch, short ones hear onsets."""
SHORT = 512


class VocoderOptions(StageOptions):
    """frames: mel frames of a crop. mel, adversarial, matching: weights; adversarial 0 trains without discriminators.

    decoded: share of crops whose mel comes out of the VAE, so that its blur is learnt to be heard through (as HiFi-GAN is
    fine-tuned on the mels of the model in front of it, arXiv 2010.05646, section 4.4).

    For inverse-STFT vocoders. pitch: weight of the frequencies of its sines against those of the sound, in half widths of their
    bands. energy: 0 to 1; every crop is played twice with noise of its own, and this share of half the distance of the two
    counts as gain: at 1 the spectral losses are an energy distance (arXiv 2008.01160), least where noise is as random as the
    true one. steady: weight of what predicted frames and sines play where the sound is neither sudden nor tonal.

    With energy or steady. attack: how much more short windows count near attacks. pure: weight of noise where the sound is
    tonal. harmony: weight of the pitch of the harmonics. resolutions: how many of the spectral losses' are drawn for a batch.
    """

    frames: int = 100
    decoded: float = 0.0
    pitch: float = 0.0
    energy: float = Field(0.0, ge=0.0, le=1.0)
    steady: float = 0.0
    attack: float = 0.0
    pure: float = 0.0
    harmony: float = 0.0
    resolutions: int = Field(len(RESOLUTIONS), ge=1, le=len(RESOLUTIONS))
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
        for name in ("pitch", "energy", "steady"):
            if getattr(o, name) > 0 and not isinstance(self.vocoder, ISTFTVocoder):
                raise ConfigError(f"options.{name} is for vocoders with sines of their own (kind istft); set it to 0")
        if o.decoded > 0:
            factor = self.config.vae.factor
            if o.frames % factor:
                raise ConfigError(f"options.decoded needs options.frames to be a multiple of {factor}, not {o.frames}")
            self.vae = cast(VAE, self.given("vae"))
        if o.adversarial > 0:
            self.critics = WaveDiscriminator(o.critic_channels)
            self.players["critics"] = self.critics
        self.weights = {
            "vocoder/mel": o.mel, "vocoder/magnitude": o.magnitude, "vocoder/adversarial": o.adversarial,
            "vocoder/matching": o.adversarial * o.matching, "vocoder/pitch": o.pitch, "vocoder/steady": o.steady,
            "vocoder/pure": o.pure, "vocoder/harmony": o.harmony, "vocoder/apart": -o.energy / 2,
        }  # fmt: skip

    def batch(self, position: int) -> Tensor:
        """Samples [B, T]."""
        recipe, spec = self.recipe, self.config.mel
        indices = draw(len(self.clips), recipe.batch, recipe.seed, position)
        return crops(self.clips, indices, spec.rate, self.options.frames * spec.hop, dice(recipe.seed, 2, position))

    def losses(self, batch: Tensor, player: str, dice: Generator) -> Losses:
        with _exactly(batch):
            truth = vae_mel(batch, self.config.mel)
            mel = self._heard(truth, dice)
        if player == "critics":
            with torch.no_grad():
                fake = self.vocoder(mel)[..., : batch.shape[1]]
            return {"critics/hinge": self._hinge(batch[:, None], fake)}
        losses = {}
        if self.options.energy > 0 or self.options.steady > 0:
            return self._energy(batch, truth, mel, dice)
        if self.options.pitch > 0:
            made, frequency = cast(ISTFTVocoder, self.vocoder).played(mel)
            with _exactly(batch):
                wanted = cast(ISTFTVocoder, self.vocoder).reader.sung(batch, self.config.mel.hop)
                losses["vocoder/pitch"] = self._detuned(frequency, *wanted, truth)
        else:
            made = self.vocoder(mel)
        made = made[..., : batch.shape[1]].float()
        with _exactly(batch):
            losses["vocoder/mel"], losses["vocoder/magnitude"] = self._spectral(made[:, 0], batch)
        if "critics" in self.players:
            losses |= self._adversarial(batch[:, None], made)
        return losses

    def _energy(self, real: Tensor, truth: Tensor, mel: Tensor, dice: Generator) -> Losses:
        """The losses of two sounds of every mel that differ in their noise alone."""
        vocoder, o = cast(ISTFTVocoder, self.vocoder), self.options
        (first, second), frequency, controls = vocoder.takes(mel, 2)
        losses = {}
        with _exactly(real):
            wanted, tonality = vocoder.reader.sung(real, self.config.mel.hop)
            if o.pitch > 0:
                losses["vocoder/pitch"] = self._detuned(frequency, wanted, tonality, truth)
            if controls.harmonic is not None:
                place, sure = pitch_of(real, self.config.mel.rate, self.config.mel.hop)
                tonality = tonality.maximum(harmonicity(real, place, sure, vocoder.reader, self.config.mel.hop))
                losses["vocoder/harmony"] = mistaken(controls.harmonic, place, sure)
            if o.steady > 0:
                noisy, sudden = 1 - tonality, suddenness(real, vocoder.reader, self.config.mel.hop)
                losses["vocoder/steady"] = predicted_share(controls, mel, vocoder.reader, noisy, sudden)
                if controls.harmonic is not None:
                    losses["vocoder/steady"] += unpitched_share(controls.harmonic, mel, vocoder.reader, sure)
            if o.pure > 0:
                losses["vocoder/pure"] = noise_in_tones(controls, mel, vocoder.reader, tonality)
            mels, mels_apart, sizes, sizes_apart = self._distances(first, second, real, attacks(truth), dice)
            losses |= {"vocoder/mel": mels, "vocoder/magnitude": sizes}
            losses["vocoder/apart"] = o.mel * mels_apart + o.magnitude * sizes_apart
        if "critics" in self.players:
            losses |= self._adversarial(real[:, None], first[:, None])
        return losses

    def _distances(self, first: Tensor, second: Tensor, real: Tensor, near: Tensor, dice: Generator) -> list[Tensor]:
        """Of two sounds [B, N], distance from the real one and from each other: of log-mels, then of magnitudes.

        near: how far mel frames are near an attack, [B, T]; there the short windows count (1 + `attack`) times.
        """
        spec, count = self.config.mel, self.options.resolutions
        drawn = torch.randperm(len(RESOLUTIONS), generator=dice)[:count].tolist()
        sums = [real.new_zeros(()) for _ in range(4)]
        for size, hop, bands in (RESOLUTIONS[index] for index in drawn):
            bank = filterbank(spec.rate, size, bands, 0.0, spec.rate / 2).to(real).T
            linear = [magnitudes(x, size, hop, size // 2) for x in (first, second, real)]
            logs = [(x @ bank).clamp_min(1e-5).log() for x in linear]
            weight = real.new_ones(1, 1, 1)
            if size <= SHORT and self.options.attack > 0:
                places = (torch.arange(linear[0].shape[1], device=near.device) * hop // spec.hop).clamp(max=near.shape[1] - 1)
                weight = (1 + self.options.attack * near[:, places])[..., None]
            scale = weight / (linear[2].mean(dim=(1, 2), keepdim=True) + 1e-3)
            for place, ((one, two, true), factor) in enumerate(((logs, weight), (linear, scale))):
                away = (factor * ((one - true).abs() + (two - true).abs())).mean() / 2
                sums[2 * place] = sums[2 * place] + away / count
                sums[2 * place + 1] = sums[2 * place + 1] + (factor * (one - two).abs()).mean() / count
        return sums

    def _heard(self, mel: Tensor, dice: Generator) -> Tensor:
        """The crops' log-mels [B, 1, T, F], some of them as the VAE gives them back."""
        if self.options.decoded == 0:
            return mel
        chosen = (torch.rand(len(mel), generator=dice) < self.options.decoded).to(mel.device)
        if not chosen.any():
            return mel
        with torch.no_grad():
            decoded = self.vae.decode(self.vae.latent(self.vae.encode(mel[chosen]).mode())).float()
        mel = mel.clone()
        mel[chosen] = decoded
        return mel

    def _detuned(self, frequency: Tensor, wanted: Tensor, tonality: Tensor, mel: Tensor) -> Tensor:
        """How far sines [B, T, F] stray from those of the sound: louder, purer bands count more, each clip by itself."""
        reader = cast(ISTFTVocoder, self.vocoder).reader
        loud = mel[:, 0].exp().sqrt()
        weight = tonality * loud / loud.amax(dim=(1, 2), keepdim=True)
        return (weight * (frequency - wanted).abs() / reader.half_widths).sum() / (weight.sum() + 1e-3)

    def _hinge(self, real: Tensor, fake: Tensor) -> Tensor:
        verdicts = zip(self.critics(real), self.critics(fake), strict=True)
        terms = [relu(1 - r.score.float()).mean() + relu(1 + f.score.float()).mean() for r, f in verdicts]
        return torch.stack(terms).mean()

    def _adversarial(self, real: Tensor, fake: Tensor) -> Losses:
        with torch.no_grad():
            wanted = self.critics(real)
        verdicts = self.critics(fake)
        pairs = [(f, w) for v, r in zip(verdicts, wanted, strict=True) for f, w in zip(v.features, r.features, strict=True)]
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
            logs.append(l1_loss((a @ bank.T).clamp_min(1e-5).log(), (b @ bank.T).clamp_min(1e-5).log()))
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
            {"resynthesis": torch.cat(rows)}, {f"resynthesis_{i}": x for i, x in enumerate(made)}, self.config.mel.rate
        )


def _exactly(samples: Tensor) -> AbstractContextManager[None]:
    """No autocast: logarithms of faint bands and differences of near frequencies do not survive 8 bits of mantissa."""
    return torch.autocast(samples.device.type, enabled=False)
