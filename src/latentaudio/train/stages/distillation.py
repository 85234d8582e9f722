"""The distillation stage: a UNet that samples in few steps, without guidance.

Sampling is cut into phases at the student's timesteps. Within a phase all points of the teacher's
trajectory lead to the end of the phase. This is consistency distillation (arXiv 2303.01469) in
phases (arXiv 2405.18407). The student's jump from t must agree with one small, guided step of the
teacher and the student's own jump from there. Guidance is distilled as in arXiv 2310.04378. The
target is the student itself without gradients (arXiv 2310.14189, section 3.2), so no third network
is needed.

Shapes: B batch, C T' F' latent, P phases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Generator, Tensor

from ...config.architecture import DistilledUNetConfig
from ...data.pre_encoded import LATENT
from ...diffusion.guidance import Guidance
from ...diffusion.samplers.distilled import distilled
from ...errors import ConfigError
from ...loaders.model_folder import read_config, write_config
from ...models.unet import UNet
from ...types import Conditioning, Step, cat_conditionings
from ..recipe import Probability
from .base import Losses
from .diffusion import LatentDiffusionOptions, LatentDiffusionStage

Timestep = Annotated[int, Field(ge=0, lt=10**6)]
_CLEAN = -1  # index of clean data in the tables of alpha and sigma


class DistillationOptions(LatentDiffusionOptions):
    """Options of the distillation stage.

    Attributes:
        true_loa_prob: See `LatentDiffusionOptions`.
        timesteps: Timesteps that the student samples at, the noisiest first.
        teacher_substeps: Steps of the teacher per phase.
        guidance_scale: Guidance of the teacher.
        apg_eta: Weight of the guidance component parallel to the prediction (0 = full APG,
            1 = plain classifier-free guidance).
        guidance_start: Fraction of the sampling before which the teacher is not guided.
        guidance_stop: Fraction of the sampling after which the teacher is not guided.
    """

    true_loa_prob: Probability = 0.0
    timesteps: tuple[Timestep, ...] = DistilledUNetConfig().timesteps
    teacher_substeps: int = Field(8, gt=0, le=1000)
    guidance_scale: float = Field(3.0, gt=1, le=100)
    apg_eta: Probability = 0.0
    guidance_start: Probability = 0.0
    guidance_stop: Probability = 0.76


class DistillationStage(LatentDiffusionStage):
    """Train the distilled UNet. Trainables: "unet", which starts as a copy of the teacher."""

    Options = DistillationOptions
    component = "distilled_unet"
    components = {"distilled_unet": "unet"}  # noqa: RUF012

    def setup(self) -> None:
        """Open the data, load the teacher and build the student."""
        super().setup()
        options = self.options
        self.teacher = cast(UNet, self.load_frozen("unet"))
        if not self.has_component(self.component):
            self.unet.load_state_dict(self.teacher.state_dict())
        self.guidance = Guidance(
            options.guidance_scale,
            options.apg_eta,
            start=options.guidance_start,
            stop=options.guidance_stop,
        )
        num_timesteps = self.schedule.config.num_train_timesteps
        # The last row is clean data, so that index -1 finds it.
        table = [self.schedule.alpha_sigma(t) for t in (*range(num_timesteps), _CLEAN)]
        self.alpha = torch.tensor([alpha for alpha, _ in table])
        self.sigma = torch.tensor([sigma for _, sigma in table])
        self.grid = self._build_grid()

    def _build_grid(self) -> Tensor:
        """Return the teacher's timesteps [P, teacher_substeps + 1], each row one phase.

        A phase goes from one timestep of the student to the next, the last one to clean data.
        """
        timesteps = DistilledUNetConfig(self.options.timesteps).timesteps
        num_substeps = self.options.teacher_substeps
        num_timesteps = self.schedule.config.num_train_timesteps
        phases = []
        for start, end in zip(timesteps, [*timesteps[1:], _CLEAN], strict=True):
            phases.append(torch.linspace(start, end, num_substeps + 1).round().long())
        grid = torch.stack(phases)
        is_in_range = timesteps[0] < num_timesteps and int(grid[:, :-1].min()) >= 0
        is_falling = bool((grid.diff() < 0).all())
        if not is_in_range or not is_falling:
            raise ConfigError(
                f"options.timesteps {list(timesteps)} are too close for {num_substeps} teacher "
                f"substeps each, or not below {num_timesteps}; use fewer or choose others"
            )
        return grid

    def losses(self, batch: dict[str, Tensor], trainable: str, generator: Generator) -> Losses:
        """Return the squared error of the student's prediction to `consistency_target`."""
        latent = batch[LATENT]
        num_clips = len(latent)
        phase = torch.randint(len(self.grid), (num_clips,), generator=generator)
        substep = torch.randint(self.options.teacher_substeps, (num_clips,), generator=generator)
        t = self.grid[phase, substep].to(latent.device)
        t_next = self.grid[phase, substep + 1].to(latent.device)
        t_end = self.grid[phase, -1].to(latent.device)
        encodings = self.complete_encodings(batch, self.select_loa(batch, generator))
        conditioning = encodings.conditioning(self.config.unet)
        unconditional = self.unconditional.like(encodings).conditioning(self.config.unet)
        noise = torch.randn(latent.shape, generator=generator).to(latent.device)
        z = self.schedule.q_sample(latent, noise, t)
        target = self.consistency_target(z, t, t_next, t_end, conditioning, unconditional)
        error = (self.unet(z, t, conditioning).float() - target).square()
        return {"unet/mse": self.weight_channels(error).mean()}

    @torch.no_grad()
    def consistency_target(
        self,
        z: Tensor,
        t: Tensor,
        t_next: Tensor,
        t_end: Tensor,
        conditioning: Conditioning,
        unconditional: Conditioning,
    ) -> Tensor:
        """Return the prediction [B, C, T', F'] whose jump from t to t_end ends at the right place.

        That is the end of the teacher's step from t to t_next followed by the student's jump from
        t_next to t_end. A jump moves z to z' = c x0 + (sigma' / sigma) z with
        c = alpha' - sigma' alpha / sigma. The x0 of the whole jump is therefore the mean of the
        teacher's and the student's x0, weighted by their fractions of c.

        Args:
            z: Noisy latents [B, C, T', F'].
            t: Timesteps [B] of z.
            t_next: Timesteps [B] after the teacher's step.
            t_end: Timesteps [B] at the end of the phase, -1 for clean data.
            conditioning: Conditioning of the clips.
            unconditional: Its unconditional form.
        """
        teacher_x0 = self._teacher_x0(z, t, conditioning, unconditional)
        z_next = self._jump(z, teacher_x0, t, t_next)
        # At the end of a phase the student's x0 has weight 0, and its timestep may be -1.
        student_t = t_next.clamp(min=0)
        prediction = self.unet(z_next, student_t, conditioning).float()
        student_x0, _ = self.schedule.to_x0_and_eps(z_next, student_t, prediction)
        fraction = self._x0_coefficient(t_next, t_end) / self._x0_coefficient(t, t_end)
        weight = torch.where(t_next == t_end, 0.0, fraction)[:, None, None, None]
        x0 = teacher_x0 + weight * (student_x0 - teacher_x0)
        alpha, sigma = self._alpha_sigma(t)
        return self.schedule.training_target(x0, (z - alpha * x0) / sigma, t)

    def _teacher_x0(
        self, z: Tensor, t: Tensor, conditioning: Conditioning, unconditional: Conditioning
    ) -> Tensor:
        """Return the teacher's x0, guided from `guidance_start` to `guidance_stop`."""
        both = cat_conditionings(unconditional, conditioning)
        predictions = self.teacher(torch.cat([z, z]), torch.cat([t, t]), both).float()
        uncond, cond = predictions.chunk(2)
        cond_x0 = self.schedule.to_x0_and_eps(z, t, cond)[0]
        total = self.schedule.config.num_train_timesteps
        active = [self.guidance.is_active(step, total) for step in t.tolist()]
        is_guided = torch.tensor(active, device=z.device)[:, None, None, None]
        guided = self.guidance.combine(cond, uncond, cond_x0)
        return self.schedule.to_x0_and_eps(z, t, torch.where(is_guided, guided, cond))[0]

    def _alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha and sigma [B, 1, 1, 1] of timesteps [B]; -1 is clean data."""
        alpha = self.alpha.to(t.device)[t]
        sigma = self.sigma.to(t.device)[t]
        return alpha[:, None, None, None], sigma[:, None, None, None]

    def _x0_coefficient(self, t: Tensor, t_end: Tensor) -> Tensor:
        """Return c [B] of a jump from t to t_end, 0 if both are equal."""
        alpha, sigma = self._alpha_sigma(t)
        alpha_end, sigma_end = self._alpha_sigma(t_end)
        coefficient = alpha_end - sigma_end * alpha / sigma.clamp(min=1e-9)
        return torch.where(t == t_end, 0.0, coefficient.flatten())

    def _jump(self, z: Tensor, x0: Tensor, t: Tensor, t_end: Tensor) -> Tensor:
        """Return z at t_end after one DDIM step (arXiv 2010.02502, eq. 12)."""
        alpha, sigma = self._alpha_sigma(t)
        alpha_end, sigma_end = self._alpha_sigma(t_end)
        return alpha_end * x0 + sigma_end / sigma * (z - alpha * x0)

    def sample(
        self, z: Tensor, conditioning: Conditioning, unconditional: Conditioning
    ) -> Iterator[Step]:
        """Yield the steps of a preview: the student's own timesteps, without guidance."""

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            prediction: Tensor = self.unet(z, t, conditioning)
            return prediction

        return distilled(denoise, z, self.schedule, self.options.timesteps)

    def on_export(self, model_folder: Path) -> None:
        """Store the student's timesteps in the model's config."""
        name, config, card = read_config(model_folder)
        distilled = DistilledUNetConfig(self.options.timesteps)
        write_config(model_folder, replace(config, distilled_unet=distilled), name, card)
