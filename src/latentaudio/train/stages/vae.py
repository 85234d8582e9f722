"""The VAE stage: L1 or energy distance on log-mels, a light KL divergence, optionally a GAN.

See numerics: VAE, training.

Shapes: B batch, T F mel frames and bands, C T' F' latent.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn.functional import relu

from ...audio.mel import vae_mel
from ...config.streams import Stream
from ...data.dataset import batch_indices, read_crops, seeded_generator
from ...errors import ConfigError
from ...loaders.model_folder import read_config, write_config
from ...models.autocast import no_autocast
from ...models.discriminators import PatchDiscriminator
from ...models.vae import VAE, Posterior
from ..recipe import MAX_STEPS, Count, Weight
from .adversarial import adaptive_weight, no_training
from .base import Losses, Preview, Stage, StageOptions
from .perceptual import load_lpips

PATCH_SIDES = (1, 4, 16)
"""Sides in mel cells of the square patches of the energy distance."""
INACTIVE_CHANNEL_KL = 0.03
"""Nats per cell. A latent channel below it carries no information and is noise to the decoder."""
_NUM_KL_BATCHES = 4  # batches that measure the channels' KL divergence
_NUM_PREVIEW_CLIPS = 4
_EPSILON = 1e-8  # the square root has no gradient at 0


class VAELossWeights(StageOptions):
    """Weights of the VAE's losses.

    Attributes:
        reconstruction: Weight of the L1 of log-mels.
        lpips: Weight of LPIPS, a perceptual distance. Above 0 it needs `lpips_folder`.
        kl: Weight of the KL divergence per latent cell.
        adv_gen: Weight of the adversarial loss. Without it and `feature_matching` there is no
            discriminator.
        feature_matching: Weight of the mean distance of the discriminator's feature maps.
        energy: 0 uses the L1. Above 0 an energy distance of patches takes its place, with this
            fraction of the repulsion term; 1 is the full energy distance. With `freeze_encoder`
            the texture comes from noise in the inactive channels, otherwise from the posterior.
    """

    reconstruction: Weight = 1.0
    lpips: Weight = 0.0
    kl: Weight = 1e-3
    adv_gen: Weight = 0.0
    feature_matching: Weight = 0.0
    energy: float = Field(0.0, ge=0.0, le=1.0)


class VAEOptions(StageOptions):
    """Options of the VAE stage.

    Attributes:
        crop_frames: Mel frames of a crop.
        weights: Weights of the losses.
        disc_channels: Channels of the discriminator's first layer.
        disc_start: Step from which the discriminator is trained and its loss counts.
        disc_first: Whether the discriminator is updated before the VAE.
        adaptive_adv_weight: Whether the adversarial loss is scaled so that its gradient at the last
            layer is as large as that of the reconstruction (arXiv 2012.09841, eq. 7).
        lpips_folder: Folder with VGG16 of torchvision (vgg16-397923af.pth) and the channel weights
            of the package lpips (vgg.pth).
        freeze_encoder: Train the decoder alone, so that networks trained on its latents stay valid.
        latent_stats_crops: Crops that measure mean and deviation of the latents.
    """

    crop_frames: Count = 128
    weights: VAELossWeights = VAELossWeights()
    disc_channels: Count = 32
    disc_start: int = Field(0, ge=0, le=MAX_STEPS)
    disc_first: bool = False
    adaptive_adv_weight: bool = False
    lpips_folder: str = ""
    freeze_encoder: bool = False
    latent_stats_crops: Count = 512


class VAEStage(Stage):
    """Train the mel VAE. Trainables: "vae" and, with an adversarial loss, "disc".

    The energy distance is meant for a decoder whose L1 is low. The L1's minimum is the median of
    all textures that a latent leaves open, which is blurred. The energy distance (arXiv 2008.01160,
    eq. 3) decodes each crop twice: from two draws of the posterior or, with a frozen encoder, with
    fresh noise in the inactive channels. The mean distance to the target attracts, half the
    distance between both decodings repels. The sum is least for a decoder whose textures are
    distributed as the true ones.
    """

    Options = VAEOptions
    components = {"vae": "vae"}  # noqa: RUF012

    def setup(self) -> None:
        """Check the options, read the manifest and build the VAE."""
        weights = self.options.weights
        has_vae = self.has_component("vae")
        self._check_options(has_vae)
        self.read_clips()
        self.vae = cast(VAE, self.load_trainable("vae"))
        if not has_vae:
            # Log-mels are near -7, far from the output of fresh weights.
            bias = cast(Tensor, self.vae.decoder.conv_out.bias)
            torch.nn.init.constant_(bias, float(self.batch(0).mean()))
        self.trainables = {"vae": self.vae}
        if weights.energy > 0 and self.options.freeze_encoder:
            self.inactive_channels = self._find_inactive_channels()
        if weights.adv_gen > 0 or weights.feature_matching > 0:
            self.discriminator = PatchDiscriminator(self.options.disc_channels)
            disc = {"disc": self.discriminator}
            is_first = self.options.disc_first
            self.trainables = disc | self.trainables if is_first else self.trainables | disc
        if weights.lpips > 0:
            self.frozen["lpips"] = self.load_lpips()
        self.loss_weights = {
            "vae/l1": weights.reconstruction,
            "vae/lpips": weights.lpips,
            "vae/kl": weights.kl,
            "vae/adv_gen": weights.adv_gen,
            "vae/feature_matching": weights.feature_matching,
            "vae/energy_repulsion": -weights.energy / 2,
        }

    def load_lpips(self) -> nn.Module:
        """Return the perceptual distance."""
        return load_lpips(self.options.lpips_folder)

    def _check_options(self, has_vae: bool) -> None:
        options = self.options
        if options.weights.energy > 0 and options.crop_frames % PATCH_SIDES[-1]:
            raise ConfigError(
                f"options.weights.energy needs options.crop_frames to be a multiple of "
                f"{PATCH_SIDES[-1]}, not {options.crop_frames}"
            )
        factor = self.config.vae.downsampling
        if options.crop_frames % factor:
            raise ConfigError(
                f"options.crop_frames must be a multiple of {factor}, not {options.crop_frames}"
            )
        if options.freeze_encoder and not has_vae:
            raise ConfigError(
                "options.freeze_encoder needs a trained VAE; "
                "name a folder that has one with --init-from"
            )

    def batch(self, position: int) -> Tensor:
        """Return log-mels [B, 1, crop_frames, F]."""
        recipe = self.recipe
        spec = self.config.mel
        indices = batch_indices(len(self.clips), recipe.batch_size, recipe.seed, position)
        generator = seeded_generator(recipe.seed, Stream.VAE_CROPS, position)
        num_samples = self.options.crop_frames * spec.hop_length
        samples = read_crops(self.clips, indices, spec.sample_rate, num_samples, generator)
        return vae_mel(samples, spec)

    def losses(self, batch: Tensor, trainable: str, generator: Generator) -> Losses:
        """Return the losses of the VAE, or the hinge loss of the discriminator."""
        has_disc = self.step >= self.options.disc_start and "disc" in self.trainables
        if trainable == "disc" and not has_disc:
            return {"disc/hinge": no_training(self.discriminator)}
        if trainable == "disc":
            return {"disc/hinge": self._hinge(batch, generator)}
        reconstruction, posterior = self._reconstruct(batch, generator)
        losses = {"vae/kl": posterior.kl().mean() / posterior.mean[0].numel()}
        if self.options.weights.energy > 0:
            target = torch.cat([batch, batch])
            losses["vae/energy_attraction"] = patch_energy_distance(reconstruction, target)
            first, second = reconstruction.chunk(2)
            losses["vae/energy_repulsion"] = patch_energy_distance(first, second)
        else:
            losses["vae/l1"] = (reconstruction - batch).abs().mean()
        if "lpips" in self.frozen:
            with no_autocast(batch):
                target = torch.cat([batch] * (len(reconstruction) // len(batch)))
                losses["vae/lpips"] = self.frozen["lpips"](reconstruction, target).mean()
        if has_disc:
            adversarial = self.generator_losses(reconstruction, batch)
            if self.options.adaptive_adv_weight:
                adversarial["vae/adv_gen"] = adversarial["vae/adv_gen"] * adaptive_weight(
                    self._reconstruction_loss(losses),
                    adversarial["vae/adv_gen"],
                    self.vae.decoder.conv_out.weight,
                )
            losses.update(adversarial)
        return losses

    def _reconstruction_loss(self, losses: Losses) -> Tensor:
        """The weighted sum of all losses so far but the KL divergence."""
        terms = []
        for name, loss in losses.items():
            if name != "vae/kl":
                terms.append(self.loss_weights.get(name, 1.0) * loss)
        return torch.stack(terms).sum()

    def generator_losses(self, reconstruction: Tensor, batch: Tensor) -> Losses:
        """Return the adversarial loss and the feature matching (arXiv 2010.05646, eq. 4).

        The feature distances are relative to the size of the real features, so that all layers
        count alike.

        Args:
            reconstruction: Log-mels [B, 1, T, F], or [2 B, 1, T, F] with an energy distance.
            batch: The log-mels [B, 1, T, F] that were encoded.
        """
        fake = self.discriminator(reconstruction)
        losses = {"vae/adv_gen": -fake.logits.float().mean()}
        if self.options.weights.feature_matching == 0:
            return losses
        with torch.no_grad():
            real = self.discriminator(batch)
        repeats = len(reconstruction) // len(batch)
        distances = []
        for fake_feature, real_feature in zip(fake.features, real.features, strict=True):
            target = torch.cat([real_feature] * repeats)
            distance = (fake_feature - target).float().abs().mean()
            distances.append(distance / target.float().abs().mean())
        losses["vae/feature_matching"] = torch.stack(distances).mean()
        return losses

    def _hinge(self, batch: Tensor, generator: Generator) -> Tensor:
        """Return the hinge loss of the discriminator (arXiv 1705.02894, section 3)."""
        with torch.no_grad():
            reconstruction, _ = self._reconstruct(batch, generator)
        real = relu(1 - self.discriminator(batch).logits).mean()
        fake = relu(1 + self.discriminator(reconstruction).logits).mean()
        return (real + fake).float()

    def _reconstruct(self, batch: Tensor, generator: Generator) -> tuple[Tensor, Posterior]:
        """Return the reconstructed log-mels [B, 1, T, F] and the posterior.

        With an energy distance each crop is decoded twice, which gives [2 B, 1, T, F].
        """
        trains_encoder = torch.is_grad_enabled() and not self.options.freeze_encoder
        with torch.set_grad_enabled(trains_encoder):
            posterior = self.vae.encode(batch)
        z = posterior.sample(generator)
        if self.options.weights.energy > 0 and not self.options.freeze_encoder:
            z = torch.cat([z, posterior.sample(generator)])
        elif self.options.weights.energy > 0:
            # Latents of samplers have between no noise and as much as the posterior. The decoder
            # must handle all of them.
            noise_level = torch.rand(len(batch), 1, 1, 1, generator=generator).to(z)
            z = posterior.mode().lerp(z, noise_level)
            z = renoise_inactive_channels(z, self.inactive_channels, generator)
        # Raw latents: the statistics' rounding would make a resumed run differ in its last bits.
        return self.vae.decoder(self.vae.post_quant_conv(z)).float(), posterior

    @torch.no_grad()
    def _find_inactive_channels(self) -> Tensor:
        """Return which latent channels [1, C, 1, 1] of the frozen encoder carry no information."""
        kl = []
        for position in range(_NUM_KL_BATCHES):
            kl.append(self.vae.encode(self.batch(position)).divergence())
        mean_kl = torch.cat(kl).mean(dim=(0, 2, 3), keepdim=True)
        inactive = mean_kl < INACTIVE_CHANNEL_KL
        if not inactive.any():
            raise ConfigError(
                "options.weights.energy needs inactive latent channels, and this VAE has none; "
                "train it with a larger options.weights.kl first"
            )
        return inactive

    def preview(self) -> Preview:
        """Return mels of four clips side by side, reconstructions above them."""
        device = next(self.vae.parameters()).device
        mels = self.batch(0)[:_NUM_PREVIEW_CLIPS].to(device)
        latent = self.vae.normalize(self.vae.encode(mels).mode())
        reconstructions = self.vae.decode(latent).float()
        both = torch.cat([mels[:, 0].cpu(), reconstructions[:, 0].cpu()], dim=2)
        audio = self.vocode("reconstruction", reconstructions.cpu())
        image = both.flatten(0, 1)
        return Preview({"reconstruction": image}, audio, self.config.mel.sample_rate)

    def on_export(self, model_folder: Path) -> None:
        """Store the mean of each latent channel and the deviation of all.

        One deviation for all channels keeps their proportions. Channels that matter more to the mel
        are larger, so they emerge from the noise earlier in sampling.
        """
        if self.options.freeze_encoder:
            return
        name, config, card = read_config(model_folder)
        device = next(self.vae.parameters()).device
        num_batches = -(-self.options.latent_stats_crops // self.recipe.batch_size)
        latents = []
        for position in range(num_batches):
            latents.append(self.vae.encode(self.batch(position).to(device)).mode().float())
        z = torch.cat(latents)
        mean = z.mean(dim=(0, 2, 3), keepdim=True)
        std = float((z - mean).std())
        measured = replace(config, latent_mean=tuple(mean.flatten().tolist()), latent_std=(std,))
        write_config(model_folder, measured, name, card)


def renoise_inactive_channels(z: Tensor, inactive: Tensor, generator: Generator) -> Tensor:
    """Return raw latents twice, with fresh noise in the inactive channels.

    Args:
        z: Raw latents [B, C, T', F'].
        inactive: True for inactive channels [1, C, 1, 1].
        generator: Source of the noise, on the CPU.

    Returns:
        Latents [2 B, C, T', F'], first all of one copy, then all of the other.
    """
    noise = torch.randn((2 * len(z), *z.shape[1:]), generator=generator).to(z)
    return torch.where(inactive.to(z.device), noise, torch.cat([z, z]))


def patch_energy_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean Euclidean distance of patches, averaged over `PATCH_SIDES`.

    The distance of a patch is divided by its side, so that all sizes count alike.

    Args:
        first: Log-mels [B, 1, T, F].
        second: Log-mels of the same shape.
    """
    distances = []
    for side in PATCH_SIDES:
        patches = (first - second).unfold(2, side, side).unfold(3, side, side)
        norms = (patches.square().sum(dim=(-1, -2)) + _EPSILON).sqrt()
        distances.append(norms.mean() / side)
    return torch.stack(distances).mean()
