"""`latentaudio train`: train one stage by a recipe, or resume the run in its folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..config.kernel_cache import KERNELS_OF_TRAINING, keep_kernels
from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    from ..data.manifest import DataSources
    from ..train.loop import StepCallback
    from ..train.recipe import Recipe
    from ..train.stages.base import PrepareProgress

SeveralPaths = Annotated[list[Path] | None, Parameter(consume_multiple=True)]


def progress_note(losses: dict[str, float], seconds_left: float) -> str:
    """Return the text beside the progress bar: losses, speed and time left.

    Args:
        losses: Losses and measures, such as the speed in clips per second, by name.
        seconds_left: Time until the end.
    """
    from ..train.loop import MEASURE_FORMATS

    fields = []
    for name, value in losses.items():
        number_format = MEASURE_FORMATS.get(name)
        is_loss = number_format is None
        fields.append(f"{name} {value:.4g}" if is_loss else f"{value:{number_format}} {name}")
    minutes = max(0.0, seconds_left) / 60
    fields.append(f"{minutes:.0f} min left" if minutes >= 1 else f"{60 * minutes:.0f} s left")
    return "  ".join(fields)


def callbacks(tick: console.ProgressCallback) -> tuple[StepCallback, PrepareProgress]:
    """Return what a training calls after each step, and while it prepares its data.

    Args:
        tick: Shows (number done, total, note) beside the progress bar.
    """

    def on_step(step: int, num_steps: int, losses: dict[str, float], seconds_left: float) -> None:
        tick(step, num_steps, progress_note(losses, seconds_left))

    def on_prepare(num_done: int, total: int) -> None:
        tick(num_done, total, "prepared")

    return on_step, on_prepare


def train(
    recipe: Path,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    data: SeveralPaths = None,
    init_from: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    overrides: Annotated[list[str] | None, Parameter(name="--set", consume_multiple=True)] = None,
    max_minutes: float | None = None,
    trigger: str = "",
    strict: bool = False,
    dry_run: bool = False,
    machine: str | None = None,
    quiet: bool = False,
) -> None:
    """Train one component of a model by a recipe. The same command resumes a stopped run.

    Args:
        recipe: YAML file, for example recipes/mini/vae.yaml.
        output: Folder of the run. Its model loads like any other. Not needed with --dry-run.
        data: Folders, tables, tars or hub ids of captioned sounds, with :SPLIT behind the name for
            one split. `latentaudio dataset check` says what is found in them.
        init_from: Models whose components this stage builds on: names, hub ids, folders or
            files, as --model takes them. mini:vae,clap takes two components of mini. If several
            models have the same component, that of the last one is used.
        overrides: Settings of the recipe to change, as key=value, for example optim.lr=1e-4.
        max_minutes: Stop with a checkpoint after this time, in minutes. Default: no limit.
        trigger: Word that is put before every caption.
        strict: Stop if any sound has a problem. Without it, such sounds are left out.
        dry_run: Train nothing. Print the parameters, the memory by part, and a guess of the time of
            a step and of the run.
        machine: Machine of that guess: rtx-3060, rtx-3090, rtx-4090, a100 or h100. Default: this
            machine, on which a few steps are measured.
        quiet: Print nothing.
    """
    from ..data.clip import DataSource
    from ..data.report import check_dataset
    from ..train.recipe import read_recipe

    keep_kernels(KERNELS_OF_TRAINING)
    if max_minutes is not None and not (max_minutes > 0 and math.isfinite(max_minutes)):
        raise UsageError(
            f"--max-minutes {max_minutes:g} is not a duration; "
            "give a number above 0, or remove the option"
        )
    settings = read_recipe(recipe, tuple(overrides or ()))
    sources = tuple(DataSource(str(name), trigger) for name in data or ())
    if dry_run:
        _print_estimate(settings, sources, machine)
        return
    if machine is not None:
        raise UsageError("--machine belongs to --dry-run; add it, or remove --machine")
    if output is None:
        raise UsageError("name the folder of the run with --output, or add --dry-run")
    if strict and sources:
        check_dataset(*sources).raise_for_problems()
    _run(settings, sources, output, tuple(init_from or ()), max_minutes, quiet)


def _run(
    recipe: Recipe,
    data: DataSources,
    output: Path,
    init_from: tuple[str, ...],
    max_minutes: float | None,
    quiet: bool,
) -> None:
    """Train, and show the progress in the first of the processes that torchrun started."""
    from ..train.distributed import process_rank
    from ..train.loop import train as run_training
    from ..train.stages.base import unused_settings

    if process_rank() > 0:
        quiet = True
        console.set_quiet(quiet)
    for name, instead in unused_settings(recipe).items():
        if not quiet:
            console.print_status(
                f"latentaudio: {name} does nothing in stage {recipe.stage}; set {instead} instead"
            )
    with console.progress_bar(f"training {recipe.stage}", quiet) as tick:
        num_done = run_training(recipe, data, output, init_from, max_minutes, *callbacks(tick))
    if not quiet:
        hint = "" if num_done >= recipe.steps else "; the same command resumes it"
        if hint and recipe.optim.anneal_over == "minutes":
            hint = "; its time is used up, a larger --max-minutes resumes it"
        console.print_result(f"{output}  {num_done} of {recipe.steps} steps{hint}")


def _print_estimate(recipe: Recipe, data: DataSources, machine: str | None) -> None:
    """Print what a run needs, and train nothing."""
    from ..train.estimate import estimate_run

    for line in estimate_run(recipe, data, machine).lines():
        console.print_result(line)
