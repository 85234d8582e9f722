"""A parallel map over processes whose results come in order.

The result never depends on the number of processes, and Ctrl-C stops all of them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from .errors import OutputError

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], num_workers: int, chunk_size: int = 1
) -> Generator[Result, None, None]:
    """Yield `function(item)` for every item, in the order of the items.

    Args:
        function: A function that can be pickled.
        items: The items.
        num_workers: Number of processes, each of one thread. 1 stands for this process.
        chunk_size: Number of items that a process takes at a time.

    Yields:
        The results, in order.

    Raises:
        OutputError: A worker process died.
    """
    if num_workers == 1:
        yield from map(function, items)
        return
    # "spawn": a forked copy of a process with threads can deadlock.
    pool = ProcessPoolExecutor(num_workers, get_context("spawn"), _ignore_interrupts)
    with _one_thread_per_process(), pool:
        try:
            yield from pool.map(function, items, chunksize=chunk_size)
        except BrokenProcessPool as error:
            raise OutputError(
                "a worker process died, perhaps out of memory: use fewer workers, or 1; a script "
                "must call this under if __name__ == '__main__'"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ignore Ctrl-C in a worker: it reaches all processes, and the parent stops the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _one_thread_per_process() -> Iterator[None]:
    """Limit numerical libraries to one thread in the processes that are started meanwhile."""
    previous = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in previous.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
