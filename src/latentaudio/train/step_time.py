"""The time of a step on this machine, measured on steps of the stage itself.

The weights are random and the data are zeros, but all shapes are those of the run. The speed of
large matrix products says little about small networks: normalization, copies and small products
take most of their time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator

from ..config.architecture import ModelConfig
from ..device import fast_dtype
from .optim import optimizer_step
from .recipe import Recipe
from .skeleton import build_skeleton
from .stages.base import Stage, stage_class
from .stages.latent_stage import LatentStage
from .trainable import Trainable, build_trainables, enable_gradients_of
from .validation import move_to

Timer = Callable[[], float]
"""Returns seconds, such as `time.perf_counter`."""
_WHOLE_BATCH_SECONDS = 3.0  # of a slower batch, a few clips are measured
_FEW_CLIPS = 2  # a contrastive loss needs two
_NUM_MEASURED = 2  # the faster one counts, since other programs may disturb


def seconds_per_step(
    recipe: Recipe,
    config: ModelConfig,
    device: torch.device,
    clip_frames: int,
    timer: Timer = time.perf_counter,
) -> float:
    """Return the time of a step, without the reading of its batch.

    The losses of a few clips are measured, then those of a whole micro-batch if it is fast enough.

    Args:
        recipe: The recipe.
        config: Architecture of the model.
        device: The device.
        clip_frames: Mel frames of a clip in stages on latents.
        timer: Clock.
    """
    num_clips = clips_per_batch(recipe, clip_frames)
    few = min(_FEW_CLIPS, num_clips)
    losses_s, update_s = _measure(
        recipe_with_clips(recipe, few, clip_frames), config, device, timer
    )
    if few < num_clips:
        losses_s *= num_clips / few
        if losses_s < _WHOLE_BATCH_SECONDS:
            complete = recipe_with_clips(recipe, num_clips, clip_frames)
            losses_s, update_s = _measure(complete, config, device, timer)
    return recipe.gradient_accumulation_steps * losses_s + update_s


def clips_per_batch(recipe: Recipe, clip_frames: int) -> int:
    """Return the clips of a micro-batch.

    Args:
        recipe: The recipe.
        clip_frames: Mel frames of a clip in stages on latents.
    """
    kind = stage_class(recipe.stage)
    if not issubclass(kind, LatentStage):
        return recipe.batch_size
    default = kind.Options.model_fields["frames_per_batch"].default
    frames: int = recipe.options.get("frames_per_batch", default)
    return max(1, frames // clip_frames)


def recipe_with_clips(recipe: Recipe, num_clips: int, clip_frames: int) -> Recipe:
    """Return a recipe whose micro-batches have so many clips.

    Args:
        recipe: The recipe.
        num_clips: Number of clips.
        clip_frames: Mel frames of a clip in stages on latents.
    """
    if not issubclass(stage_class(recipe.stage), LatentStage):
        return recipe.model_copy(update={"batch_size": num_clips})
    options = recipe.options | {"frames_per_batch": num_clips * clip_frames}
    return recipe.model_copy(update={"options": options})


def _measure(
    recipe: Recipe, config: ModelConfig, device: torch.device, timer: Timer
) -> tuple[float, float]:
    """Return seconds of the losses with their gradients, and of all updates."""
    stage = build_skeleton(recipe, config, is_meta=False)
    stage.step = recipe.steps  # discriminators have begun
    for module in (*stage.trainables.values(), *stage.frozen.values()):
        module.to(device)
    trainables = build_trainables(stage, recipe)
    batch = move_to(stage.batch(0), device)
    times = []
    for step in range(1 + _NUM_MEASURED):  # the first one also chooses kernels
        times.append(_time_step(stage, trainables, batch, step, timer))
    return min(times[1:], key=sum)


def _time_step(
    stage: Stage, trainables: dict[str, Trainable], batch: Any, step: int, timer: Timer
) -> tuple[float, float]:
    """Train one step; return seconds of the losses with their gradients, and of the updates."""
    device = next(iter(trainables.values())).parameters[0].device
    dtype = fast_dtype(device, stage.recipe.precision)
    losses_s = 0.0
    update_s = 0.0
    parameters = {name: trainable.parameters for name, trainable in trainables.items()}
    for name, trainable in trainables.items():
        enable_gradients_of(name, parameters)
        start = timer()
        with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
            losses = stage.losses(batch, name, Generator().manual_seed(step))
            total = stage.total_loss(losses)
        total.backward()
        total.item()  # waits for the device
        middle = timer()
        optimizer_step(trainable.optimizer, trainable.module, 0.0, 1.0)
        trainable.ema.update(trainable.module, step)
        next(iter(trainable.parameters)).sum().item()
        losses_s += middle - start
        update_s += timer() - middle
    return losses_s, update_s
