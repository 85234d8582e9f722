"""A parallel map over processes whose results come in order.

The result never depends on the number of processes. Workers end at once if this process stops or
dies, however it dies.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

from .errors import OutputError

_BATCHES_AHEAD = 4
"""Batches for each process that are taken from the items before their turn."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], num_workers: int, chunk_size: int = 1
) -> Generator[Result, None, None]:
    """Yield `function(item)` for every item, in the order of the items.

    Few items are taken before their turn, so a generator of many needs little memory.

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
    context = get_context("spawn")
    parent_is_alive, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(num_workers, context, _prepare_worker, (parent_is_alive,))
    remaining = iter(items)
    batches = iter(lambda: tuple(islice(remaining, chunk_size)), ())
    pending: deque[Future[list[Result]]] = deque()
    with _one_thread_per_process(), pool:
        try:
            with _ctrl_c_blocked():  # the processes are started here
                for batch in islice(batches, _BATCHES_AHEAD * num_workers):
                    pending.append(pool.submit(_apply, function, batch))
            while pending:
                results = pending.popleft().result()
                for batch in islice(batches, 1):
                    pending.append(pool.submit(_apply, function, batch))
                yield from results
        except BrokenProcessPool as error:
            raise OutputError(
                "a worker process died, perhaps out of memory: use fewer workers, or 1; a script "
                "must call this under if __name__ == '__main__'"
            ) from error
        finally:
            alive.close()  # what is still computed is not needed
            pool.shutdown(wait=True, cancel_futures=True)
            parent_is_alive.close()


def _apply(function: Callable[[Item], Result], items: tuple[Item, ...]) -> list[Result]:
    """Return the results of a batch of items."""
    return [function(item) for item in items]


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Keep Ctrl-C from the processes that are started meanwhile, while they import.

    They inherit what this thread blocks. Here it arrives at the end.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker(parent_is_alive: Connection) -> None:
    """Ignore Ctrl-C, which reaches all processes, and end when the parent says so or dies.

    Args:
        parent_is_alive: Reading end of a pipe. Only the parent has its writing end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent_is_alive,), daemon=True).start()


def _end_with(parent_is_alive: Connection) -> None:
    """Wait until the writing end of a pipe is closed, then end this process."""
    parent_is_alive.poll(None)
    os._exit(1)


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
