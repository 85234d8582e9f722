"""OpenVINO in a race: the session of our backend, and an int8 UNet by NNCF.

int8 is post-training quantization of weights and activations (per channel), calibrated with two
noisy latents. The decoder stays in floating point.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends import get_backend
from ...backends.base import Array, varying_inputs
from ...backends.openvino import import_openvino
from .base import Problem, total_bytes
from .onnx_files import decoder_file, unet_file, write_onnx_files

if TYPE_CHECKING:
    from ...loaders.layouts import ModelSource

_INT8 = Path("openvino") / "unet-int8.xml"
_PRECISIONS = {"float32": "fp32", "default": "auto", "int8": "auto"}


class OpenVINORunner:
    """See `base.Runner`."""

    def __init__(self, folder: Path, variant: str, num_threads: int) -> None:
        self._version = import_openvino().__version__.partition("-")[0]
        self._is_int8 = variant == "int8"
        backend = get_backend("openvino")
        self._precision = backend.choose_precision(_PRECISIONS[variant])
        problem = Problem.load(folder)
        file = folder / _INT8 if self._is_int8 else unet_file(folder)
        # its int8 network was made for the shapes of the race
        varying = () if self._is_int8 else varying_inputs(problem.inputs)
        self._unet = backend.open_session(file, self._precision, num_threads, varying)
        self._decoder = None
        if problem.has_decoder:
            self._decoder = backend.open_session(decoder_file(folder), self._precision, num_threads)
        self._inputs = problem.inputs
        self._z = problem.z

    @property
    def description(self) -> str:
        """See `base.Runner`."""
        int8 = "int8, else " if self._is_int8 else ""
        return f"OpenVINO {self._version}, {int8}{self._precision}"

    def predict(self) -> Array:
        """See `base.Runner`."""
        return self._unet.run(self._inputs, ["prediction"])[0]

    def decode(self) -> Array:
        """See `base.Runner`."""
        assert self._decoder is not None, "the problem has no decoder"
        return self._decoder.run({"z": self._z}, ["samples"])[0]


def convert(source: ModelSource, problem: Problem, folder: Path) -> None:
    """Write its files."""
    write_onnx_files(source, problem, folder)
    if not (folder / _INT8).is_file():
        (folder / _INT8).parent.mkdir(exist_ok=True)
        _save(_quantize(_trace(source, problem), problem), folder / _INT8)


def _trace(source: ModelSource, problem: Problem) -> Any:
    """Return the UNet for the shapes of the race; NNCF fails with that of an ONNX file."""
    import torch

    from ...backends.graphs import unet_graph

    unet: Any = source.load_component("unet", torch.float32)
    graph = unet_graph(unet.requires_grad_(False), "full", problem.z.shape[3])
    tensors = tuple(torch.from_numpy(array) for array in problem.inputs.values())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the shapes of a race are constants
        traced = torch.jit.trace(graph.module, tensors, check_trace=False)
        shapes = [tuple(tensor.shape) for tensor in tensors]
        model = import_openvino().convert_model(traced, input=shapes)
    ports = zip([*model.inputs, *model.outputs], [*problem.inputs, *graph.outputs], strict=True)
    for port, name in ports:
        port.get_tensor().set_names({name})
    return model


def _save(model: Any, path: Path) -> None:
    """Write a model in its own types; the .xml comes last, so a broken file is not taken."""
    temporary = path.with_name(f"new-{path.name}")
    import_openvino().save_model(model, temporary, compress_to_fp16=False)
    temporary.with_suffix(".bin").replace(path.with_suffix(".bin"))
    temporary.replace(path)


def _quantize(model: Any, problem: Problem) -> Any:
    """Return the model with 8-bit products."""
    import nncf

    generator = np.random.default_rng(0)
    samples = []
    for t in (problem.t, problem.t // 4):
        z = generator.standard_normal(problem.inputs["z"].shape, np.float32)
        samples.append({**problem.inputs, "z": z, "t": np.full(len(z), t, np.float32)})
    return nncf.quantize(
        model,
        nncf.Dataset(samples),
        subset_size=len(samples),
        model_type=nncf.ModelType.TRANSFORMER,
        advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
    )


def load(folder: Path, variant: str, num_threads: int) -> OpenVINORunner:
    """Read and compile the files of a variant."""
    return OpenVINORunner(folder, variant, num_threads)


def size(folder: Path, variant: str) -> int:
    """Return the bytes of the files of a variant."""
    int8 = [folder / _INT8, (folder / _INT8).with_suffix(".bin")]
    unet = int8 if variant == "int8" else [unet_file(folder).parent]
    return total_bytes(*unet, decoder_file(folder).parent)
