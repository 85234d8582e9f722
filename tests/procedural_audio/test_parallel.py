"""A parallel map returns all results in order.

The functions are from the standard library, because a worker process cannot import a test.
"""

import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from procedural_audio.errors import OutputError
from procedural_audio.parallel import parallel_map

ENDLESS = """
import multiprocessing, time
from procedural_audio.parallel import parallel_map

if __name__ == "__main__":
    results = parallel_map(time.sleep, [0, 0, 600, 600], 2)
    next(results)
    next(results)
    for process in multiprocessing.active_children():
        print(process.pid, flush=True)
    print(flush=True)
    next(results)
"""


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


def test_stopping_does_not_wait_for_what_is_computed():
    results = parallel_map(time.sleep, [0, 600, 600], 2)
    next(results)
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 60
    assert not multiprocessing.active_children()


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        workers = list(iter(parent.stdout.readline, "\n"))
        parent.send_signal(signal.SIGKILL)
        # The pipe ends when no process holds its other end any more.
        assert parent.communicate(timeout=60)[0] == ""
    assert len(workers) == 2
