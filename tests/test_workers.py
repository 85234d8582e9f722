"""The whole suite is shared among processes, as many as processors and memory allow."""

import pytest
from conftest import count_workers


@pytest.mark.parametrize(
    ("num_processors", "memory_gb", "num_workers"),
    [(2, 24.0, 2), (1, 24.0, 0), (2, 4.9, 0), (2, 5.0, 2), (16, 8.0, 3), (2, float("inf"), 2)],
)
def test_workers_are_as_many_as_processors_and_memory_allow(num_processors, memory_gb, num_workers):
    assert count_workers(num_processors, memory_gb) == num_workers
