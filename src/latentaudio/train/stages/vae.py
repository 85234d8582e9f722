"""The mel VAE (spec 2, 10.1): L1 on log-mels, a light KL and, once it draws well, a critic or an energy distance against blur.

Knows losses and crops. Refuses to know steps and files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn.functional import relu

from ...audio.mel import vae_mel
from ...data.dataset import crops, dice, draw
from ...data.manifest import read_manifest
from ...errors import ConfigError
from ...loaders.model_folder import read_config, write_config
from ...models.discriminators import PatchDiscriminator
from ...models.vae import VAE, Posterior
from .base import Losses, Preview, Stage, StageOptions

PATCHES = (1, 4, 16)
"""Sides, in mel cells, of the squares whose distances make up the energy distance."""
IDLE = 0.03  # nats per cell below which a latent channel says nothing: it is noise to the decoder
_IDLE_OVER = 4  # batches


class VAEOptions(StageOptions):
    """frames: mel frames of a crop. kl: weight of the divergence per latent cell. adversarial: the critic's weight.

    decoder_only: leave the encoder and its statistics as they are, so that what was trained on its latents stays valid.
    energy: 0 to 1, for a decoder alone, instead of the L1, which draws the median of all textures that a latent leaves open.
    Each crop is decoded twice, from one draw of the posterior, some calmer than others, with noise of its own in idle channels,
    and this share of half their distance counts as gain: at 1 the loss is an energy distance of patches (arXiv 2008.01160,
    equation 3), least for a decoder whose textures are spread as the true ones are.
    """

    frames: int = 128
    kl: float = 1e-3
    adversarial: float = 0.0
    patch_channels: int = 32
    decoder_only: bool = False
    energy: float = Field(0.0, ge=0.0, le=1.0)
    statistics_over: int = 512


class VAEStage(Stage):
    """Players: the autoencoder and, with `adversarial`, its critic."""

    Options = VAEOptions
    parts = {"vae": "vae"}  # noqa: RUF012

    def setup(self) -> None:
        o = self.options
        if o.energy > 0 and not o.decoder_only:
            raise ConfigError(
                "options.energy is for a decoder whose latents stay: add options.decoder_only=true"
            )
        if o.energy > 0 and o.frames % PATCHES[-1]:
            raise ConfigError(
                f"options.energy needs options.frames to be a multiple of {PATCHES[-1]}, not {o.frames}"
            )
        if o.frames % self.config.vae.factor:
            raise ConfigError(
                f"options.frames must be a multiple of {self.config.vae.factor}, not {o.frames}"
            )
        if o.decoder_only and not (self.model / "vae.safetensors").is_file():
            raise ConfigError(
                "options.decoder_only keeps an encoder that is there: name a folder that has one with --init"
            )
        self.clips = read_manifest(*self.data)
        self.vae = cast(VAE, self.learnt("vae"))
        if not (
            self.model / "vae.safetensors"
        ).is_file():  # log-mels sit near -7, far from where weights start
            torch.nn.init.constant_(
                cast(Tensor, self.vae.decoder.conv_out.bias), float(self.batch(0).mean())
            )
        self.players = {"vae": self.vae}
        if o.energy > 0:
            self.idle = self._idle()
        if o.adversarial > 0:
            self.critic = PatchDiscriminator(o.patch_channels)
            self.players["critic"] = self.critic
        self.weights = {
            "vae/kl": o.kl, "vae/adversarial": o.adversarial, "vae/apart": -o.energy / 2
        }  # fmt: skip

    def batch(self, position: int) -> Tensor:
        """Log-mels [B, 1, frames, F]."""
        recipe, spec = self.recipe, self.config.mel
        indices = draw(len(self.clips), recipe.batch, recipe.seed, position)
        samples = crops(
            self.clips,
            indices,
            spec.rate,
            self.options.frames * spec.hop,
            dice(recipe.seed, 1, position),
        )
        return vae_mel(samples, spec)

    def losses(self, batch: Tensor, player: str, dice: Generator) -> Losses:
        if player == "critic":
            with torch.no_grad():
                fake, _ = self._rebuilt(batch, dice)
            return {
                "critic/hinge": (
                    relu(1 - self.critic(batch).score).mean()
                    + relu(1 + self.critic(fake).score).mean()
                ).float()
            }
        rebuilt, posterior = self._rebuilt(batch, dice)
        losses = {"vae/kl": posterior.kl().mean() / posterior.mean[0].numel()}
        if self.options.energy > 0:
            losses["vae/patches"] = _patches_apart(rebuilt, torch.cat([batch, batch]))
            losses["vae/apart"] = _patches_apart(*rebuilt.chunk(2))
        else:
            losses["vae/l1"] = (rebuilt - batch).abs().mean()
        if "critic" in self.players:
            losses["vae/adversarial"] = -self.critic(rebuilt).score.float().mean()
        return losses

    @torch.no_grad()
    def _idle(self) -> Tensor:
        """Which latent channels [1, C, 1, 1] say nothing: the frozen encoder's, over a few batches."""
        said = torch.cat([self.vae.encode(self.batch(i)).divergence() for i in range(_IDLE_OVER)])
        idle = said.mean(dim=(0, 2, 3), keepdim=True) < IDLE
        if not idle.any():
            raise ConfigError(
                "options.energy needs latent channels that say nothing, and this VAE has none: raise its kl first"
            )
        return idle

    def _rebuilt(self, batch: Tensor, dice: Generator) -> tuple[Tensor, Posterior]:
        """The crops as they come back, [B, 1, T, F], with `energy` two takes of them, [2 B, 1, T, F]; and their posterior."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.options.decoder_only):
            posterior = self.vae.encode(batch)
        drawn = posterior.sample(dice)
        if (
            self.options.energy > 0
        ):  # encoders' modes and what is sampled bear less noise than the posterior, or as much
            calm = posterior.mode().lerp(
                drawn, torch.rand(len(batch), 1, 1, 1, generator=dice).to(drawn)
            )
            drawn = _two_takes(calm, self.idle, dice)
        raw = self.vae.post_quant(
            drawn
        )  # not through the statistics, whose rounding a resumed run would notice
        return self.vae.decoder(raw).float(), posterior

    def preview(self) -> Preview:
        """Four clips as they are, each with what comes back above it."""
        mels = self.batch(0)[:4].to(next(self.vae.parameters()).device)
        rebuilt = self.vae.decode(self.vae.latent(self.vae.encode(mels).mode())).float()
        rows = [
            torch.cat([m, r], dim=1)
            for m, r in zip(mels[:, 0].cpu(), rebuilt[:, 0].cpu(), strict=True)
        ]
        return Preview(pictures={"resynthesis": torch.cat(rows, dim=0)})

    def finish(self, model: Path) -> None:
        """Measure each latent channel's mean and the deviation of all, and store them: from here on latents are unit-scaled.

        One deviation for all keeps the proportions that the divergence gave the channels: what matters more to the mel is
        larger and stands out of the noise earlier.
        """
        if self.options.decoder_only:
            return
        name, config, card = read_config(model)
        device = next(self.vae.parameters()).device
        count = -(-self.options.statistics_over // self.recipe.batch)
        cells = torch.cat(
            [self.vae.encode(self.batch(i).to(device)).mode().float() for i in range(count)]
        )
        mean = cells.mean(dim=(0, 2, 3), keepdim=True)
        scaled = replace(
            config,
            latent_mean=tuple(mean.flatten().tolist()),
            latent_std=(float((cells - mean).std()),),
        )
        write_config(model, scaled, name, card)


def _two_takes(drawn: Tensor, idle: Tensor, dice: Generator) -> Tensor:
    """Raw latents [B, C, T', F'] twice, [2 B, C, T', F'], alike but for fresh noise in idle channels [1, C, 1, 1]."""
    noise = torch.randn((2 * len(drawn), *drawn.shape[1:]), generator=dice).to(drawn)
    return torch.where(idle.to(drawn.device), noise, torch.cat([drawn, drawn]))


def _patches_apart(one: Tensor, other: Tensor) -> Tensor:
    """Mean Euclidean distance of log-mels [B, 1, T, F], patch by patch and relative to a patch's side, over `PATCHES`."""
    found = []
    for side in PATCHES:
        cells = (one - other).unfold(2, side, side).unfold(3, side, side)
        found.append((cells.square().sum(dim=(-1, -2)) + 1e-8).sqrt().mean() / side)
    return torch.stack(found).mean()
