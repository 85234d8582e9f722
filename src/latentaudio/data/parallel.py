"""A parallel map over processes that returns results in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from ..errors import DataError

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    num_workers: int,
    chunk_size: int = 1,
) -> Generator[Result]:
    """Yield `function(item)` for every item, in the order of the items.

    Args:
        function: Function to call. With several workers it must be picklable.
        items: Arguments of the calls.
        num_workers: Number of processes, one thread each. 1 calls in this process.
        chunk_size: Number of items that a worker takes at once.

    Raises:
        DataError: A worker process died.
    """
    if num_workers == 1:
        yield from map(function, items)
        return
    # "spawn", because a forked copy of a process with OpenMP threads can hang.
    context = get_context("spawn")
    with (
        _single_threaded_children(),
        ProcessPoolExecutor(num_workers, context, _ignore_interrupts) as pool,
    ):
        try:
            yield from pool.map(function, items, chunksize=chunk_size)
        except BrokenProcessPool as error:
            raise DataError(
                "a worker process died (out of memory?); use fewer workers, or workers=1; "
                "a script must call this under if __name__ == '__main__'"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Leave Ctrl-C, which reaches the whole process group, to the parent process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Let processes that start in this block use one thread each."""
    previous = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in previous.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
