"""The training loop: any stage on any device, in one process or several, with an exact resume.

Every random draw is keyed by the seed and the step. Step N is therefore a pure function of the
recipe and of the state after step N - 1. A resumed run is bit-identical to one that was never
stopped, and a checkpoint needs no state of a data loader or generator.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch

from ..data.dataset import seeded_generator
from ..data.manifest import DataSources
from ..device import fast_dtype, pick_device
from ..errors import ConfigError
from ..fileio import emptied_if_refused, is_new_or_empty, lock_folder
from ..interrupts import StopRequest, deferred_stops, raise_interrupt
from ..loaders.model_folder import read_config, save_component
from . import checkpoint
from .clock import Clock
from .diagnosis import DivergenceMonitor, memory_errors_reported
from .distributed import Processes, check_number_of_processes, joined_processes, num_processes
from .logger import LOG_FILE, VALIDATION_FILE, RunLogger
from .loggers import check_loggers
from .optim import learning_rate, optimizer_step
from .recipe import Recipe
from .run_folder import UNTRAINED_MARKER, prepare_run_folder
from .sessions import had_several_processes, record_session, this_session
from .sharding import full_tensors, shard_module
from .stages.base import Batch, PrepareProgress, Stage, build_stage, clips_in
from .stages.likeness import LIKENESS, warn_of_copies
from .trainable import Trainable, averaged_weights, build_trainables, enable_gradients_of
from .validation import move_to, validation_losses

StepCallback: TypeAlias = Callable[[int, int, dict[str, float], float], None]
"""Called after every step with (steps done, steps in all, losses by name, seconds left)."""
CLIPS_PER_SECOND = "clips/s"
"""Name of the speed among the losses that a callback gets."""
DATA_PERCENT = "% waiting for data"
"""Name of the share of the time in which a batch is read, among the same numbers."""
MEASURE_FORMATS = {CLIPS_PER_SECOND: ".3g", DATA_PERCENT: ".1f"}
"""Format of the numbers that are no loss. Their name is their unit, and stands behind them."""

_SECONDS = "seconds"  # beside the trainables in a checkpoint
_SEED_STRIDE = 1_000_003  # a prime beyond the steps of any run, so that seeds do not overlap


@dataclass
class _Run:
    """A run in one process.

    Attributes:
        recipe: Its recipe.
        folder: Its folder.
        stage: What is trained.
        trainables: The modules in training.
        device: Device of this process.
        processes: All processes of the run.
        monitor: Stops the run if its losses diverge.
        seed_micro_batches: Whether the generator of dropout is seeded for every micro-batch.
        num_clips: Clips that this command has trained on.
        has_warned_of_copies: Whether a preview was nearly a training clip.
        data_seconds: Seconds in which it read batches.
    """

    recipe: Recipe
    folder: Path
    stage: Stage
    trainables: dict[str, Trainable]
    device: torch.device
    processes: Processes
    monitor: DivergenceMonitor
    seed_micro_batches: bool
    num_clips: int = 0
    has_warned_of_copies: bool = False
    data_seconds: float = 0.0

    @property
    def is_sharded(self) -> bool:
        """Whether parameters are cut into parts, so that all processes compute together."""
        return self.processes.count > 1 and self.recipe.sharding == "full"


def train(
    recipe: Recipe,
    data: DataSources,
    run_folder: Path,
    init_from: tuple[str | Path, ...] = (),
    max_minutes: float | None = None,
    on_step: StepCallback | None = None,
    on_prepare: PrepareProgress | None = None,
) -> int:
    """Train the stage of a recipe, or resume the run that its folder holds.

    Ctrl-C and SIGTERM stop after the current step, with a checkpoint. Processes that torchrun
    started train one run together.

    Args:
        recipe: Recipe of the run.
        data: Folders of captioned audio.
        run_folder: Folder of the run. `run_folder/model` becomes a model folder.
        init_from: Models as `latentaudio.load` takes them, or components of them, such as
            "mini:vae,clap", that the stage builds on. A run with a checkpoint ignores them.
        max_minutes: Stop with a checkpoint after this time.
        on_step: Called after every step, in the first process.
        on_prepare: Called before the first step, while data is prepared.

    Returns:
        Number of steps done, including those before a resume.

    Raises:
        ConfigError: The recipe contradicts itself, the data or the run that the folder holds.
        DataError: Data cannot be read, or the folder cannot be written.
        WeightsError: Weights of a component or a checkpoint are missing or damaged.
        TrainingError: The training diverged, ran out of memory or lost one of its processes.
        KeyboardInterrupt: Ctrl-C, after the checkpoint; `interrupts.Terminated` after SIGTERM.
    """
    start = time.monotonic()
    check_loggers(recipe.loggers or ())
    if recipe.optim.anneal_over == "minutes" and max_minutes is None:
        raise ConfigError(
            "optim.anneal_over: minutes needs a time limit; add --max-minutes, or set it to steps"
        )
    check_number_of_processes(recipe, num_processes())
    with joined_processes(pick_device(recipe.device)) as (processes, device), ExitStack() as stack:
        with processes.first_process_first():
            if processes.is_first:
                stack.enter_context(lock_folder(run_folder, "training"))
                if is_new_or_empty(run_folder):
                    has_result = partial(checkpoint.exists, run_folder)
                    stack.enter_context(emptied_if_refused(run_folder, has_result))
                prepare_run_folder(recipe, data, run_folder, init_from)
        with processes.first_process_first():
            stage = _build_stage(recipe, data, run_folder, on_prepare, processes)
        run = _start(recipe, run_folder, stage, processes, device)
        return _train(run, max_minutes, on_step, start)


def _build_stage(
    recipe: Recipe,
    data: DataSources,
    run_folder: Path,
    on_prepare: PrepareProgress | None,
    processes: Processes,
) -> Stage:
    """Build the stage of a run whose folder is prepared."""
    torch.manual_seed(recipe.seed)  # initial weights
    model_folder = run_folder / "model"
    config = read_config(model_folder)[1]
    stage = build_stage(
        recipe, config, data, model_folder, on_prepare if processes.is_first else None
    )
    if recipe.sharding == "full" and not stage.can_be_sharded:
        raise ConfigError(f"stage {recipe.stage} cannot be sharded; set sharding to none")
    return stage


def _start(
    recipe: Recipe, run_folder: Path, stage: Stage, processes: Processes, device: torch.device
) -> _Run:
    """Bring the modules of a stage to the device and into the state of the first process."""
    for module in (*stage.trainables.values(), *stage.frozen.values()):
        module.to(device)
    for module in stage.trainables.values():
        processes.copy_first(module)
        if recipe.sharding == "full" and processes.count > 1:
            shard_module(module, device)
    is_shared = processes.count > 1 or had_several_processes(run_folder)
    return _Run(
        recipe,
        run_folder,
        stage,
        build_trainables(stage, recipe),
        device,
        processes,
        DivergenceMonitor(run_folder),
        seed_micro_batches=is_shared or recipe.seed_every == "micro_batch",
    )


def _train(run: _Run, max_minutes: float | None, on_step: StepCallback | None, start: float) -> int:
    """Train from the last checkpoint to the end, the time limit or a signal."""
    recipe = run.recipe
    step, seconds = _resume(run.folder, run.trainables, run.device)
    if step == recipe.steps:  # a kill is possible between the last checkpoint and the export
        _export(run)
    clock = _start_clock(recipe, max_minutes, step, start, seconds)
    with ExitStack() as stack:
        logger = None
        if run.processes.is_first:
            for name in (LOG_FILE, VALIDATION_FILE):
                checkpoint.trim_log(run.folder / name, step)
            logger = stack.enter_context(closing(RunLogger(run.folder, recipe)))
            record_session(run.folder, this_session(step, run.processes.count, run.device))
        stop = stack.enter_context(deferred_stops())
        settings = run.stage.memory_settings
        stack.enter_context(memory_errors_reported(run.folder, settings))
        [fraction] = run.processes.largest([clock.fraction()])
        while step < recipe.steps and _annealed(recipe, fraction) < 1:
            losses = _train_step(run, step, fraction)
            step += 1
            pace = clock.seconds_per_step(step)
            fraction, is_late, signal_number = _agree(run, clock, pace, stop, losses)
            run.monitor.check_growth(step, run.stage.weighted(losses))
            stop_signal = None if step == recipe.steps else signal_number
            is_last = step == recipe.steps or is_late or stop_signal is not None
            _report(run, logger, step, losses, 1 / pace, is_last and stop_signal is None)
            if step % recipe.save_every == 0 or is_last:
                _save(run, step, clock.elapsed())
            if on_step is not None and run.processes.is_first:
                seconds_in_loop = clock.seconds_in_loop()
                speed = {
                    CLIPS_PER_SECOND: run.num_clips / seconds_in_loop,
                    DATA_PERCENT: 100 * run.data_seconds / seconds_in_loop,
                }
                seconds_left = clock.seconds_left(recipe.steps - step, pace)
                on_step(step, recipe.steps, losses | speed, seconds_left)
            if is_last:
                run.processes.largest([0.0])  # none ends before the first has written
            if stop_signal is not None:
                raise_interrupt(
                    stop_signal,
                    f"stopped after step {step} with a checkpoint; the same command resumes it",
                )
            if is_late:
                break
    return step


def _start_clock(
    recipe: Recipe, max_minutes: float | None, step: int, start: float, seconds: float
) -> Clock:
    """Return the clock of a command; a rate that falls over minutes counts all commands."""
    is_annealed = recipe.optim.anneal_over == "minutes"
    max_seconds = float("inf") if max_minutes is None else 60 * max_minutes
    return Clock(max_seconds, step, start, seconds if is_annealed else 0.0)


def _agree(
    run: _Run, clock: Clock, pace: float, stop: StopRequest, losses: dict[str, float]
) -> tuple[float, bool, int | None]:
    """Return what all processes do next: part of the time passed, whether to end, signal.

    The losses become those of the last micro-batch of the step, wherever it was.
    """
    owner = (run.recipe.gradient_accumulation_steps - 1) % run.processes.count
    values = list(losses.values())
    if run.processes.rank != owner:
        values = [-math.inf] * len(values)
    fraction, is_late, signal_number, *values = run.processes.largest(
        [clock.fraction(), clock.is_out_of_time(pace), stop.signal_number or 0, *values]
    )
    losses.update(zip(losses, values, strict=True))
    return fraction, is_late > 0, int(signal_number) or None


def _report(
    run: _Run,
    logger: RunLogger | None,
    step: int,
    losses: dict[str, float],
    steps_per_second: float,
    is_end: bool,
) -> None:
    """Log losses, losses of held-out clips and previews, each when it is due."""
    recipe = run.recipe
    if logger is not None and step % recipe.log_every == 0:
        logger.log(step, losses, steps_per_second)
    is_sampled = step % recipe.sample_every == 0 or is_end
    is_validated = recipe.validation is not None and (step % recipe.validation.every == 0 or is_end)
    if not (is_sampled or is_validated) or not (run.processes.is_first or run.is_sharded):
        return
    with averaged_weights(run.trainables):
        values = validation_losses(run.stage, run.device, is_validated, is_sampled)
        if is_sampled:
            for variant, context in run.stage.preview_variants().items():
                with context:
                    preview = run.stage.preview()
                if logger is not None:
                    logger.log_preview(step, preview, variant)
                if not variant:
                    values |= preview.numbers
    if logger is not None and values:
        logger.log_validation(step, values)
        if not run.has_warned_of_copies:
            run.has_warned_of_copies = warn_of_copies(step, values.get(LIKENESS, 0.0))


def _resume(
    run_folder: Path, trainables: dict[str, Trainable], device: torch.device
) -> tuple[int, float]:
    """Restore the newest checkpoint; return its number of steps and the seconds they took."""
    latest = checkpoint.load_latest(run_folder)
    step = 0
    seconds = 0.0
    if latest is not None:
        step, states = latest
        with checkpoint.damage_reported(run_folder, step):
            seconds = float(states.get(_SECONDS, 0.0))
            for name, trainable in trainables.items():
                trainable.load_state_dict(states[name], device)
    return step, seconds


def _train_step(run: _Run, step: int, time_fraction: float) -> dict[str, float]:
    """Update every trainable once, in order; return losses and gradient norms by name."""
    recipe = run.recipe
    run.stage.step = step
    num_micro_batches = recipe.gradient_accumulation_steps
    lr = learning_rate(step, recipe.steps, recipe.optim, _annealed(recipe, time_fraction))
    batches = {}
    for micro in run.processes.micro_batches(num_micro_batches):
        data_start = time.monotonic()
        batch = run.stage.batch(step * num_micro_batches + micro)
        run.data_seconds += time.monotonic() - data_start
        batches[micro] = move_to(batch, run.device)
    run.num_clips += run.processes.count * sum(clips_in(batch) for batch in batches.values())
    logged: dict[str, float] = {}
    # Dropout inside the modules draws from the global generator.
    torch.manual_seed(recipe.seed * _SEED_STRIDE + step)
    parameters = {name: trainable.parameters for name, trainable in run.trainables.items()}
    for index, (name, trainable) in enumerate(run.trainables.items()):
        enable_gradients_of(name, parameters)
        for micro, batch in batches.items():
            logged |= _add_gradients(run, batch, name, (step, micro, index))
        if not run.is_sharded:  # otherwise the backward pass adds the gradients
            run.processes.sum_gradients(trainable.parameters)
        norm = optimizer_step(trainable.optimizer, trainable.module, lr, recipe.optim.max_grad_norm)
        trainable.ema.update(trainable.module, step)
        run.processes.average_running_statistics(trainable.module)
        logged[f"{name}/grad_norm"] = float(norm)
        run.monitor.check_gradients(step + 1, name, float(norm))
    return logged


def _annealed(recipe: Recipe, time_fraction: float) -> float:
    return time_fraction if recipe.optim.anneal_over == "minutes" else 0.0


def _add_gradients(
    run: _Run, batch: Batch, name: str, place: tuple[int, int, int]
) -> dict[str, float]:
    """Add the gradients of one micro-batch; return its losses.

    Args:
        run: The run.
        batch: The micro-batch.
        name: Trainable that is updated.
        place: Step, number of the micro-batch in it and number of the trainable.
    """
    recipe = run.recipe
    step, micro, index = place
    num_micro_batches = recipe.gradient_accumulation_steps
    generator = seeded_generator(recipe.seed, *place)
    if run.seed_micro_batches and (micro, index) != (0, 0):
        torch.manual_seed(generator.initial_seed())
    dtype = fast_dtype(run.device, recipe.precision)
    with torch.autocast(run.device.type, dtype or torch.bfloat16, enabled=dtype is not None):
        losses = run.stage.losses(batch, name, generator)
        total = run.stage.total_loss(losses)
    values = {loss_name: float(loss.detach()) for loss_name, loss in losses.items()}
    position = step * num_micro_batches + micro
    run.monitor.check_losses(step + 1, values, lambda: run.stage.clip_names(position))
    # the shards of a parameter get the mean of all processes, not the sum
    scale = run.processes.count if run.is_sharded else 1
    (total * scale / num_micro_batches).backward()
    return values


def _save(run: _Run, step: int, seconds: float) -> None:
    """Write the checkpoint first, then the components: a kill in between loses nothing."""
    if not run.processes.is_first and not run.is_sharded:
        return
    states: dict[str, object] = {}
    for name, trainable in run.trainables.items():
        states[name] = trainable.state_dict()
    if run.recipe.optim.anneal_over == "minutes":
        states[_SECONDS] = seconds
    if run.processes.is_first:
        checkpoint.save(run.folder, step, states)
    _export(run)


def _export(run: _Run) -> None:
    """Write the averaged weights of the stage's components into the run's model folder."""
    if not run.processes.is_first and not run.is_sharded:
        return
    model_folder = run.folder / "model"
    for component, path in run.stage.components.items():
        name, _, submodule = path.partition(".")
        trainable = run.trainables[name]
        prefix = f"{submodule}." if submodule else ""
        state = {}
        averaged = full_tensors(trainable.ema.averaged_state(trainable.module))
        for key, value in averaged.items():
            if key.startswith(prefix):
                state[key.removeprefix(prefix)] = value
        if run.processes.is_first:
            save_component(model_folder, component, state)
    with averaged_weights(run.trainables):
        if run.processes.is_first:
            run.stage.on_export(model_folder)
            (model_folder / UNTRAINED_MARKER).unlink(missing_ok=True)
