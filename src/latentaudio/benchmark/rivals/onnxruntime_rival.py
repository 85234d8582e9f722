"""ONNX Runtime in a race: our networks as ONNX, and an int8 UNet.

int8 is static quantization (QDQ) of weights (per channel) and activations of convolutions and
matrix products, calibrated with two noisy latents. The decoder stays in floating point.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Array, Problem, total_bytes

if TYPE_CHECKING:
    from ...loaders.layouts import ModelSource

FOLDER = "onnxruntime"
OPSET = 18
_FILES = {"float32": "unet", "int8": "unet-int8"}


class ONNXRunner:
    """See `base.Runner`."""

    def __init__(self, folder: Path, variant: str, num_threads: int) -> None:
        import onnxruntime

        self._variant = variant
        self._version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3

        def session(name: str) -> Any:
            path = str(folder / FOLDER / name / "model.onnx")
            return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])

        problem = Problem.load(folder)
        self._unet = session(_FILES[variant])
        self._decoder = session("decoder") if problem.has_decoder else None
        self._inputs = _unet_feed(problem, problem.z, problem.t)

    @property
    def description(self) -> str:
        """See `base.Runner`."""
        precision = "int8, else float32" if self._variant == "int8" else self._variant
        return f"ONNX Runtime {self._version}, {precision}"

    def predict(self) -> Array:
        """See `base.Runner`."""
        return np.asarray(self._unet.run(None, self._inputs)[0])

    def decode(self) -> Array:
        """See `base.Runner`."""
        assert self._decoder is not None, "the problem has no decoder"
        return np.asarray(self._decoder.run(None, {"z": self._inputs["z"]})[0])


def _unet_feed(problem: Problem, z: Array, t: int) -> dict[str, Array]:
    """Return the inputs of the UNet by name."""
    feed = {"z": z, "t": np.array([t], np.float32)}
    for k, array in enumerate(problem.conditioning):
        feed[f"conditioning_{k}"] = array
    return feed


def convert(source: ModelSource, problem: Problem, folder: Path) -> None:
    """Write its files."""
    from .graphs import decoder, guided_unet, input_names, unet_inputs

    parts = folder / FOLDER
    parts.mkdir(exist_ok=True)
    if not (parts / "unet").is_dir():
        _export(guided_unet(source), unet_inputs(problem), input_names(problem), parts / "unet")
    if problem.has_decoder and not (parts / "decoder").is_dir():
        _export(decoder(source), unet_inputs(problem)[:1], ["z"], parts / "decoder")
    if not (parts / "unet-int8").is_dir():
        _quantize(parts / "unet" / "model.onnx", problem, parts / "unet-int8")


def _export(module: Any, example: tuple[Any, ...], names: list[str], folder: Path) -> None:
    """Write a module at the shapes of its example, its weights beside the graph."""
    import torch

    from ...fileio import atomic_directory

    with atomic_directory(folder) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, for its developers
        torch.onnx.export(
            module,
            example,
            temporary / "model.onnx",
            dynamo=True,
            input_names=names,
            opset_version=OPSET,
            external_data=True,
            verbose=False,
        )


def _quantize(graph: Path, problem: Problem, folder: Path) -> None:
    """Write the graph with 8-bit products."""
    from onnxruntime import quantization

    from ...fileio import atomic_directory

    generator = np.random.default_rng(0)
    feeds = []
    for t in (problem.t, problem.t // 4):
        z = generator.standard_normal(problem.z.shape, np.float32)
        feeds.append(_unet_feed(problem, z, t))

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """The inputs of the calibration, one after the other."""

        def get_next(self) -> dict[str, Array] | None:
            """Return the next inputs, or None at the end."""
            return feeds.pop() if feeds else None

    with atomic_directory(folder) as temporary:
        quantization.quantize_static(
            graph,
            temporary / "model.onnx",
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
    parts = folder / FOLDER
    return total_bytes(parts / _FILES[variant], parts / "decoder")
