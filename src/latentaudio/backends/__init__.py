"""Libraries that run networks instead of torch. A backend is one file and one row of `BACKENDS`.

A network is converted once to ONNX (`graphs`, `conversion`), which all backends read. The file of a
backend has the functions of `base.BackendFile`; it imports its package late.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from ..config.backends import BACKENDS
from .base import BackendFile


def get_backend(name: str) -> BackendFile:
    """Return the file of a backend.

    Args:
        name: A row of `BACKENDS` that is not torch.
    """
    return cast(BackendFile, import_module(f"{__name__}.{BACKENDS[name].file}"))
