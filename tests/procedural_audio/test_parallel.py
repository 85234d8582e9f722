"""A parallel map returns all results in order.

The functions are from the standard library, because a worker process cannot import a test.
"""

import math
import multiprocessing
import os

import pytest

from procedural_audio.errors import OutputError
from procedural_audio.parallel import parallel_map


@pytest.mark.parametrize("num_workers", [1, 2])
def test_results_come_in_order(num_workers):
    results = list(parallel_map(math.factorial, range(20), num_workers, chunk_size=3))
    assert results == [math.factorial(n) for n in range(20)]


def test_workers_are_other_processes_of_one_thread():
    before = os.environ.get("OMP_NUM_THREADS")
    assert set(parallel_map(os.getenv, ["OMP_NUM_THREADS"] * 4, 2)) == {"1"}
    assert os.environ.get("OMP_NUM_THREADS") == before
    assert list(parallel_map(os.getenv, ["OMP_NUM_THREADS"], 1)) == [before]


def test_the_error_for_a_worker_that_dies_says_what_to_do():
    with pytest.raises(OutputError, match="use fewer workers"):
        list(parallel_map(os._exit, range(4), 2))


def test_stopping_early_leaves_no_workers():
    results = parallel_map(math.factorial, range(50), 2)
    assert next(results) == 1
    results.close()
    assert not multiprocessing.active_children()
