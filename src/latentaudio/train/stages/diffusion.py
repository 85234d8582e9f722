"""The UNet, alone or jointly with the translator (spec 6.6, 10.2), on pre-encoded latents and conditions.

Knows what is dropped, mixed and predicted. Refuses to know steps, files and samplers' inner arithmetic.

Letters: B batch, C T' F' latent, n tokens of D: language of audio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn.functional import l1_loss

from ...diffusion.guidance import Guidance, guided
from ...diffusion.samplers import dpmpp_2m
from ...diffusion.schedule import Schedule
from ...loaders.model_folder import load_part
from ...models.latent_prior import Draft
from ...models.translator import Translator
from ...models.unet import UNet
from ...models.vae import VAE
from ...types import Conditioning, Context, Latent, Step
from ..pre_encode import Nulls, add_written, nulls
from .base import Losses, Preview
from .latent_stage import EncodedOptions, EncodedStage, sources_of

PREVIEW_STEPS, PREVIEW_GUIDANCE = 20, Guidance(3.0)
_AUDIBLE_OVER = 4096  # mel frames


class HearingOptions(EncodedOptions):
    """truth: share of clips that hear AudioMAE's language of audio instead of the translator's, drawn per clip (the
    probabilistic switcher, spec 6.6). audible: 1 weighs each latent channel's error by the energy that noise in it adds to the
    decoded log-mel, 0 weighs all alike, between is between.
    """

    frames: int = Field(16384, gt=0)
    truth: float = 1.0
    audible: float = Field(0.0, ge=0.0, le=1.0)


class HearingStage(EncodedStage):
    """What stages of UNets share: what one hears of a clip, and pictures of what it draws.

    With `truth` below 1 the other clips hear what the frozen translator writes for their captions, once for each data set.
    """

    Options = HearingOptions
    taught = "unet"

    def setup(self) -> None:
        self.read()
        if self.config.translator is not None and self.options.truth < 1:
            add_written(self.encoded, self.folder, self.model, self._writer, self.prepared)

    def _writer(self) -> Callable[[dict[str, Tensor], int], Tensor]:
        translator = cast(Translator, load_part(self.model, "translator", self.config))
        return torch.no_grad()(
            lambda words, tokens: translator.generate(sources_of(words), tokens).tokens
        )

    def read(self) -> None:
        """The encoded data and the network that learns from them."""
        super().read()
        self.null: Nulls = nulls(self.folder)
        self.schedule = Schedule(self.config.schedule)
        self.unet = cast(UNet, self.learnt(self.taught))
        self.players = {"unet": self.unet}
        self.draft = cast(Draft, self.given("draft")) if self.config.draft else None
        self.audible = self._audible() if self.options.audible > 0 else None

    @torch.no_grad()
    def _audible(self) -> Tensor:
        """Weights of the latent channels' errors [1, C, 1, 1], 1 on average, by the energy each adds to decoded log-mels."""
        vae = cast(VAE, load_part(self.model, "vae", self.config))
        latent = self.encoded.batch(self.recipe.seed, 0, _AUDIBLE_OVER)["latent"]
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(self.recipe.seed))
        plain, channels = (
            vae.decode(Latent(latent)),
            torch.eye(latent.shape[1])[:, None, :, None, None],
        )
        added = torch.stack(
            [(vae.decode(Latent(latent + one * noise)) - plain).square().mean() for one in channels]
        )
        weight: Tensor = added**self.options.audible
        return (weight / weight.mean())[None, :, None, None]

    def _mixed(self, batch: dict[str, Tensor], dice: Generator) -> Tensor | None:
        """The language of audio that each clip of a batch hears."""
        heard = batch.get("loa")
        return (
            self._switched(heard, batch["written"], dice)
            if heard is not None and "written" in batch
            else heard
        )

    def _switched(self, truth: Tensor, written: Tensor, dice: Generator) -> Tensor:
        """True language of audio for some clips, written for the others."""
        true = (torch.rand(len(truth), generator=dice) < self.options.truth).to(truth.device)
        return torch.where(true[:, None, None], truth, written)

    def _conditioning(self, batch: dict[str, Tensor], heard: Tensor | None) -> Conditioning:
        film = (
            batch["clap_audio" if self.config.translator is None else "clap_text"]
            if self.config.unet.film
            else None
        )
        contexts = [Context.full(heard)] if heard is not None else []
        if "text" in batch:
            contexts.append(Context(batch["text"], batch["text_mask"]))
        draft = None if self.draft is None else self._drafted(batch)
        return Conditioning(film, tuple(contexts[: len(self.config.unet.heard)]), draft)

    @torch.no_grad()
    def _drafted(self, batch: dict[str, Tensor]) -> Tensor:
        assert self.draft is not None
        drawn: Tensor = self.draft(
            Context(batch["text"], batch["text_mask"]), batch["latent"].shape[2]
        )
        return drawn.float()

    def preview(self) -> Preview:
        """A few captions of the data, sampled with guidance and decoded to mels."""
        device = next(self.unet.parameters()).device
        batch = self.few(device)
        conditioning = self._conditioning(batch, self._heard(batch))
        null = self.null.of(conditioning)
        z = torch.randn(batch["latent"].shape, generator=torch.Generator().manual_seed(0)).to(
            device
        )
        *_, last = self.walk(z, conditioning, null)
        return self.beside("samples", batch["latent"], last.z)

    def walk(self, z: Tensor, conditioning: Conditioning, null: Conditioning) -> Iterator[Step]:
        """From noise to the latents of a preview."""
        denoise = guided(self.unet, conditioning, null, PREVIEW_GUIDANCE, self.schedule)
        return dpmpp_2m(denoise, z, self.schedule, PREVIEW_STEPS)

    def _heard(self, batch: dict[str, Tensor]) -> Tensor | None:
        return batch.get("written", batch.get("loa"))


