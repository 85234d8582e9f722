"""OpenVINO in a race: our networks, converted, and an int8 UNet by NNCF.

int8 is post-training quantization of weights and activations (per channel), calibrated with two
noisy latents. The decoder stays in floating point.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Array, Problem, total_bytes

if TYPE_CHECKING:
    from ...loaders.layouts import ModelSource

FOLDER = "openvino"
_FILES = {"float32": "unet", "default": "unet", "int8": "unet-int8"}


class OpenVINORunner:
    """See `base.Runner`."""

    def __init__(self, folder: Path, variant: str, num_threads: int) -> None:
        import openvino

        self._version = openvino.__version__.partition("-")[0]
        self._is_int8 = variant == "int8"
        core = openvino.Core()
        settings: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": num_threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        if variant == "float32":
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        problem = Problem.load(folder)
        parts = folder / FOLDER
        self._unet = core.compile_model(parts / f"{_FILES[variant]}.xml", "CPU", settings)
        self._decoder = None
        if problem.has_decoder:
            self._decoder = core.compile_model(parts / "decoder.xml", "CPU", settings)
        t = np.array([problem.t], np.float32)
        self._inputs = [problem.z, t, *problem.conditioning]

    @property
    def description(self) -> str:
        """See `base.Runner`."""
        precision = self._unet.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        int8 = "int8, else " if self._is_int8 else ""
        return f"OpenVINO {self._version}, {int8}{precision}"

    def predict(self) -> Array:
        """See `base.Runner`."""
        return np.asarray(self._unet(self._inputs)[0])

    def decode(self) -> Array:
        """See `base.Runner`."""
        assert self._decoder is not None, "the problem has no decoder"
        return np.asarray(self._decoder([self._inputs[0]])[0])


def convert(source: ModelSource, problem: Problem, folder: Path) -> None:
    """Write its files."""
    import openvino

    from .graphs import decoder, guided_unet, unet_inputs

    parts = folder / FOLDER
    parts.mkdir(exist_ok=True)
    if not (parts / "unet.xml").is_file():
        example = unet_inputs(problem)
        _write(guided_unet(source), example, parts / "unet.xml")
    if problem.has_decoder and not (parts / "decoder.xml").is_file():
        _write(decoder(source), unet_inputs(problem)[:1], parts / "decoder.xml")
    if not (parts / "unet-int8.xml").is_file():
        model = openvino.Core().read_model(parts / "unet.xml")
        _save(_quantize(model, problem), parts / "unet-int8.xml")


def _write(module: Any, example: tuple[Any, ...], path: Path) -> None:
    """Convert a module at the shapes of its example."""
    import openvino
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the shapes of a race are constants
        traced = torch.jit.trace(module, example, check_trace=False)
        shapes = [tuple(tensor.shape) for tensor in example]
        _save(openvino.convert_model(traced, input=shapes), path)


def _save(model: Any, path: Path) -> None:
    """Write a model in its own types; the .xml comes last, so a broken file is not taken."""
    import openvino

    temporary = path.with_name(f"new-{path.name}")
    openvino.save_model(model, temporary, compress_to_fp16=False)
    temporary.with_suffix(".bin").replace(path.with_suffix(".bin"))
    temporary.replace(path)


def _quantize(model: Any, problem: Problem) -> Any:
    """Return the model with 8-bit products."""
    import nncf

    generator = np.random.default_rng(0)
    samples = []
    for t in (problem.t, problem.t // 4):
        z = generator.standard_normal(problem.z.shape, np.float32)
        samples.append([z, np.array([t], np.float32), *problem.conditioning])
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
    files = [*(folder / FOLDER).glob(f"{_FILES[variant]}.*"), *(folder / FOLDER).glob("decoder.*")]
    return total_bytes(*files)
