"""A UNet that goes from noise to sound in few leaps, taught by the one that takes many small steps with guidance.

Knows which points of the teacher's path must lead to the same place. Refuses to know how a leap is taken when sampling.

The way from noise to sound is cut at the student's stops. Within a piece every point of the teacher's path belongs to one end:
what the student says from t, and what it says itself from a little further on after one small step of the teacher, must agree
(consistency distillation, arXiv 2303.01469, piecewise as in arXiv 2405.18407; guidance distilled as in arXiv 2310.04378).
With the student itself, held fixed, as the target (arXiv 2310.14189, section 3.2) a run needs no third network.

Letters: B batch, C T' F' latent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor

from ...config.architecture import StudentConfig
from ...diffusion.guidance import Guidance
from ...diffusion.samplers import leaps
from ...errors import ConfigError
from ...loaders.model_folder import read_config, write_config
from ...models.unet import UNet
from ...types import Conditioning, Step, cat_conditionings
from .base import Losses
from .diffusion import HearingOptions, HearingStage


class StudentOptions(HearingOptions):
    """stops: the steps t that the student will be asked at, noisiest first. substeps: steps of the teacher from one stop to the
    next. guidance, parallel, guidance_stop: how the teacher is guided; the student needs no guidance any more.
    """

    truth: float = 0.0
    stops: tuple[int, ...] = StudentConfig().stops
    substeps: int = Field(8, gt=0)
    guidance: float = Field(3.0, gt=1)
    parallel: float = 0.0
    guidance_stop: float = 0.76


class StudentStage(HearingStage):
    """Player: the student, which begins as its teacher, the UNet of the run's model folder."""

    Options = StudentOptions
    taught = "student"
    parts = {"student": "unet"}  # noqa: RUF012

    def setup(self) -> None:
        super().setup()
        self.teacher = cast(UNet, self.given("unet"))
        if not (self.model / "student.safetensors").is_file():
            self.unet.load_state_dict(self.teacher.state_dict())
        options = self.options
        self.guidance = Guidance(options.guidance, options.parallel, stop=options.guidance_stop)
        self.alpha, self.sigma = (
            torch.tensor(
                [
                    *(
                        pair[i]
                        for pair in map(
                            self.schedule.alpha_sigma, range(self.schedule.config.steps)
                        )
                    ),
                    1.0 - i,
                ]
            )
            for i in (0, 1)
        )  # index -1 is clean data
        self.grid = self._grid()

    def _grid(self) -> Tensor:
        """Times [pieces, substeps + 1] of the teacher's path, each piece from a stop to the next, the last to clean data."""
        stops, steps = StudentConfig(self.options.stops).stops, self.schedule.config.steps
        ends = [*stops[1:], -1]
        pieces = [
            torch.linspace(a, b, self.options.substeps + 1).round().long()
            for a, b in zip(stops, ends, strict=True)
        ]
        grid = torch.stack(pieces)
        if stops[0] >= steps or int(grid[:, :-1].min()) < 0 or not bool((grid.diff() < 0).all()):
            raise ConfigError(
                f"stops {list(stops)} leave no room for {self.options.substeps} substeps each below {steps}"
            )
        return grid

    def losses(self, batch: dict[str, Tensor], player: str, dice: Generator) -> Losses:
        latent = batch["latent"]
        piece = torch.randint(len(self.grid), (len(latent),), generator=dice)
        place = torch.randint(self.options.substeps, (len(latent),), generator=dice)
        t, u, s = (
            self.grid[piece, at].to(latent.device)
            for at in (place, place + 1, torch.full_like(place, -1))
        )
        conditioning = self._conditioning(batch, self._mixed(batch, dice))
        z = self.schedule.q_sample(
            latent, torch.randn(latent.shape, generator=dice).to(latent.device), t
        )
        target = self._target(z, t, u, s, conditioning)
        error = (self.unet(z, t, conditioning).float() - target).square()
        if self.audible is not None:
            error = self.audible.to(error) * error
        return {"unet/mse": error.mean()}

    @torch.no_grad()
    def _target(
        self, z: Tensor, t: Tensor, u: Tensor, s: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """What the student should predict for z at t: that whose leap from t to s ends where the teacher's step to u and then
        the student's own leap from u to s end.

        A leap moves z to z' = c x0 + (sigma' / sigma) z with c = alpha' - sigma' alpha / sigma, so the x0 wanted is a mean of
        the teacher's and the student's later one, weighted by their shares of c.
        """
        first = self._guided(z, t, conditioning)
        between = self._moved(z, first, t, u)
        later, _ = self.schedule.split(
            between, u.clamp(min=0), self.unet(between, u.clamp(min=0), conditioning).float()
        )
        share = torch.where(u == s, 0.0, self._reach(u, s) / self._reach(t, s))[:, None, None, None]
        x0 = first + share * (later - first)
        alpha, sigma = self._at(t)
        return self.schedule.target(x0, (z - alpha * x0) / sigma, t)

    def _guided(self, z: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """The teacher's x0, guided where guidance reaches."""
        both = cat_conditionings(self.null.of(conditioning), conditioning)
        without, with_ = self.teacher(torch.cat([z, z]), torch.cat([t, t]), both).float().chunk(2)
        plain = self.schedule.split(z, t, with_)[0]
        total = self.schedule.config.steps
        inside = (total - t <= self.guidance.stop * total)[:, None, None, None]
        return self.schedule.split(
            z, t, torch.where(inside, self.guidance.mix(with_, without, plain), with_)
        )[0]

    def _at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(
            table.to(t.device)[t][:, None, None, None] for table in (self.alpha, self.sigma)
        )  # type: ignore[return-value]

    def _reach(self, t: Tensor, s: Tensor) -> Tensor:
        """c of the leap from t to s, [B]; 0 where there is none."""
        (alpha, sigma), (alpha_s, sigma_s) = self._at(t), self._at(s)
        return torch.where(
            t == s, 0.0, (alpha_s - sigma_s * alpha / sigma.clamp(min=1e-9)).flatten()
        )

    def _moved(self, z: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
        alpha, sigma = self._at(t)
        alpha_s, sigma_s = self._at(s)
        return alpha_s * x0 + sigma_s / sigma * (z - alpha * x0)

    def walk(self, z: Tensor, conditioning: Conditioning, null: Conditioning) -> Iterator[Step]:
        """In leaps, unguided."""
        return leaps(
            lambda z, t: self.unet(z, t, conditioning), z, self.schedule, self.options.stops
        )

    def finish(self, model: Path) -> None:
        name, config, card = read_config(model)
        write_config(model, replace(config, student=StudentConfig(self.options.stops)), name, card)