class DiffusionOptions(HearingOptions):
    """drop: share of clips whose conditions are all nulled; drop_each: contexts and draft, each by itself.

    min_snr: clamp of the loss weight (arXiv 2303.09556) or null. logit_normal: mean and deviation of the logit of t / steps
    (arXiv 2403.03206, eq. 19), or null for steps drawn evenly.
    """

    drop: float = 0.1
    drop_each: float = 0.05
    min_snr: float | None = 5.0
    logit_normal: tuple[float, float] | None = None


class DiffusionStage(HearingStage):
    """Player: the UNet, hearing the sound's own language of audio, or with no translator its CLAP vector, and its caption."""

    Options = DiffusionOptions
    parts = {"unet": "unet"}  # noqa: RUF012

    def losses(self, batch: dict[str, Tensor], player: str, dice: Generator) -> Losses:
        return self._denoising(batch, self._mixed(batch, dice), dice)

    def _denoising(self, batch: dict[str, Tensor], heard: Tensor | None, dice: Generator) -> Losses:
        latent = batch["latent"]
        t = self._times(len(latent), dice).to(latent.device)
        noise = torch.randn(latent.shape, generator=dice).to(latent.device)
        conditioning = self._dropped(self._conditioning(batch, heard), dice)
        z = self.schedule.q_sample(latent, noise, t)
        error = (
            self.unet(z, t, conditioning).float() - self.schedule.target(latent, noise, t)
        ).square()
        if self.audible is not None:
            error = self.audible.to(error) * error
        return {
            "unet/mse": (
                self.schedule.weight(t, self.options.min_snr) * error.mean(dim=(1, 2, 3))
            ).mean()
        }

    def _times(self, count: int, dice: Generator) -> Tensor:
        """The steps t [count] to learn from."""
        steps = self.config.schedule.steps
        if self.options.logit_normal is None:
            return torch.randint(steps, (count,), generator=dice)
        mean, deviation = self.options.logit_normal
        share = torch.sigmoid(mean + deviation * torch.randn(count, generator=dice))
        return (share * steps).long().clamp(max=steps - 1)

    def _dropped(self, conditioning: Conditioning, dice: Generator) -> Conditioning:
        """Null every condition of some clips, and single conditions of others."""
        size = len(
            conditioning.film if conditioning.film is not None else conditioning.contexts[0].tokens
        )
        whole = torch.rand(size, generator=dice) < self.options.drop
        contexts = []
        for i, context in enumerate(conditioning.contexts):
            out = (whole | (torch.rand(size, generator=dice) < self.options.drop_each)).to(
                context.tokens.device
            )
            null = self.null.context(i, context)
            tokens = torch.where(out[:, None, None], null.tokens, context.tokens)
            contexts.append(Context(tokens, torch.where(out[:, None], null.mask, context.mask)))
        film = conditioning.film
        if film is not None:
            film = torch.where(whole.to(film.device)[:, None], self.null.film.to(film), film)
        draft = conditioning.draft
        if draft is not None:
            out = (whole | (torch.rand(size, generator=dice) < self.options.drop_each)).to(
                draft.device
            )
            draft = draft * ~out[:, None, None, None]
        return Conditioning(film, tuple(contexts), draft)


class JointOptions(DiffusionOptions):
    """translation: weight of the translator's own loss."""

    truth: float = 0.25
    translation: float = 1.0


class JointStage(DiffusionStage):
    """Player: UNet and translator as one model, with the switcher between true and written language of audio."""

    Options = JointOptions
    parts = {"unet": "model.unet", "translator": "model.translator"}  # noqa: RUF012

    def setup(self) -> None:
        self.read()
        self.weights = {"translator/l1": self.options.translation}
        self.translator = cast(Translator, self.learnt("translator"))
        self.players = {"model": nn.ModuleDict({"unet": self.unet, "translator": self.translator})}

    def losses(self, batch: dict[str, Tensor], player: str, dice: Generator) -> Losses:
        sources, truth = sources_of(batch), batch["loa"]
        taught = l1_loss(self.translator.teacher(sources, truth).float(), truth)
        written = self.translator.generate(sources, truth.shape[1]).tokens.float()
        heard = self._switched(truth, written, dice)
        return {"translator/l1": taught, **self._denoising(batch, heard, dice)}

    def _heard(self, batch: dict[str, Tensor]) -> Tensor:
        return self.translator.generate(sources_of(batch), batch["loa"].shape[1]).tokens.float()
