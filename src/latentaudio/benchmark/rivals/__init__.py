"""Implementations that `latentaudio benchmark --rivals` races. A rival is one file and one row.

The file has two functions. `convert(source, problem, folder)` writes what the rival reads, and is
not timed. `load(folder, variant, num_threads)` returns a `base.Runner`; a process of its own calls
it, so it imports the rival's packages late, and torch only if the rival needs it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import cast

from ...config.extras import install_command
from ...config.rivals import RIVALS
from ...errors import UsageError
from .base import RivalFile

EXTRA = "rivals"
"""The extra of this package with all packages of rivals."""


def get_rival(name: str) -> RivalFile:
    """Return the file of a rival, or of this package.

    Args:
        name: A row of `RIVALS`.
    """
    return cast(RivalFile, import_module(f"{__name__}.{RIVALS[name].file}"))


def check_installed(name: str) -> None:
    """Raise `UsageError` if a rival's packages are missing; nothing is imported."""
    missing = [package for package in RIVALS[name].packages if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"--rivals {name} needs {' and '.join(missing)}; install: {install_command(EXTRA)}"
        )
