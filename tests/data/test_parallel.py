"""Work spread over processes comes back whole and in order. Jobs are Python's own: a worker cannot import a test."""

import math
import multiprocessing
import os

import pytest

from latentaudio.data.parallel import in_order
from latentaudio.errors import DataError


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers):
    assert list(in_order(math.factorial, range(20), workers, chunk=3)) == [
        math.factorial(n) for n in range(20)
    ]


def test_workers_are_other_processes_of_one_thread():
    before = os.environ.get("OMP_NUM_THREADS")
    assert set(in_order(os.getenv, ["OMP_NUM_THREADS"] * 4, 2)) == {"1"}
    assert os.environ.get("OMP_NUM_THREADS") == before
    assert list(in_order(os.getenv, ["OMP_NUM_THREADS"], 1)) == [before]


def test_a_worker_that_dies_is_an_error_that_says_what_to_do():
    with pytest.raises(DataError, match="use fewer workers"):
        list(in_order(os._exit, range(4), 2))


def test_stopping_early_leaves_no_workers():
    results = in_order(math.factorial, range(50), 2)
    assert next(results) == 1
    results.close()
    assert not multiprocessing.active_children()
