"""Settings of the whole process: signals, warnings, and variables that libraries read once."""

from __future__ import annotations

import os
import warnings

from ..interrupts import raise_on_signals

MIN_COLUMNS = 20
"""Narrowest terminal that the environment variable COLUMNS can state."""
CAPACITY_VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
CAPACITY = "8"
"""Kernels that oneDNN keeps. It makes one for each shape, and would keep 1,024 of them, so that
memory would grow with every clip of another length. Those of published models are large."""
CAPACITY_OF_SMALL = "64"
"""A step of `mini` needs some 30 kernels. With fewer, every step makes them again and takes twice
as long."""
BOUND_VARIABLE = "LATENTAUDIO_BOUNDS_KERNELS"
"""Set where the capacity is ours and not the user's."""
SPIN_COUNT = "1000"
"""Rounds that threads of GNU OpenMP wait without sleeping. By default they wait for milliseconds:
two programs that use all processors then keep them from each other, and take ten times as long."""


def prepare_process() -> None:
    """Make signals, warnings and the width of the terminal harmless, and bound a cache.

    It also lets other programs compute at the same time.
    """
    raise_on_signals()
    if "OMP_WAIT_POLICY" not in os.environ:  # the user's own choice
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # read when torch is imported
    # oneDNN reads it when torch first computes
    if CAPACITY_VARIABLE not in os.environ:
        os.environ[CAPACITY_VARIABLE] = CAPACITY
        os.environ[BOUND_VARIABLE] = "1"
    # Warnings of libraries are for developers; none may become an error (PYTHONWARNINGS=error).
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", UserWarning)
    columns = os.environ.get("COLUMNS", "")
    if columns and not (columns.isdecimal() and len(columns) < 4 and int(columns) >= MIN_COLUMNS):
        del os.environ["COLUMNS"]  # help would be laid out for ever


def keep_more_kernels() -> None:
    """Let oneDNN keep the kernels of a small model, unless the user has set another bound.

    It has no effect after the first computation.
    """
    if BOUND_VARIABLE in os.environ:
        os.environ[CAPACITY_VARIABLE] = CAPACITY_OF_SMALL
