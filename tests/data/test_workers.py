"""Work spread over processes comes back whole and in order."""

import os
import threading

import pytest

from latentaudio.data.workers import in_order
from latentaudio.errors import DataError


def squared(n):
    return n * n, os.getpid(), os.environ.get("OMP_NUM_THREADS")


def dying(n):
    os._exit(3)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers):
    before = os.environ.get("OMP_NUM_THREADS")
    results = list(in_order(squared, range(20), workers, chunk=3))
    assert [r[0] for r in results] == [n * n for n in range(20)]
    elsewhere = {r[1] for r in results} - {os.getpid()}
    assert bool(elsewhere) == (workers > 1)
    assert workers == 1 or {r[2] for r in results} == {"1"}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_a_worker_that_dies_is_an_error_that_says_what_to_do():
    with pytest.raises(DataError, match="use fewer workers"):
        list(in_order(dying, range(4), 2))


def test_stopping_early_leaves_no_workers():
    results = in_order(squared, range(50), 2)
    next(results)
    results.close()
    assert threading.active_count() < 10
