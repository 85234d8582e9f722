"""The vocoder stage: multi-resolution spectral losses, optionally a GAN (arXiv 2010.05646).

See numerics: vocoder, training.

Shapes: B batch, N samples, T F frames and bands.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Generator, Tensor
from torch.nn.functional import l1_loss, relu

from ...audio.mel import filterbank, magnitudes, vae_mel
from ...config.streams import Stream
from ...data.dataset import batch_indices, read_crops, seeded_generator
from ...data.manifest import read_manifest
from ...errors import ConfigError
from ...models.discriminators import WaveformDiscriminator
from ...models.istft_vocoder import ISTFTVocoder
from ...models.vae import VAE
from .base import Losses, Preview, Stage, StageOptions

RESOLUTIONS = ((2048, 240, 160), (1024, 160, 80), (512, 80, 64), (256, 40, 40), (128, 32, 20))
"""(window, hop, mel bands) of the losses. Long windows resolve pitch, short ones onsets."""
_LOG_FLOOR = 1e-5  # the floor of the model's log-mels
_NUM_PREVIEW_CLIPS = 3


class VocoderLossWeights(StageOptions):
    """Weights of the vocoder's losses.

    Attributes:
        mel: L1 of log-mels.
        magnitude: L1 of linear magnitudes, relative to the mean magnitude of the target.
        adv_gen: Adversarial loss. 0 trains without discriminators.
        feature_matching: L1 of the discriminators' features, relative to `adv_gen`.
        pitch: Error of the frequencies of an inverse-STFT vocoder's sine oscillators, in half
            widths of their bands.
    """

    mel: float = 15.0
    magnitude: float = 1.0
    adv_gen: float = 0.0
    feature_matching: float = 2.0
    pitch: float = 0.0


class VocoderOptions(StageOptions):
    """Options of the vocoder stage.

    Attributes:
        crop_frames: Mel frames of a crop.
        vae_resynthesis_prob: Probability that the input mel of a crop comes out of the VAE, so that
            the vocoder learns to compensate for its blur. HiFi-GAN is fine-tuned on the mels of the
            model before it in the same way (arXiv 2010.05646, section 4.4).
        disc_channels: Channels of the discriminators' first layers.
        weights: Weights of the losses.
    """

    crop_frames: int = 100
    vae_resynthesis_prob: float = 0.0
    disc_channels: int = 16
    weights: VocoderLossWeights = VocoderLossWeights()


class VocoderStage(Stage):
    """Train the vocoder. Trainables: "vocoder" and, with an adversarial loss, "disc"."""

    Options = VocoderOptions
    components = {"vocoder": "vocoder"}  # noqa: RUF012

    def setup(self) -> None:
        """Read the manifest and build the vocoder."""
        options = self.options
        weights = options.weights
        self.clips = read_manifest(*self.data)
        self.vocoder = self.load_trainable("vocoder")
        self.trainables = {"vocoder": self.vocoder}
        if weights.pitch > 0 and not isinstance(self.vocoder, ISTFTVocoder):
            raise ConfigError(
                "options.weights.pitch needs a vocoder with sine oscillators (kind istft); "
                "set it to 0"
            )
        if options.vae_resynthesis_prob > 0:
            factor = self.config.vae.downsampling
            if options.crop_frames % factor:
                raise ConfigError(
                    "options.vae_resynthesis_prob needs options.crop_frames to be a multiple of "
                    f"{factor}, not {options.crop_frames}"
                )
            self.vae = cast(VAE, self.load_frozen("vae"))
        if weights.adv_gen > 0:
            self.discriminators = WaveformDiscriminator(options.disc_channels)
            self.trainables["disc"] = self.discriminators
        self.loss_weights = {
            "vocoder/mel": weights.mel,
            "vocoder/magnitude": weights.magnitude,
            "vocoder/adv_gen": weights.adv_gen,
            "vocoder/feature_matching": weights.adv_gen * weights.feature_matching,
            "vocoder/pitch": weights.pitch,
        }

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
        with _no_autocast(batch):
            target_mel = vae_mel(batch, self.config.mel)
            input_mel = self._resynthesize_some(target_mel, generator)
        if trainable == "disc":  # its update needs no graph of the vocoder
            with torch.no_grad():
                fake = self.vocoder(input_mel)[..., :num_samples]
            return {"disc/hinge": self._hinge(batch[:, None], fake)}
        losses = {}
        if self.options.weights.pitch > 0:
            generated, frequency = cast(ISTFTVocoder, self.vocoder).synthesize(input_mel)
            with _no_autocast(batch):
                losses["vocoder/pitch"] = self._pitch_error(frequency, batch, target_mel)
        else:
            generated = self.vocoder(input_mel)
        generated = generated[..., :num_samples].float()
        with _no_autocast(batch):
            mel_loss, magnitude_loss = self._spectral_losses(generated[:, 0], batch)
        losses["vocoder/mel"] = mel_loss
        losses["vocoder/magnitude"] = magnitude_loss
        if "disc" in self.trainables:
            losses |= self._adversarial_losses(batch[:, None], generated)
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

    def _pitch_error(self, frequency: Tensor, real: Tensor, mel: Tensor) -> Tensor:
        """Return the error of oscillator frequencies [B, T, F] against those of samples [B, N].

        Loud and tonal bands count more. Each clip is scaled by its loudest band.
        """
        analyzer = cast(ISTFTVocoder, self.vocoder).mel_analyzer
        target, tonality = analyzer.reassigned_frequencies(real, self.config.mel.hop_length)
        # The square root compresses levels, so that quiet partials count too.
        loudness = mel[:, 0].exp().sqrt()
        weight = tonality * loudness / loudness.amax(dim=(1, 2), keepdim=True)
        error = weight * (frequency - target).abs() / analyzer.half_widths
        return error.sum() / (weight.sum() + 1e-3)  # a batch of noise has no tonal band

    def _hinge(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the mean hinge loss of all discriminators (arXiv 1705.02894, section 3)."""
        terms = []
        outputs = zip(self.discriminators(real), self.discriminators(fake), strict=True)
        for real_output, fake_output in outputs:
            real_loss = relu(1 - real_output.logits.float()).mean()
            terms.append(real_loss + relu(1 + fake_output.logits.float()).mean())
        return torch.stack(terms).mean()

    def _adversarial_losses(self, real: Tensor, fake: Tensor) -> Losses:
        """Return the generator's loss and feature matching (arXiv 2010.05646, eq. 2 and 4).

        The feature distances are relative to the size of the real features, so that all layers
        count alike.
        """
        with torch.no_grad():  # features of real audio are targets
            real_outputs = self.discriminators(real)
        fake_outputs = self.discriminators(fake)
        gen_losses = []
        feature_losses = []
        for fake_output, real_output in zip(fake_outputs, real_outputs, strict=True):
            gen_losses.append(fake_output.logits.float().mean())
            features = zip(fake_output.features, real_output.features, strict=True)
            for fake_feature, real_feature in features:
                target = real_feature.float()
                distance = l1_loss(fake_feature.float(), target)
                feature_losses.append(distance / (target.abs().mean() + 1e-4))
        return {
            "vocoder/adv_gen": -torch.stack(gen_losses).mean(),
            "vocoder/feature_matching": torch.stack(feature_losses).mean(),
        }

    def _spectral_losses(self, generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean L1 of log-mels and the mean relative L1 of magnitudes."""
        sample_rate = self.config.mel.sample_rate
        mel_losses = []
        magnitude_losses = []
        for window, hop, num_bands in RESOLUTIONS:
            bank = filterbank(sample_rate, window, num_bands, 0.0, sample_rate / 2).to(generated)
            fake_magnitude = magnitudes(generated, window, hop, window // 2)
            real_magnitude = magnitudes(real, window, hop, window // 2)
            fake_mel = (fake_magnitude @ bank.T).clamp_min(_LOG_FLOOR).log()
            # The logarithm weights quiet bands, the relative L1 below the loud ones.
            real_mel = (real_magnitude @ bank.T).clamp_min(_LOG_FLOOR).log()
            mel_losses.append(l1_loss(fake_mel, real_mel))
            difference = (fake_magnitude - real_magnitude).abs().mean()
            magnitude_losses.append(difference / (real_magnitude.mean() + 1e-3))
        return torch.stack(mel_losses).mean(), torch.stack(magnitude_losses).mean()

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


def _no_autocast(samples: Tensor) -> AbstractContextManager[None]:
    """Use float32: bfloat16's 8 bits of mantissa lose faint bands and close frequencies."""
    return torch.autocast(samples.device.type, enabled=False)
