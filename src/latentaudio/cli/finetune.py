"""`latentaudio finetune`: a model learns own sounds, as an adapter or as a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..config.kernel_cache import KERNELS_OF_TRAINING, keep_kernels
from ..errors import UsageError
from . import console
from .train import callbacks

if TYPE_CHECKING:
    from ..train.finetune import FinetunePlan


def finetune(
    *sounds: str,
    output: Annotated[Path, Parameter(alias="-o")],
    model: str = "mini",
    method: Literal["lora", "dora", "full"] = "lora",
    rank: int | None = None,
    trigger: str = "",
    minutes: float | None = None,
    steps: int | None = None,
    old_clips: int | None = None,
    overrides: Annotated[list[str] | None, Parameter(name="--set", consume_multiple=True)] = None,
    estimate: bool = False,
    quiet: bool = False,
) -> None:
    """Teach a model your own sounds. The same command resumes a stopped run.

    The result is OUTPUT/adapter.safetensors, for `--adapter OUTPUT`; with --method full it is a
    model, for `--model OUTPUT`. The model keeps the sounds that it knows, because each step also
    has clips of them.

    Args:
        sounds: Folders of sounds, with a caption for each: a text file beside it, or a table.
            Without captions give a --trigger word. Also the other forms of `dataset check`.
        output: Folder of the run.
        model: Model to start from: a name, hub id, folder or checkpoint, as for --model of
            generate.
        method: lora, dora (LoRA that also learns the length of each row of weights) or full (all
            weights).
        rank: Rank of the adapter: higher learns more and makes a larger file. Default: 16.
        trigger: Word that is put before every caption, such as my-door. Prompts with it make your
            sounds.
        minutes: Stop after this time, in minutes. The learning rate falls over this time. Default:
            no limit.
        steps: Number of steps. Default: 500 for mini, 2000 for published models.
        old_clips: Number of clips of known sounds. mini renders them, other models generate them. 0
            is faster, and the model forgets. Default: 176 for mini, 32 for others.
        overrides: Settings of the recipe to change, as key=value, for example optim.lr=1e-3.
        estimate: Print what was found, and memory and time of the run. Train nothing.
        quiet: Print nothing.
    """
    from ..train.finetune import prepare

    keep_kernels(KERNELS_OF_TRAINING)
    console.set_quiet(quiet)
    if not sounds:
        raise UsageError("name a folder of sounds, such as: latentaudio finetune SOUNDS -o my-run")
    if minutes is not None and not (minutes > 0 and math.isfinite(minutes)):
        raise UsageError(f"--minutes {minutes:g} is not a duration; give a number above 0")
    changes = [] if steps is None else [f"steps={steps}"]
    changes += overrides or ()
    has_limit = minutes is not None
    plan = prepare(sounds, output, model, method, rank, trigger, old_clips, has_limit, changes)
    _print_plan(plan, quiet)
    if not estimate:
        _run(plan, output, model, minutes, quiet)


def _print_plan(plan: FinetunePlan, quiet: bool) -> None:
    """Print what was found, and what the run needs."""
    from ..train.estimate import estimate_run

    new_data = tuple(source for source in plan.data if source != plan.old_clips)
    _print_lines(plan.lines(), quiet)
    needs = estimate_run(plan.recipe, new_data).lines()
    _print_lines([line for line in needs if not line.startswith(" ")], quiet)


def _run(plan: FinetunePlan, output: Path, model: str, minutes: float | None, quiet: bool) -> None:
    """Make the old clips, train, and print the result."""
    from ..loaders.adapter_files import ADAPTER_FILE
    from ..train.finetune import check_weights, example_command, make_old_clips
    from ..train.loop import train as run_training

    check_weights(model)
    with console.progress_bar("old clips", quiet) as tick:
        make_old_clips(plan, lambda *clips: _generate(model, *clips), tick)
    num_done = _train(plan, output, model, minutes, quiet, run_training)
    adapter = output / ADAPTER_FILE
    result = adapter if plan.recipe.adapter is not None else output
    if not quiet:
        size = f", {adapter.stat().st_size / 1e6:.1f} MB" if result == adapter else ""
        hint = "" if num_done >= plan.recipe.steps else "; the same command goes on"
        console.print_result(f"{result}  {num_done} of {plan.recipe.steps} steps{size}{hint}")
        console.print_result(example_command(plan, output, result))


def _train(
    plan: FinetunePlan, output: Path, model: str, minutes: float | None, quiet: bool, run: Any
) -> int:
    with console.progress_bar("fine-tuning", quiet) as tick:
        num_done: int = run(plan.recipe, plan.data, output, (model,), minutes, *callbacks(tick))
    return num_done


def _generate(
    model: str, prompts: Sequence[str], duration: float, seed: int
) -> Iterator[tuple[Any, int]]:
    """Yield old clips, one for each prompt, by the model as it is, each as soon as it is there."""
    from ..pipeline import load

    loaded = load(model, low_memory=True)
    requests = loaded.resolve_requests(prompts, duration=duration, seed=seed, candidates=1)
    for clip in loaded.run(requests):
        yield clip.samples, clip.sample_rate


def _print_lines(lines: Sequence[str], quiet: bool) -> None:
    if not quiet:
        for line in lines:
            console.print_status(line)
