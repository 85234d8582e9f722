"""The error of a UNet at fixed timesteps, with fixed noise: a smooth curve for each noise level.

Shapes: B batch, C T' F' latent.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...diffusion.schedule import Schedule
from ...models.unet import UNet
from ...types import Conditioning

NUM_LEVELS = 8
"""Timesteps at which the error is measured."""


@torch.no_grad()
def errors_by_timestep(
    unet: UNet, schedule: Schedule, latent: Tensor, conditioning: Conditioning
) -> dict[str, float]:
    """Return the mean squared error at each of `NUM_LEVELS` timesteps, by name.

    Args:
        unet: The network.
        schedule: Noise levels of the timesteps.
        latent: Latents [B, C, T', F'] of the clips.
        conditioning: Conditioning of the clips.
    """
    # CPU noise of a fixed seed: all steps and devices see the same.
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0)).to(latent.device)
    num_timesteps = schedule.config.num_train_timesteps
    errors = {}
    for level in range(NUM_LEVELS):
        timestep = (2 * level + 1) * num_timesteps // (2 * NUM_LEVELS)
        t = torch.full((len(latent),), timestep, device=latent.device)
        z = schedule.q_sample(latent, noise, t)
        target = schedule.training_target(latent, noise, t)
        error = (unet(z, t, conditioning).float() - target).square()
        errors[f"unet/mse_at_t{timestep:03d}"] = float(error.mean())
    return errors
