"""ONNX Runtime: computes in float32. One session serves all shapes, so its first call is quick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .base import Array, Session


def choose_precision(precision: str) -> str:
    """See `base.BackendFile`."""
    return "fp32"


class ONNXRuntimeSession:
    """See `base.Session`."""

    def __init__(self, file: Path, num_threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3  # errors
        self._session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """See `base.Session`."""
        results: list[Array] = self._session.run(list(outputs), dict(inputs))
        return results


def open_session(
    file: Path, precision: str, num_threads: int, varying: Sequence[str] = ()
) -> Session:
    """See `base.BackendFile`."""
    return ONNXRuntimeSession(file, num_threads)
