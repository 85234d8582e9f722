"""What appears on the terminal: results on stdout, everything else on stderr. Knows no command."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from ..errors import DataError

_BEAT_S = 30.0
"""Where nobody watches a bar move (a log file), long work writes a line this often."""


class Tick(Protocol):
    """Tells a bar where the work stands."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total`, with a few words."""


def version() -> str:
    """What --version prints."""
    from ..audio.io import software

    return software()


def say(text: str) -> None:
    """A line of result."""
    if sys.stdout is None:  # closed by whoever called
        return
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise DataError(
            f"cannot print results ({problem.strerror}); free some space or use --quiet"
        ) from None


def any_letter() -> None:
    """From now on a letter that the terminal cannot show is printed as its number; before, it ended the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def tell(facts: Mapping[str, Any], as_json: bool) -> None:
    """Facts as one line of JSON, or as lines of name and value; what nobody knows (None, "") is left out of the latter."""
    known = {name: value for name, value in facts.items() if value not in (None, "")}
    width = max(map(len, known), default=0)
    lines = [
        f"{name:<{width}}  {' '.join(str(value).splitlines())}" for name, value in known.items()
    ]
    say(json.dumps(facts, ensure_ascii=False, default=str) if as_json else "\n".join(lines))


def complain(text: str) -> None:
    """One line about what went wrong."""
    if sys.stderr is not None:
        sys.stderr.write(f"latentaudio: {' '.join(text.split())}\n")


def note(text: str) -> None:
    """A line about how far work is."""
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


@contextmanager
def bar(what: str, quiet: bool) -> Iterator[Tick]:
    """A progress bar on a terminal, a line now and then elsewhere, nothing when quiet."""
    if quiet:
        yield lambda done, total, note="": None
    elif sys.stderr is not None and sys.stderr.isatty():
        with _moving(what) as tick:
            yield tick
    else:
        yield _beats(what)


@contextmanager
def _moving(what: str) -> Iterator[Tick]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    # lines for people go above the bar; a pipe on stdout must not be caught by the terminal on stderr
    caught = sys.stdout.isatty()
    with Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=caught
    ) as progress:
        task = progress.add_task(what, total=None, note="")

        def tick(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)

        yield tick


def _beats(what: str) -> Tick:
    last = time.monotonic()

    def tick(done: int, total: int, note: str = "") -> None:
        nonlocal last
        if time.monotonic() - last >= _BEAT_S:
            last = time.monotonic()
            sys.stderr.write(f"{what}: {done} of {total} {note}".rstrip() + "\n")

    return tick
