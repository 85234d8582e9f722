"""Losses that tell how far a training is: on held-out clips, and at fixed timesteps.

Clips, noise and all other random numbers are the same each time, so that curves are smooth and runs
can be compared. Nothing here changes the training.
"""

from __future__ import annotations

import torch

from ..config.streams import Stream
from ..data.dataset import seeded_generator
from ..device import fast_dtype
from .recipe import Recipe
from .stages.base import Batch, Stage

PREFIX = "validation/"
"""Before the names of losses of held-out clips."""


def validation_losses(
    stage: Stage, device: torch.device, with_held_out: bool, with_timesteps: bool
) -> dict[str, float]:
    """Return losses with the weights that are in place.

    Args:
        stage: The stage, with averaged weights in place and without gradients.
        device: Device of the stage.
        with_held_out: Whether to measure the losses of held-out clips.
        with_timesteps: Whether to measure losses at fixed timesteps, if the stage has any.
    """
    values: dict[str, float] = {}
    with stage.held_out_data():
        if with_held_out:
            values |= _held_out_losses(stage, device)
        if with_timesteps:
            values |= stage.losses_by_timestep()
    return values


def _held_out_losses(stage: Stage, device: torch.device) -> dict[str, float]:
    recipe = stage.recipe
    assert recipe.validation is not None
    num_batches = recipe.validation.num_batches
    sums: dict[str, float] = {}
    for position in range(num_batches):
        batch = move_to(stage.batch(position), device)
        for name in stage.trainables:
            for loss_name, value in _losses(stage, batch, name, position, device).items():
                sums[loss_name] = sums.get(loss_name, 0.0) + value
    return {PREFIX + name: total / num_batches for name, total in sums.items()}


def _losses(
    stage: Stage, batch: Batch, trainable: str, position: int, device: torch.device
) -> dict[str, float]:
    """Return the losses of one batch, with random numbers of its position alone."""
    recipe: Recipe = stage.recipe
    generator = seeded_generator(recipe.seed, Stream.VALIDATION, position)
    torch.manual_seed(generator.initial_seed())  # the next step seeds it anew
    dtype = fast_dtype(device, recipe.precision)
    with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
        losses = stage.losses(batch, trainable, generator)
    return {name: float(loss) for name, loss in losses.items()}


def move_to(batch: Batch, device: torch.device) -> Batch:
    """Return a batch on a device.

    Args:
        batch: Tensors in dicts, lists and tuples. Other values stay.
        device: The device.
    """
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: move_to(value, device) for name, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(move_to(value, device) for value in batch)
    return batch
