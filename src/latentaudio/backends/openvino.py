"""OpenVINO: computes in bf16 where the processor has it.

Networks are compiled for the shapes of a call, which makes them 1.5 times as fast as open shapes
do. Axes that follow the length of a prompt stay open, at no cost.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np

from ..errors import UsageError
from .base import Array, Session

MAX_COMPILED = 4
"""Sets of shapes that a session keeps compiled; each takes the memory of the weights."""
_HINTS = {"bf16": "bf16", "fp32": "f32"}
_REPORTER = "openvino_telemetry"


@contextmanager
def without_reports() -> Iterator[None]:
    """Import OpenVINO inside the block without the package that reports imports to its makers."""
    modules = cast(dict[str, Any], sys.modules)
    is_there = _REPORTER in modules
    if not is_there:
        modules[_REPORTER] = None  # `import` raises ImportError, which OpenVINO expects
    try:
        yield
    finally:
        if not is_there:
            del modules[_REPORTER]


def import_openvino() -> Any:
    """Return the package; importing it opens no connection."""
    with without_reports():
        import openvino
    return openvino


_CORES: list[Any] = []
"""The core of this process, once there is one."""
_CORE_LOCK = Lock()


def shared_core() -> Any:
    """Return the one `Core` of the process, which is never deleted.

    Each `Core` that meets the CPU gives the thread another stack for signal handlers, and deletes
    it at its own end. If the older of two cores ends first, the younger one then brings back the
    deleted stack, and the next signal, such as Ctrl-C, ends the process with a memory fault.
    """
    with _CORE_LOCK:
        if not _CORES:
            _CORES.append(import_openvino().Core())
        return _CORES[0]


def choose_precision(precision: str) -> str:
    """See `base.BackendFile`."""
    if precision == "fp32":
        return "fp32"
    own = shared_core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()
    has_bf16 = own == "bf16"
    if precision == "bf16" and not has_bf16:
        raise UsageError(
            "OpenVINO has no fast bf16 on this processor; choose precision auto or fp32"
        )
    return "bf16" if has_bf16 else "fp32"


def settings(precision: str, num_threads: int) -> dict[str, Any]:
    """Return the settings that a network is compiled with."""
    return {
        "INFERENCE_NUM_THREADS": num_threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
    }


class OpenVINOSession:
    """See `base.Session`."""

    def __init__(
        self, file: Path, precision: str, num_threads: int, varying: Sequence[str]
    ) -> None:
        self._core = shared_core()
        self._model = self._core.read_model(file)
        self._settings = settings(precision, num_threads)
        self._varying = frozenset(varying)
        self._requests: dict[Any, Any] = {}
        self._lock = Lock()  # a request serves one call at a time

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """See `base.Session`."""
        with self._lock:
            results = self._request(inputs).infer(dict(inputs), share_inputs=True)
            return [np.array(results[name], np.float32) for name in outputs]

    def _request(self, inputs: Mapping[str, Array]) -> Any:
        """Return a request of the network compiled for the shapes of some inputs."""
        shapes = {}
        for name, array in inputs.items():
            shape: list[Any] = list(array.shape)
            if name in self._varying:
                shape[1] = -1
            shapes[name] = tuple(shape)
        key = tuple(sorted(shapes.items()))
        request = self._requests.pop(key, None)
        if request is None:
            for old in list(self._requests)[: 1 - MAX_COMPILED]:  # before the new one takes memory
                del self._requests[old]
            model = self._model.clone()
            model.reshape({name: list(shape) for name, shape in shapes.items()})
            compiled = self._core.compile_model(model, "CPU", self._settings)
            request = compiled.create_infer_request()
        self._requests[key] = request  # the latest last
        return request


def open_session(
    file: Path, precision: str, num_threads: int, varying: Sequence[str] = ()
) -> Session:
    """See `base.BackendFile`."""
    return OpenVINOSession(file, precision, num_threads, varying)
