"""How many kernels oneDNN keeps. It makes one for each shape, and by default keeps 1,024 of them.

The variable has no effect after the first computation. A value that the user has set is kept.
"""

from __future__ import annotations

import os

CAPACITY_VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
BOUND_VARIABLE = "LATENTAUDIO_BOUNDS_KERNELS"
"""Set where the capacity is ours and not the user's."""
KERNELS_OF_PUBLISHED = 8
"""Those of published models are large. With more, memory grows with every length of a clip."""
KERNELS_OF_SMALL = 64
"""A step of `mini` needs some 30. With fewer, every step makes them again: twice the time."""
KERNELS_OF_TRAINING = 256
"""A training step needs some 150, always of the same shapes, for published models, too."""


def bound_kernels() -> None:
    """Let oneDNN keep few kernels, unless the user has set a number."""
    if CAPACITY_VARIABLE not in os.environ:
        os.environ[CAPACITY_VARIABLE] = str(KERNELS_OF_PUBLISHED)
        os.environ[BOUND_VARIABLE] = "1"


def keep_kernels(count: int) -> None:
    """Let oneDNN keep more kernels, in a process that called `bound_kernels`."""
    if BOUND_VARIABLE in os.environ:
        capacity = int(os.environ[CAPACITY_VARIABLE])
        os.environ[CAPACITY_VARIABLE] = str(max(capacity, count))


def fix_kernels() -> None:
    """Let later calls of `keep_kernels` change nothing, for a process with a published model."""
    os.environ.pop(BOUND_VARIABLE, None)
