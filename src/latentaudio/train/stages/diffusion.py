"""The diffusion stage: the UNet alone, on pre-encoded latents; and the base of its kind.

See numerics: training, schedules and samplers, guidance.

Shapes: B batch, C T' F' latent, L D tokens and width of the language of audio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Generator, Tensor

from ...conditioning import complete, used_conditioners
from ...conditioning.base import EncoderInputs, Encoders
from ...conditioning.encodings import Encoding, Encodings
from ...config.architecture import ModelConfig
from ...data.pre_encoded import LATENT, Bucket
from ...diffusion.guidance import Guidance, cfg_denoiser
from ...diffusion.samplers.dpmpp_2m import dpmpp_2m
from ...diffusion.schedule import Schedule
from ...errors import ConfigError
from ...loaders.model_folder import load_component
from ...models.audiomae import pool_patches
from ...models.translator import Translator
from ...models.unet import UNet
from ...models.vae import VAE
from ...types import Conditioning, Context, Latent, Step
from ..pre_encode import add_translated
from ..recipe import Count
from ..unconditional import UnconditionalInputs, load_unconditional_inputs
from .base import Losses, Preview
from .condition_dropout import ConditionDropoutOptions, draw, drop_conditions
from .latent_stage import GENERATED_LOA, LOA, TRUE_LOA, LatentStage, LatentStageOptions
from .likeness import LIKENESS, largest_likeness
from .timestep_errors import errors_by_timestep

PREVIEW_STEPS = 20
PREVIEW_GUIDANCE = Guidance(3.0)
_CHANNEL_WEIGHT_FRAMES = 4096  # mel frames of the clips that measure the channels' weights


class LatentDiffusionOptions(LatentStageOptions):
    """Options of all stages that train a UNet.

    Attributes:
        frames_per_batch: Mel frames of a whole batch.
        loa_pools: Numbers of AudioMAE patches per token along time, of which one is drawn for each
            batch; along frequency it is the same, at most 8 (numerics: language of audio). Empty:
            the model's own pooling.
        true_loa_prob: Probability that a clip is conditioned on AudioMAE's language of audio
            instead of the translator's: the probabilistic switcher of AudioLDM 2 (arXiv 2308.05734,
            section 3.4).
        channel_loss_weighting: 1 weights the error of each latent channel by the energy that noise
            in it adds to the decoded log-mel. 0 weights all alike. Values between are exponents.
    """

    frames_per_batch: Count = 16384
    loa_pools: tuple[Literal[1, 2, 4, 8], ...] = ()
    true_loa_prob: float = Field(1.0, ge=0, le=1)
    channel_loss_weighting: float = Field(0.0, ge=0.0, le=1.0)


class LatentDiffusionStage(LatentStage):
    """Base of stages that train a UNet.

    With `true_loa_prob` below 1 the frozen translator's language of audio is computed once per data
    set, for every caption.

    Attributes:
        component: Component that the UNet is saved as.
        unconditional: Inputs of classifier-free guidance's unconditional side.
        unet: The network in training.
        encoders: Frozen networks that encode during the training, such as the latent prior.
        channel_weights: Weights [1, C, 1, 1] of the channels' errors, or None.
    """

    Options = LatentDiffusionOptions
    component = "unet"
    can_be_sharded = True

    def setup(self) -> None:
        """Open the data, build the UNet and translate the captions if needed."""
        self._check_pools()
        self.load_data()
        self.translate_captions()

    def translate_captions(self) -> None:
        """Add the translator's language of audio to the data, if the switcher can choose it."""
        if self.config.translator is not None and self.options.true_loa_prob < 1:
            for dataset, folder in self.open_datasets():
                add_translated(
                    dataset,
                    GENERATED_LOA,
                    folder,
                    self.model_folder,
                    self._load_translator,
                    self.on_prepare,
                )

    def _check_pools(self) -> None:
        if not self.options.loa_pools:
            return
        if self.config.audiomae is None:
            raise ConfigError(
                "options.loa_pools pools the language of audio, which this model does not read; "
                "remove the option"
            )
        if self.options.true_loa_prob < 1:
            raise ConfigError(
                "options.loa_pools needs options.true_loa_prob to be 1, because the translator "
                f"generates with one pooling only; it is {self.options.true_loa_prob:g}"
            )

    def encoded_config(self) -> ModelConfig:
        """Return the configuration that the clips are encoded with: without pooling if drawn."""
        config = self.config
        if not self.options.loa_pools or config.translator is None:
            return config
        return replace(config, translator=replace(config.translator, time_pool=1, freq_pool=1))

    def _load_translator(self) -> Callable[[dict[str, Tensor], Bucket], Tensor]:
        """Return the translator as the function that `add_translated` needs."""
        translator = cast(Translator, load_component(self.model_folder, "translator", self.config))

        @torch.no_grad()
        def translate(captions: dict[str, Tensor], bucket: Bucket) -> Tensor:
            sources = self.caption_encodings(captions).translator_sources()
            return translator.generate(sources, bucket.arrays[TRUE_LOA].shape[1]).tokens

        return translate

    def load_data(self) -> None:
        """Open the pre-encoded data and build the networks that read it."""
        super().load_data()
        self.unconditional: UnconditionalInputs = self.load_unconditional()
        self.schedule = Schedule(self.config.schedule)
        self.unet = cast(UNet, self.load_trainable(self.component))
        self.trainables = {"unet": self.unet}
        modules = {}
        for conditioner in used_conditioners(self.config):
            if not conditioner.clip_inputs(self.config):
                for component in conditioner.components:
                    modules[component] = self.load_frozen(component)
        self.encoders = Encoders(self.config, modules)
        self.channel_weights: Tensor | None = None
        if self.options.channel_loss_weighting > 0:
            self.channel_weights = self._measure_channel_weights()

    def load_unconditional(self) -> UnconditionalInputs:
        """Return the unconditional form of every encoding."""
        return load_unconditional_inputs(self.dataset_folder)

    @torch.no_grad()
    def _measure_channel_weights(self) -> Tensor:
        """Return weights [1, C, 1, 1] of mean 1, from the energy that a channel adds to mels."""
        vae = cast(VAE, load_component(self.model_folder, "vae", self.config))
        latent = self.dataset.batch(self.recipe.seed, 0, _CHANNEL_WEIGHT_FRAMES)[LATENT]
        generator = torch.Generator().manual_seed(self.recipe.seed)
        noise = torch.randn(latent.shape, generator=generator)
        clean = vae.decode(Latent(latent))
        energies = []
        # The same noise in one channel at a time.
        for one_channel in torch.eye(latent.shape[1])[:, None, :, None, None]:
            noisy = vae.decode(Latent(latent + one_channel * noise))
            energies.append((noisy - clean).square().mean())
        weights: Tensor = torch.stack(energies) ** self.options.channel_loss_weighting
        return (weights / weights.mean())[None, :, None, None]

    def select_loa(self, batch: dict[str, Tensor], generator: Generator) -> Tensor | None:
        """Return the language of audio [B, L, D] that conditions each clip, or None.

        Args:
            batch: Arrays of a pre-encoded batch.
            generator: Source of the switcher's choices.
        """
        true_loa = batch.get(TRUE_LOA)
        pools = self.options.loa_pools
        if true_loa is not None and pools:
            index = int(torch.randint(len(pools), (1,), generator=generator))
            return self.pool_loa(true_loa, pools[index])
        if true_loa is None or GENERATED_LOA not in batch:
            return true_loa
        return self.switch_loa(true_loa, batch[GENERATED_LOA], generator)

    def pool_loa(self, patches: Tensor, pool: int) -> Tensor:
        """Return the language of audio [B, L, D] of patch features.

        Args:
            patches: Features [B, N, D] of all patches.
            pool: Patches per token along time, and along frequency as far as there are as many.
        """
        assert self.config.audiomae is not None
        num_columns = self.config.audiomae.n_mels // self.config.audiomae.patch_size
        return pool_patches(patches, num_columns, pool, min(pool, num_columns))

    def switch_loa(self, true_loa: Tensor, generated_loa: Tensor, generator: Generator) -> Tensor:
        """Return AudioMAE's language of audio for some clips, the translator's for the others.

        Args:
            true_loa: AudioMAE's [B, L, D].
            generated_loa: The translator's [B, L, D].
            generator: Source of the choices.
        """
        is_true = torch.rand(len(true_loa), generator=generator) < self.options.true_loa_prob
        return torch.where(is_true.to(true_loa.device)[:, None, None], true_loa, generated_loa)

    def complete_encodings(self, batch: dict[str, Tensor], loa: Tensor | None) -> Encodings:
        """Return all encodings of a batch, from which the UNet's inputs are made.

        Args:
            batch: Arrays of a pre-encoded batch.
            loa: Language of audio [B, L, D] that takes the place of the clip's, or None.
        """
        encodings = self.clip_encodings(batch)
        if loa is not None:
            encodings = encodings.replaced({LOA: Encoding(context=Context.unmasked(loa))})
        inputs = EncoderInputs((), 0, num_latent_frames=batch[LATENT].shape[2])
        complete(self.encoders, [inputs], [encodings])
        return encodings

    def weight_channels(self, error: Tensor) -> Tensor:
        """Return squared errors [B, C, T', F'], weighted by channel.

        Args:
            error: Squared errors.
        """
        if self.channel_weights is None:
            return error
        return self.channel_weights.to(error) * error

    def preview(self) -> Preview:
        """Return mels of a few clips beside those generated from their captions."""
        device = next(self.unet.parameters()).device
        batch = self.preview_batch(device)
        encodings = self.complete_encodings(batch, self.preview_loa(batch))
        conditioning = encodings.conditioning(self.config.unet)
        unconditional = self.unconditional.like(encodings).conditioning(self.config.unet)
        noise = torch.randn(batch[LATENT].shape, generator=torch.Generator().manual_seed(0))
        # CPU noise of a fixed seed: previews of all steps and devices show the same clips.
        *_, last = self.sample(noise.to(device), conditioning, unconditional)
        preview = self.comparison_preview("samples", batch[LATENT], last.z)
        preview.numbers[LIKENESS] = largest_likeness(batch[LATENT], last.z)
        return preview

    def sample(
        self, z: Tensor, conditioning: Conditioning, unconditional: Conditioning
    ) -> Iterator[Step]:
        """Yield the sampling steps of a preview.

        Args:
            z: Noise [B, C, T', F'].
            conditioning: Conditioning of the clips.
            unconditional: Its unconditional form.
        """
        denoise = cfg_denoiser(
            self.unet, conditioning, unconditional, PREVIEW_GUIDANCE, self.schedule
        )
        timesteps = self.schedule.timesteps(PREVIEW_STEPS, "log_snr")
        return dpmpp_2m(denoise, z, self.schedule, timesteps)

    def preview_loa(self, batch: dict[str, Tensor]) -> Tensor | None:
        """Return the language of audio of a preview: the translator's if it is known.

        Args:
            batch: Arrays of a pre-encoded batch.
        """
        true_loa = batch.get(TRUE_LOA)
        if true_loa is not None and self.options.loa_pools:
            return self.pool_loa(true_loa, max(self.options.loa_pools))
        return batch.get(GENERATED_LOA, true_loa)


