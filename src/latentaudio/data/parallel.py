"""Work spread over processes, results in order. Knows pools and interrupts; refuses to know what the work is."""

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

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    job: Callable[[Item], Result], items: Iterable[Item], workers: int, chunk: int = 1
) -> Generator[Result]:
    """job(item) for every item, in order of items, worked on by `workers` processes of one thread each; 1 is this process.

    Raises DataError where a worker dies.
    """
    if workers == 1:
        yield from map(job, items)
        return
    with (
        _single_threaded(),
        ProcessPoolExecutor(workers, get_context("spawn"), _deaf_to_interrupts) as pool,
    ):
        try:
            yield from pool.map(job, items, chunksize=chunk)
        except BrokenProcessPool as problem:
            way_out = "use fewer workers, or workers=1; a script must call this under if __name__ == '__main__'"
            raise DataError(f"a worker process died (out of memory?): {way_out}") from problem
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _deaf_to_interrupts() -> None:
    """Ctrl-C reaches the whole process group; only the parent answers it, by tidying up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Workers are processes already: numerical libraries started meanwhile get one thread each."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
