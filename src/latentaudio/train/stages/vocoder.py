"""The vocoder stage: multi-resolution spectral losses, plain or as an energy distance, and a GAN.

The GAN (arXiv 2010.05646) is optional. See numerics: vocoder, training.

Shapes: B batch, N samples, T F frames and bands.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn.functional import l1_loss

from ...audio.mel import vae_mel
from ...config.streams import Stream
from ...data.dataset import batch_indices, read_crops, seeded_generator
from ...errors import ConfigError
from ...models.autocast import no_autocast
from ...models.istft_vocoder import ISTFTVocoder, SynthesisControls
from ...models.vae import VAE
from ..recipe import Count, Probability, Weight
from .adversarial import WAVEFORM_GANS
from .base import Losses, Preview, Stage, StageOptions
from .pitch_analysis import estimate_pitch, harmonicity
from .source_losses import (
    attack_proximity,
    deterministic_in_noise,
    harmonics_without_pitch,
    noise_in_tones,
    pitch_cross_entropy,
    transience,
)
from .spectral_losses import RESOLUTIONS, spectral_distances, spectral_losses

ISTFT_LOSSES = (
    "pitch",
    "energy",
    "deterministic_in_noise",
    "noise_in_tones",
    "harmonic_pitch",
)
"""Losses of the sources of an inverse-STFT vocoder."""
_NUM_PREVIEW_CLIPS = 3


class VocoderLossWeights(StageOptions):
    """Weights of the vocoder's losses.

    Attributes:
        mel: L1 of log-mels at several resolutions.
        model_mel: L1 of the log-mels that are the vocoder's own input.
        magnitude: L1 of linear magnitudes, relative to the mean magnitude of the target.
        adv_gen: Adversarial loss. 0 trains without discriminators.
        feature_matching: L1 of the discriminators' features, relative to `adv_gen`.
        pitch: Error of the frequencies of an inverse-STFT vocoder's sine oscillators, in half
            widths of their bands.
        energy: 0 compares one generated sound per crop with the real one. Above 0 two sounds with
            different noise are generated, and `mel` and `magnitude` become an energy distance with
            this fraction of the repulsion term; 1 is the full energy distance.
        deterministic_in_noise: Level of predicted frames, sines and harmonics where the sound is
            steady noise.
        noise_in_tones: Level of noise where the sound is tonal.
        harmonic_pitch: Cross-entropy of the pitch of the harmonics.
    """

    mel: Weight = 15.0
    model_mel: Weight = 0.0
    magnitude: Weight = 1.0
    adv_gen: Weight = 0.0
    feature_matching: Weight = 2.0
    pitch: Weight = 0.0
    energy: float = Field(0.0, ge=0.0, le=1.0)
    deterministic_in_noise: Weight = 0.0
    noise_in_tones: Weight = 0.0
    harmonic_pitch: Weight = 0.0

    @property
    def need_variants(self) -> bool:
        """Whether two sounds of every crop are generated."""
        source_losses = (self.deterministic_in_noise, self.noise_in_tones, self.harmonic_pitch)
        return self.energy > 0 or any(weight > 0 for weight in source_losses)


class VocoderOptions(StageOptions):
    """Options of the vocoder stage.

    Attributes:
        crop_frames: Mel frames of a crop.
        vae_resynthesis_prob: Probability that the input mel of a crop comes out of the VAE, so that
            the vocoder learns to compensate for its blur. HiFi-GAN is fine-tuned on the mels of the
            model before it in the same way (arXiv 2010.05646, section 4.4).
        gan: Discriminators and their losses. "univnet": by period and by resolution, hinge loss,
            relative feature distances, means of all. "hifigan", as published: by period and by
            scale, least squares, sums of all (arXiv 2010.05646).
        disc_channels: Channels of the discriminators' first layers; 32 in HiFi-GAN.
        disc_first: Whether the discriminators are updated before the vocoder.
        attack_emphasis: Near attacks, losses of windows up to 512 samples count 1 + this many
            times. Needs `weights.energy` or another loss that generates two sounds per crop.
        num_resolutions: Resolutions of the spectral losses that are drawn for each batch. The same
            losses are needed.
        weights: Weights of the losses.
    """

    crop_frames: Count = 100
    vae_resynthesis_prob: Probability = 0.0
    gan: Literal["univnet", "hifigan"] = "univnet"
    disc_channels: Count = 16
    disc_first: bool = False
    attack_emphasis: Weight = 0.0
    num_resolutions: int = Field(len(RESOLUTIONS), ge=1, le=len(RESOLUTIONS))
    weights: VocoderLossWeights = VocoderLossWeights()


class VocoderStage(Stage):
    """Train the vocoder. Trainables: "vocoder" and, with an adversarial loss, "disc"."""

    Options = VocoderOptions
    components = {"vocoder": "vocoder"}  # noqa: RUF012

    def setup(self) -> None:
        """Read the manifest and build the vocoder."""
        options = self.options
        weights = options.weights
        self.gan = WAVEFORM_GANS[options.gan]
        self.read_clips()
        self.vocoder = self.load_trainable("vocoder")
        self.trainables = {"vocoder": self.vocoder}
        self._check_options()
        if options.vae_resynthesis_prob > 0:
            factor = self.config.vae.downsampling
            if options.crop_frames % factor:
                raise ConfigError(
                    "options.vae_resynthesis_prob needs options.crop_frames to be a multiple of "
                    f"{factor}, not {options.crop_frames}"
                )
            self.vae = cast(VAE, self.load_frozen("vae"))
        if weights.adv_gen > 0:
            self.discriminators = self.gan.build(options.disc_channels)
            disc = {"disc": self.discriminators}
            is_first = options.disc_first
            self.trainables = disc | self.trainables if is_first else self.trainables | disc
        self.loss_weights = {
            "vocoder/mel": weights.mel,
            "vocoder/model_mel": weights.model_mel,
            "vocoder/magnitude": weights.magnitude,
            "vocoder/adv_gen": weights.adv_gen,
            "vocoder/feature_matching": weights.adv_gen * weights.feature_matching,
            "vocoder/pitch": weights.pitch,
            "vocoder/energy_repulsion": -weights.energy / 2,
            "vocoder/deterministic_in_noise": weights.deterministic_in_noise,
            "vocoder/noise_in_tones": weights.noise_in_tones,
            "vocoder/harmonic_pitch": weights.harmonic_pitch,
        }

    def _check_options(self) -> None:
        options = self.options
        weights = options.weights
        if not isinstance(self.vocoder, ISTFTVocoder):
            for name in ISTFT_LOSSES:
                if getattr(weights, name) > 0:
                    raise ConfigError(
                        f"options.weights.{name} needs a vocoder with sine oscillators "
                        "(kind istft); set it to 0"
                    )
        elif weights.harmonic_pitch > 0 and self.vocoder.harmonics is None:
            raise ConfigError(
                "options.weights.harmonic_pitch needs a vocoder with use_harmonics; set it to 0"
            )
        is_changed = options.attack_emphasis > 0 or options.num_resolutions < len(RESOLUTIONS)
        if is_changed and not weights.need_variants:
            raise ConfigError(
                "options.attack_emphasis and options.num_resolutions change the energy distance; "
                "set options.weights.energy too, for example to 1"
            )

    def batch(self, position: int) -> Tensor:
        """Return samples [B, N]."""
        recipe = self.recipe
        spec = self.config.mel
        indices = batch_indices(len(self.clips), recipe.batch_size, recipe.seed, position)
        generator = seeded_generator(recipe.seed, Stream.VOCODER_CROPS, position)
        num_samples = self.options.crop_frames * spec.hop_length
        return read_crops(self.clips, indices, spec.sample_rate, num_samples, generator)

    def losses(self, batch: Tensor, trainable: str, generator: Generator) -> Losses:
        """Return the losses of the vocoder, or the hinge loss of the discriminators."""
        num_samples = batch.shape[1]
        with no_autocast(batch):
            target_mel = vae_mel(batch, self.config.mel)
            input_mel = self._resynthesize_some(target_mel, generator)
        if trainable == "disc":  # its update needs no graph of the vocoder
            with torch.no_grad():
                fake = self.vocoder(input_mel)[..., :num_samples]
            real_outputs = self.discriminators(batch[:, None])
            disc_loss = self.gan.disc_loss(real_outputs, self.discriminators(fake))
            return {self.gan.disc_name: disc_loss}
        if self.options.weights.need_variants:
            return self._variant_losses(batch, target_mel, input_mel, generator)
        losses = {}
        if self.options.weights.pitch > 0:
            vocoder = cast(ISTFTVocoder, self.vocoder)
            generated, frequency = vocoder.synthesize(input_mel)
            with no_autocast(batch):
                target, tonality = vocoder.mel_analyzer.reassigned_frequencies(
                    batch, self.config.mel.hop_length
                )
                losses["vocoder/pitch"] = self._pitch_error(frequency, target, tonality, target_mel)
        else:
            generated = self.vocoder(input_mel)
        generated = generated[..., :num_samples].float()
        with no_autocast(batch):
            losses |= self._reconstruction_losses(generated[:, 0], batch, target_mel)
        if "disc" in self.trainables:
            losses |= self._adversarial_losses(batch[:, None], generated)
        return losses

    def _reconstruction_losses(self, generated: Tensor, real: Tensor, target_mel: Tensor) -> Losses:
        """Return the distances of spectra of one generated sound [B, N] per crop."""
        weights = self.options.weights
        losses: Losses = {}
        if weights.model_mel > 0:
            mel = vae_mel(generated, self.config.mel)
            losses["vocoder/model_mel"] = l1_loss(mel, target_mel)
        if weights.mel > 0 or weights.magnitude > 0 or not losses:
            mel_loss, magnitude_loss = spectral_losses(generated, real, self.config.mel.sample_rate)
            losses["vocoder/mel"] = mel_loss
            losses["vocoder/magnitude"] = magnitude_loss
        return losses

    def _resynthesize_some(self, mel: Tensor, generator: Generator) -> Tensor:
        """Return the crops' log-mels [B, 1, T, F], some of them encoded and decoded by the VAE."""
        probability = self.options.vae_resynthesis_prob
        if probability == 0:
            return mel
        is_chosen = (torch.rand(len(mel), generator=generator) < probability).to(mel.device)
        with torch.no_grad():
            latent = self.vae.normalize(self.vae.encode(mel).mode())
            decoded = self.vae.decode(latent).float()
        return torch.where(is_chosen[:, None, None, None], decoded, mel)

    def _variant_losses(
        self, real: Tensor, target_mel: Tensor, input_mel: Tensor, generator: Generator
    ) -> Losses:
        """Return the losses of two generated sounds per crop, which differ in their noise."""
        options = self.options
        weights = options.weights
        vocoder = cast(ISTFTVocoder, self.vocoder)
        (first, second), controls = vocoder.synthesize_variants(input_mel, 2)
        with no_autocast(real):
            losses = self._source_losses(controls, real, target_mel, input_mel)
            distances = spectral_distances(
                first,
                second,
                real,
                self.config.mel.sample_rate,
                1 + options.attack_emphasis * attack_proximity(target_mel),
                options.num_resolutions,
                generator,
            )
            mel_repulsion = weights.mel * distances.mel_repulsion
            magnitude_repulsion = weights.magnitude * distances.magnitude_repulsion
        losses["vocoder/mel"] = distances.mel
        losses["vocoder/magnitude"] = distances.magnitude
        losses["vocoder/energy_repulsion"] = mel_repulsion + magnitude_repulsion
        if "disc" in self.trainables:
            losses |= self._adversarial_losses(real[:, None], first[:, None])
        return losses

    def _source_losses(
        self, controls: SynthesisControls, real: Tensor, target_mel: Tensor, input_mel: Tensor
    ) -> Losses:
        """Return the losses of what predicted frames, sines, harmonics and noise play."""
        weights = self.options.weights
        hop = self.config.mel.hop_length
        analyzer = cast(ISTFTVocoder, self.vocoder).mel_analyzer
        harmonics = controls.harmonics
        losses = {}
        without_pitch: Tensor | float = 0.0
        target, tonality = analyzer.reassigned_frequencies(real, hop)
        if weights.pitch > 0:
            losses["vocoder/pitch"] = self._pitch_error(
                controls.frequency, target, tonality, target_mel
            )
        if harmonics is not None:
            index, confidence = estimate_pitch(real, analyzer.sample_rate, hop)
            tonality = tonality.maximum(harmonicity(real, index, confidence, analyzer, hop))
            losses["vocoder/harmonic_pitch"] = pitch_cross_entropy(
                harmonics.scores, index, confidence
            )
            without_pitch = harmonics_without_pitch(harmonics, input_mel, analyzer, confidence)
        if weights.deterministic_in_noise > 0:
            transient = transience(real, analyzer, hop)
            level = deterministic_in_noise(controls, input_mel, analyzer, 1 - tonality, transient)
            losses["vocoder/deterministic_in_noise"] = level + without_pitch
        if weights.noise_in_tones > 0:
            losses["vocoder/noise_in_tones"] = noise_in_tones(
                controls, input_mel, analyzer, tonality
            )
        return losses

    def _pitch_error(
        self, frequency: Tensor, target: Tensor, tonality: Tensor, mel: Tensor
    ) -> Tensor:
        """Return the error of oscillator frequencies [B, T, F] against their targets.

        Loud and tonal bands count more. Each clip is scaled by its loudest band.
        """
        analyzer = cast(ISTFTVocoder, self.vocoder).mel_analyzer
        # The square root compresses levels, so that quiet partials count too.
        loudness = mel[:, 0].exp().sqrt()
        weight = tonality * loudness / loudness.amax(dim=(1, 2), keepdim=True)
        error = weight * (frequency - target).abs() / analyzer.half_widths
        return error.sum() / (weight.sum() + 1e-3)  # a batch of noise has no tonal band

    def _adversarial_losses(self, real: Tensor, fake: Tensor) -> Losses:
        """Return the generator's loss and feature matching (arXiv 2010.05646, eq. 2 and 4)."""
        with torch.no_grad():  # features of real audio are targets
            real_outputs = self.discriminators(real)
        fake_outputs = self.discriminators(fake)
        return {
            "vocoder/adv_gen": self.gan.gen_loss(fake_outputs),
            "vocoder/feature_matching": self.gan.feature_distance(real_outputs, fake_outputs),
        }

    def preview(self) -> Preview:
        """Return three resynthesized clips, and their mels above those of the data."""
        spec = self.config.mel
        device = next(self.vocoder.parameters()).device
        real = self.batch(0)[:_NUM_PREVIEW_CLIPS].to(device)
        mel = vae_mel(real, spec)
        generated = self.vocoder(mel)[:, 0, : real.shape[1]].float()
        audio = {}
        rows = []
        for index, samples in enumerate(generated):
            audio[f"resynthesis_{index}"] = samples
            generated_mel = vae_mel(samples.cpu()[None], spec)[0, 0]
            rows.append(torch.cat([mel[index, 0].cpu(), generated_mel], dim=1))
        return Preview({"resynthesis": torch.cat(rows)}, audio, spec.sample_rate)
