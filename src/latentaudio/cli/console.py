"""Output to the terminal: results on stdout; progress, warnings and errors on stderr."""

from __future__ import annotations

import io
import json
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from ..errors import DataError, one_line
from ..interrupts import raise_if_received

PROGRESS_INTERVAL_S = 30.0
"""Time between two lines of progress if stderr is not a terminal, for example a log file."""


_CONTROL_CODES = (*range(0x20), *range(0x7F, 0xA0))
_KEPT_CODES = (ord("\n"), ord("\t"))
_ESCAPES = {code: f"\\x{code:02x}" for code in _CONTROL_CODES if code not in _KEPT_CODES}
_JSON_ESCAPES = {code: f"\\u{code:04x}" for code in _CONTROL_CODES if code not in _KEPT_CODES}


class ProgressCallback(Protocol):
    """Reports progress to a bar."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report `done` of `total` steps, with a short text."""


def version() -> str:
    """Return the text of --version."""
    from ..audio.io import software

    return software()


def set_quiet(quiet: bool) -> None:
    """Hide warnings from now on if `quiet`."""
    if quiet:
        warnings.simplefilter("ignore")


def escape_unencodable() -> None:
    """Print letters that the terminal's encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    """Return a text with control characters as escapes: those of a file could drive the terminal.

    New lines and tabs stay.
    """
    return text.translate(_ESCAPES)


def print_result(text: str) -> None:
    """Print a line of results to stdout, with control characters as escapes.

    Raises:
        DataError: The line cannot be written, for example to a full disk.
    """
    _write_result(printable(text))


def _write_result(text: str) -> None:
    if sys.stdout is None:  # the caller has closed it
        return
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(
            f"cannot print results ({error.strerror}); free some space or use --quiet"
        ) from None


def print_record(record: Mapping[str, Any], as_json: bool) -> None:
    """Print names and values, as one line of JSON or as one line each.

    Args:
        record: Values by name.
        as_json: Whether to print JSON. If not, empty values (None, "") are left out.
    """
    if as_json:
        text = json.dumps(record, ensure_ascii=False, default=str)
        _write_result(text.translate(_JSON_ESCAPES))
        return
    shown = {name: value for name, value in record.items() if value not in (None, "")}
    width = max(map(len, shown), default=0)
    lines = []
    for name, value in shown.items():
        lines.append(f"{name:<{width}}  {' '.join(str(value).splitlines())}")
    print_result("\n".join(lines))


def print_error(text: str) -> None:
    """Print an error or a warning to stderr, as one line."""
    _write_status(f"latentaudio: {' '.join(one_line(text).split())}")


def print_status(text: str) -> None:
    """Print a line about the state of the work to stderr."""
    _write_status(text)


def _write_status(text: str) -> None:
    """Write a line to stderr; work goes on if it is closed or its disk is full."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"{printable(text)}\n")
            sys.stderr.flush()


@contextmanager
def progress_bar(title: str, quiet: bool) -> Iterator[ProgressCallback]:
    """Show progress: a bar on a terminal, a line now and then elsewhere, nothing if `quiet`.

    Args:
        title: The work, such as "generating".
        quiet: Whether to show nothing.

    Yields:
        The function to report progress with. It stops the work after a signal whose exception was
        lost.
    """
    with _progress(title, quiet) as show:

        def tick(done: int, total: int, note: str = "") -> None:
            raise_if_received()
            show(done, total, note)

        yield tick


@contextmanager
def _progress(title: str, quiet: bool) -> Iterator[ProgressCallback]:
    if quiet:
        yield lambda done, total, note="": None
    elif sys.stderr is not None and sys.stderr.isatty():
        with _rich_bar(title) as tick:
            yield tick
    else:
        yield _progress_lines(title)


@contextmanager
def _rich_bar(title: str) -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    # Results on a terminal appear above the bar. A pipe on stdout must stay untouched.
    redirect_stdout = sys.stdout.isatty()
    with Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=redirect_stdout
    ) as progress:
        task = progress.add_task(title, total=None, note="")

        def tick(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=printable(note))

        yield tick


def _progress_lines(title: str) -> ProgressCallback:
    last = time.monotonic()

    def tick(done: int, total: int, note: str = "") -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_INTERVAL_S:
            last = time.monotonic()
            _write_status(f"{title}: {done} of {total} {note}".rstrip())

    return tick
