"""`latentaudio train`: one stage by a recipe into a run folder, which the same command resumes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..errors import UsageError
from . import console

Several = Parameter(consume_multiple=True)


def train(
    recipe: Path,
    *,
    out: Path,
    data: Annotated[list[Path] | None, Several] = None,
    init: Annotated[list[Path] | None, Several] = None,
    overrides: Annotated[list[str] | None, Parameter(name="--set", consume_multiple=True)] = None,
    minutes: float | None = None,
    quiet: bool = False,
) -> None:
    """Train one part of a model by a recipe; the same command resumes a run that was stopped.

    Parameters
    ----------
    recipe
        A YAML file, for example recipes/mini/vae.yaml.
    out
        The run's folder; its model loads like any other.
    data
        Folders of captioned sound (metadata.jsonl), as `latentaudio corpus render` makes them.
    init
        Model or run folders whose parts this stage builds on.
    overrides
        Settings of the recipe to change, as key=value, for example optim.lr=1e-4.
    minutes
        Stop after that time, with a checkpoint.
    quiet
        Print nothing.
    """
    from ..train.loop import train as run
    from ..train.recipe import read_recipe

    if minutes is not None and not 0 < minutes < float("inf"):
        raise UsageError(
            f"--minutes {minutes:g} is no time; give a number above 0, or leave it out"
        )
    settings = read_recipe(recipe, tuple(overrides or ()))
    began, first = 0.0, -1
    with console.bar(f"training {settings.stage}", quiet) as tick:

        def report(done: int, total: int, losses: dict[str, float], left: float) -> None:
            nonlocal began, first
            if (
                first < 0
            ):  # the clock starts where the first step ends, so that getting ready does not count
                began, first = time.monotonic(), done
            speed = (
                f"{(done - first) / (time.monotonic() - began):.2g} steps/s  "
                if done > first
                else ""
            )
            named = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
            tick(done, total, f"{named}  {speed}{left / 60:.0f} min left")

        def prepared(done: int, total: int) -> None:
            tick(done, total, "made ready")

        done = run(settings, tuple(data or ()), out, tuple(init or ()), minutes, report, prepared)
    if not quiet:
        rest = "" if done >= settings.steps else "; the same command resumes it"
        console.say(f"{out}  {done} of {settings.steps} steps{rest}")