class DiffusionOptions(LatentDiffusionOptions, ConditionDropoutOptions):
    """Options of the diffusion stage.

    Attributes:
        clap_text_prob: AudioLDM 1: probability that a clip is conditioned on CLAP's vector of its
            caption instead of that of its sound.
        snr_gamma: Largest loss weight of min-SNR weighting (arXiv 2303.09556). null: no weighting.
        logit_mean: Mean of the logit-normal distribution of timesteps (arXiv 2403.03206, eq. 19).
            null: a uniform distribution.
        logit_std: Its standard deviation.
    """

    clap_text_prob: float = Field(0.0, ge=0, le=1)
    snr_gamma: float | None = Field(5.0, gt=0, le=1e6)
    logit_mean: float | None = Field(None, ge=-10, le=10)
    logit_std: float = Field(1.0, gt=0, le=10)


class DiffusionStage(LatentDiffusionStage):
    """Train the UNet. Trainables: "unet".

    It is conditioned on the caption and on the clip's language of audio or, in a model without a
    translator, on the clip's CLAP vector.
    """

    Options = DiffusionOptions
    components = {"unet": "unet"}  # noqa: RUF012

    def losses(self, batch: dict[str, Tensor], trainable: str, generator: Generator) -> Losses:
        """Return the weighted squared error of the prediction (arXiv 2006.11239, eq. 14)."""
        return self.denoising_losses(batch, self.select_loa(batch, generator), generator)

    def denoising_losses(
        self, batch: dict[str, Tensor], loa: Tensor | None, generator: Generator
    ) -> Losses:
        """Return the UNet's loss at random timesteps.

        Args:
            batch: Arrays of a pre-encoded batch.
            loa: Language of audio [B, L, D], or None.
            generator: Source of timesteps, noise and condition dropout, in this order.
        """
        latent = batch[LATENT]
        # All draws are on the CPU, so that runs on other devices see the same noise.
        t = self.sample_timesteps(len(latent), generator).to(latent.device)
        noise = torch.randn(latent.shape, generator=generator).to(latent.device)
        encodings = self.complete_encodings(batch, loa)
        if self.options.clap_text_prob > 0:
            encodings = self.mix_clap(batch, encodings, generator)
        encodings = self.drop_conditions(encodings, generator)
        conditioning = encodings.conditioning(self.config.unet)
        z = self.schedule.q_sample(latent, noise, t)
        target = self.schedule.training_target(latent, noise, t)
        error = (self.unet(z, t, conditioning).float() - target).square()
        # The loss weight belongs to a timestep, so the error is averaged per clip first.
        clip_error = self.weight_channels(error).mean(dim=(1, 2, 3))
        weight = self.schedule.loss_weight(t, self.options.snr_gamma)
        return {"unet/mse": (weight * clip_error).mean()}

    def losses_by_timestep(self) -> dict[str, float]:
        """Return the unweighted error at fixed timesteps, with fixed clips and noise."""
        batch = self.preview_batch(next(self.unet.parameters()).device)
        encodings = self.complete_encodings(batch, self.preview_loa(batch))
        conditioning = encodings.conditioning(self.config.unet)
        return errors_by_timestep(self.unet, self.schedule, batch[LATENT], conditioning)

    def mix_clap(
        self, batch: dict[str, Tensor], encodings: Encodings, generator: Generator
    ) -> Encodings:
        """Return the encodings with CLAP's vectors of captions for some clips.

        Args:
            batch: Arrays of a pre-encoded batch.
            encodings: Its encodings, with CLAP's vectors of the sounds.
            generator: Source of the choices.
        """
        captions = self.caption_encodings(batch)
        changes = {}
        for name, encoding in encodings.items():
            if encoding.vector is None or name not in captions:
                continue
            is_text = draw(
                len(encoding.vector), self.options.clap_text_prob, self.options, generator
            )
            vector = torch.where(
                is_text.to(encoding.vector.device)[:, None], captions[name].vector, encoding.vector
            )
            changes[name] = replace(encoding, vector=vector)
        return encodings.replaced(changes)

    def sample_timesteps(self, num_clips: int, generator: Generator) -> Tensor:
        """Return random train-time steps t [B].

        Args:
            num_clips: Number B of clips.
            generator: Source of the steps.
        """
        num_timesteps = self.config.schedule.num_train_timesteps
        if self.options.logit_mean is None:
            return torch.randint(num_timesteps, (num_clips,), generator=generator)
        logits = self.options.logit_mean + self.options.logit_std * torch.randn(
            num_clips, generator=generator
        )
        timesteps = (torch.sigmoid(logits) * num_timesteps).long()
        return timesteps.clamp(max=num_timesteps - 1)

    def drop_conditions(self, encodings: Encodings, generator: Generator) -> Encodings:
        """Return the encodings with some conditions of some clips made unconditional.

        Args:
            encodings: All encodings of B clips.
            generator: Source of the choices.
        """
        return drop_conditions(
            encodings, self.unconditional, self.config.unet, self.options, generator
        )
