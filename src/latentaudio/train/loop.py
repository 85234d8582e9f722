"""The training loop: any stage on any device, with an exact resume.

Every random draw is keyed by the seed and the step. Step N is therefore a pure function of the
recipe and of the state after step N - 1. A resumed run is bit-identical to one that was never
stopped, and a checkpoint needs no state of a data loader or generator.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ..data.dataset import seeded_generator
from ..device import fast_dtype, pick_device
from ..errors import LatentAudioError
from ..fileio import lock_folder
from ..interrupts import deferred_stops, raise_interrupt
from ..loaders.key_mapping import current_key
from ..loaders.model_folder import save_component
from . import checkpoint
from .logger import LOG_FILE, RunLogger
from .optim import Ema, build_optimizer, learning_rate, optimizer_step
from .recipe import Recipe
from .run_folder import UNTRAINED_MARKER, prepare_run_folder
from .stages.base import Batch, PrepareProgress, Stage, build_stage

StepCallback: TypeAlias = Callable[[int, int, dict[str, float], float], None]
"""Called after every step with (steps done, steps in all, losses by name, seconds left)."""

_SEED_STRIDE = 1_000_003  # a prime beyond the steps of any run, so that seeds do not overlap


@dataclass
class Trainable:
    """One module in training.

    Attributes:
        module: The module.
        optimizer: Optimizer of its trainable parameters.
        ema: Averaged weights.
        parameters: Parameters that are trained, without those that the stage froze.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema
    parameters: list[nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]

    def state_dict(self) -> dict[str, Any]:
        """Return all state that an exact resume needs."""
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.shadow,
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore a saved state.

        Args:
            state: Result of `state_dict`.
            device: Device of the averaged weights.
        """
        # checkpoints of version 0.1 have older names of tensors
        weights = {current_key(name): value for name, value in state["module"].items()}
        self.module.load_state_dict(weights)
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.shadow = {
            current_key(name): value.to(device) for name, value in state["ema"].items()
        }


@dataclass
class _Clock:
    """Speed and time limit of a run. Setup counts for the limit, but not for the speed."""

    max_seconds: float
    first_step: int
    start: float
    loop_start: float = field(default_factory=time.monotonic)

    def seconds_per_step(self, step: int) -> float:
        return (time.monotonic() - self.loop_start) / (step - self.first_step)

    def is_out_of_time(self, seconds_per_step: float) -> bool:
        """Return whether the next step would end after the limit."""
        return time.monotonic() - self.start + seconds_per_step > self.max_seconds

    def seconds_left(self, num_steps: int, seconds_per_step: float) -> float:
        until_limit = self.max_seconds - (time.monotonic() - self.start)
        return min(num_steps * seconds_per_step, until_limit)


def train(
    recipe: Recipe,
    data: tuple[Path, ...],
    run_folder: Path,
    init_from: tuple[str | Path, ...] = (),
    max_minutes: float | None = None,
    on_step: StepCallback | None = None,
    on_prepare: PrepareProgress | None = None,
) -> int:
    """Train the stage of a recipe, or resume the run that its folder holds.

    Ctrl-C and SIGTERM stop after the current step, with a checkpoint.

    Args:
        recipe: Recipe of the run.
        data: Folders of captioned audio.
        run_folder: Folder of the run. `run_folder/model` becomes a model folder.
        init_from: Models as `latentaudio.load` takes them, or components of them, such as
            "mini:vae,clap", that the stage builds on. A run with a checkpoint ignores them.
        max_minutes: Stop with a checkpoint after this time.
        on_step: Called after every step.
        on_prepare: Called before the first step, while data is prepared.

    Returns:
        Number of steps done, including those before a resume.

    Raises:
        ConfigError: The recipe contradicts itself, the data or the run that the folder holds.
        DataError: Data cannot be read, or the folder cannot be written.
        WeightsError: Weights of a component or a checkpoint are missing or damaged.
        KeyboardInterrupt: Ctrl-C, after the checkpoint; `interrupts.Terminated` after SIGTERM.
    """
    device = pick_device(recipe.device)
    is_new = not run_folder.exists()
    try:
        with lock_folder(run_folder, "training"):
            return _train(
                recipe, data, run_folder, init_from, max_minutes, on_step, on_prepare, device
            )
    except LatentAudioError:
        if is_new and not checkpoint.exists(run_folder):  # the run was refused
            shutil.rmtree(run_folder, ignore_errors=True)
        raise


def _train(
    recipe: Recipe,
    data: tuple[Path, ...],
    run_folder: Path,
    init_from: tuple[str | Path, ...],
    max_minutes: float | None,
    on_step: StepCallback | None,
    on_prepare: PrepareProgress | None,
    device: torch.device,
) -> int:
    """Train in a folder that no other process writes."""
    start = time.monotonic()
    config = prepare_run_folder(recipe, data, run_folder, init_from)
    torch.manual_seed(recipe.seed)  # initial weights
    stage = build_stage(recipe, config, data, run_folder / "model", on_prepare)
    trainables = _build_trainables(stage, recipe, device)
    step = _resume(run_folder, trainables, device)
    if step == recipe.steps:  # a kill is possible between the last checkpoint and the export
        _export(stage, trainables, run_folder)
    max_seconds = float("inf") if max_minutes is None else 60 * max_minutes
    clock = _Clock(max_seconds, first_step=step, start=start)
    with closing(RunLogger(run_folder, recipe)) as logger, deferred_stops() as stop:
        while step < recipe.steps:
            losses = _train_step(stage, trainables, recipe, step, device)
            step += 1
            pace = clock.seconds_per_step(step)
            out_of_time = clock.is_out_of_time(pace)
            stop_signal = None if step == recipe.steps else stop.signal_number
            is_last = step == recipe.steps or out_of_time or stop_signal is not None
            if step % recipe.log_every == 0:
                logger.log(step, losses, 1 / pace)
            if (step % recipe.sample_every == 0 or is_last) and stop_signal is None:
                with averaged_weights(trainables):
                    logger.log_preview(step, stage.preview())
            if step % recipe.save_every == 0 or is_last:
                _save(stage, trainables, run_folder, step)
            if on_step is not None:
                seconds_left = clock.seconds_left(recipe.steps - step, pace)
                on_step(step, recipe.steps, losses, seconds_left)
            if stop_signal is not None:
                raise_interrupt(
                    stop_signal,
                    f"stopped after step {step} with a checkpoint; the same command resumes it",
                )
            if out_of_time:
                break
    return step


def _build_trainables(stage: Stage, recipe: Recipe, device: torch.device) -> dict[str, Trainable]:
    for module in (*stage.trainables.values(), *stage.frozen.values()):
        module.to(device)
    trainables = {}
    for name, module in stage.trainables.items():
        optimizer = build_optimizer(module, recipe.optim)
        trainables[name] = Trainable(module.train(), optimizer, Ema(module, recipe.ema_decay))
    return trainables


def _resume(run_folder: Path, trainables: dict[str, Trainable], device: torch.device) -> int:
    """Restore the newest checkpoint; return its number of steps."""
    latest = checkpoint.load_latest(run_folder)
    step = 0
    if latest is not None:
        step, states = latest
        with checkpoint.damage_reported(run_folder, step):
            for name, trainable in trainables.items():
                trainable.load_state_dict(states[name], device)
    checkpoint.trim_log(run_folder / LOG_FILE, step)
    return step


def _train_step(
    stage: Stage,
    trainables: dict[str, Trainable],
    recipe: Recipe,
    step: int,
    device: torch.device,
) -> dict[str, float]:
    """Update every trainable once, in order; return losses and gradient norms by name."""
    num_micro_batches = recipe.gradient_accumulation_steps
    dtype = fast_dtype(device, recipe.precision)
    lr = learning_rate(step, recipe.steps, recipe.optim)
    batches = []
    for micro in range(num_micro_batches):
        batches.append(_to_device(stage.batch(step * num_micro_batches + micro), device))
    logged: dict[str, float] = {}
    # Dropout inside the modules draws from the global generator.
    torch.manual_seed(recipe.seed * _SEED_STRIDE + step)
    for index, (name, trainable) in enumerate(trainables.items()):
        _enable_gradients_of(trainable, trainables)
        for micro, batch in enumerate(batches):
            generator = seeded_generator(recipe.seed, step, micro, index)
            with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
                losses = stage.losses(batch, name, generator)
                total = torch.zeros((), device=device)
                for loss_name, loss in losses.items():
                    total = total + stage.loss_weights.get(loss_name, 1.0) * loss
            (total / num_micro_batches).backward()
            for loss_name, loss in losses.items():
                logged[loss_name] = float(loss.detach())
        norm = optimizer_step(trainable.optimizer, trainable.module, lr, recipe.optim.max_grad_norm)
        trainable.ema.update(trainable.module, step)
        logged[f"{name}/grad_norm"] = float(norm)
    return logged


def _enable_gradients_of(active: Trainable, trainables: dict[str, Trainable]) -> None:
    """Let gradients reach one trainable only: a generator must not change its discriminator."""
    for trainable in trainables.values():
        for parameter in trainable.parameters:
            parameter.requires_grad_(trainable is active)


def _to_device(batch: Batch, device: torch.device) -> Batch:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: _to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(_to_device(value, device) for value in batch)
    return batch


@contextmanager
def averaged_weights(trainables: dict[str, Trainable]) -> Iterator[None]:
    """Run a block with averaged weights, in evaluation mode and without gradients.

    The raw weights and the training mode are restored after it.

    Args:
        trainables: Modules in training by name.
    """
    raw_states = {}
    for name, trainable in trainables.items():
        state = trainable.module.state_dict()
        raw_states[name] = {key: value.clone() for key, value in state.items()}
    for trainable in trainables.values():
        trainable.module.load_state_dict(trainable.ema.averaged_state(trainable.module))
        trainable.module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for name, trainable in trainables.items():
            trainable.module.load_state_dict(raw_states[name])
            trainable.module.train()


def _save(stage: Stage, trainables: dict[str, Trainable], run_folder: Path, step: int) -> None:
    """Write the checkpoint first, then the components: a kill in between loses nothing."""
    states = {name: trainable.state_dict() for name, trainable in trainables.items()}
    checkpoint.save(run_folder, step, states)
    _export(stage, trainables, run_folder)


def _export(stage: Stage, trainables: dict[str, Trainable], run_folder: Path) -> None:
    """Write the averaged weights of the stage's components into the run's model folder."""
    model_folder = run_folder / "model"
    for component, path in stage.components.items():
        name, _, submodule = path.partition(".")
        trainable = trainables[name]
        prefix = f"{submodule}." if submodule else ""
        state = {}
        for key, value in trainable.ema.averaged_state(trainable.module).items():
            if key.startswith(prefix):
                state[key.removeprefix(prefix)] = value
        save_component(model_folder, component, state)
    with averaged_weights(trainables):
        stage.on_export(model_folder)
    (model_folder / UNTRAINED_MARKER).unlink(missing_ok=True)
