"""ONNX Runtime in a race: the session of our backend, and an int8 UNet.

int8 is static quantization (QDQ) of weights (per channel) and activations of convolutions and
matrix products, calibrated with two noisy latents. The decoder stays in floating point.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...backends import get_backend
from ...backends.base import Array
from .base import Problem, total_bytes
from .onnx_files import decoder_file, unet_file, write_onnx_files

if TYPE_CHECKING:
    from ...loaders.layouts import ModelSource

_INT8 = Path("onnxruntime") / "unet-int8" / "model.onnx"


class ONNXRunner:
    """See `base.Runner`."""

    def __init__(self, folder: Path, variant: str, num_threads: int) -> None:
        import onnxruntime

        self._variant = variant
        self._version = onnxruntime.__version__
        problem = Problem.load(folder)
        open_session = get_backend("onnxruntime").open_session
        self._unet = open_session(_unet_file(folder, variant), "fp32", num_threads)
        self._decoder = None
        if problem.has_decoder:
            self._decoder = open_session(decoder_file(folder), "fp32", num_threads)
        self._inputs = problem.inputs
        self._z = problem.z

    @property
    def description(self) -> str:
        """See `base.Runner`."""
        precision = "int8, else float32" if self._variant == "int8" else self._variant
        return f"ONNX Runtime {self._version}, {precision}"

    def predict(self) -> Array:
        """See `base.Runner`."""
        return self._unet.run(self._inputs, ["prediction"])[0]

    def decode(self) -> Array:
        """See `base.Runner`."""
        assert self._decoder is not None, "the problem has no decoder"
        return self._decoder.run({"z": self._z}, ["samples"])[0]


def _unet_file(folder: Path, variant: str) -> Path:
    return folder / _INT8 if variant == "int8" else unet_file(folder)


def convert(source: ModelSource, problem: Problem, folder: Path) -> None:
    """Write its files."""
    write_onnx_files(source, problem, folder)
    if not (folder / _INT8).is_file():
        _quantize(unet_file(folder), problem, folder / _INT8)


def _quantize(graph: Path, problem: Problem, file: Path) -> None:
    """Write the graph with 8-bit products."""
    from onnxruntime import quantization

    from ...fileio import atomic_directory

    generator = np.random.default_rng(0)
    feeds = []
    for t in (problem.t, problem.t // 4):
        z = generator.standard_normal(problem.inputs["z"].shape, np.float32)
        feeds.append({**problem.inputs, "z": z, "t": np.full(len(z), t, np.float32)})

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """The inputs of the calibration, one after the other."""

        def get_next(self) -> dict[str, Array] | None:
            """Return the next inputs, or None at the end."""
            return feeds.pop() if feeds else None

    file.parent.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(file.parent) as temporary:
        quantization.quantize_static(
            graph,
            temporary / file.name,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            use_external_data_format=True,
        )


def load(folder: Path, variant: str, num_threads: int) -> ONNXRunner:
    """Open the sessions of a variant."""
    return ONNXRunner(folder, variant, num_threads)


def size(folder: Path, variant: str) -> int:
    """Return the bytes of the files of a variant."""
    return total_bytes(_unet_file(folder, variant).parent, decoder_file(folder).parent)
