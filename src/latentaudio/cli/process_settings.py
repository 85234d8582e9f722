"""Settings of the whole process: signals, warnings, and variables that libraries read once."""

from __future__ import annotations

import os
import warnings

from ..config.kernel_cache import bound_kernels
from ..interrupts import raise_on_signals

MIN_COLUMNS = 20
"""Narrowest terminal that the environment variable COLUMNS can state."""
SPIN_COUNT = "1500"
"""Rounds that threads of GNU OpenMP wait without sleeping. By default they wait for milliseconds:
two programs that use all processors then keep them from each other, and take ten times as long."""


def prepare_process() -> None:
    """Make signals, warnings and the width of the terminal harmless, and bound a cache.

    It also lets other programs compute at the same time.
    """
    raise_on_signals()
    if "OMP_WAIT_POLICY" not in os.environ:  # the user's own choice
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # read when torch is imported
    bound_kernels()
    # Warnings of libraries are for developers; none may become an error (PYTHONWARNINGS=error).
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", UserWarning)
    columns = os.environ.get("COLUMNS", "")
    if columns and not (columns.isdecimal() and len(columns) < 4 and int(columns) >= MIN_COLUMNS):
        del os.environ["COLUMNS"]  # help would be laid out for ever
