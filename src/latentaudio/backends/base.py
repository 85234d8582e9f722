"""What every backend has: sessions that run a converted network on arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]


def varying_inputs(names: Iterable[str]) -> tuple[str, ...]:
    """Return those inputs of a UNet's graph whose second axis is the length of a context.

    Args:
        names: Its inputs.
    """
    return tuple(name for name in names if name.startswith(("tokens_", "mask_")))


class Session(Protocol):
    """A converted network in memory. Threads may share it."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Return outputs of the network by their names, as arrays of their own."""


class BackendFile(Protocol):
    """The functions of a backend's file."""

    def choose_precision(self, precision: str) -> str:
        """Return the precision that networks compute in: "bf16" or "fp32".

        Args:
            precision: "auto", "bf16" or "fp32", as `config.backends` allows them.

        Raises:
            UsageError: This processor does not have it.
        """

    def open_session(
        self, file: Path, precision: str, num_threads: int, varying: Sequence[str] = ()
    ) -> Session:
        """Read a converted network.

        Args:
            file: The .onnx file. The session may read it, and its weights, as long as it lives.
            precision: "bf16" or "fp32".
            num_threads: Threads of one call.
            varying: Inputs whose second axis has another length at each prompt.
        """
