"""This package in a race: a model folder in float32, read and packed as `load` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends.base import Array
from .base import Problem, total_bytes

if TYPE_CHECKING:
    from ...loaders.layouts import ModelSource

FOLDER = "latentaudio"
_COMPONENTS = ("unet", "vae", "vocoder")
_PRECISIONS = {"float32": "fp32", "default": "auto", "int8": "int8"}


class OurRunner:
    """See `base.Runner`."""

    def __init__(self, folder: Path, variant: str, num_threads: int) -> None:
        import torch

        from ...backends.graphs import to_conditioning
        from ...pipeline import load

        torch.set_num_threads(num_threads)
        self._torch = torch
        self._problem = Problem.load(folder)
        self._model = load(folder / FOLDER, "cpu", _PRECISIONS[variant])
        self._z = torch.from_numpy(self._problem.z)
        self._t = torch.tensor([self._problem.t])
        unet: Any = self._model.components["unet"]
        tensors = tuple(torch.from_numpy(array) for array in self._problem.conditioning.values())
        with torch.inference_mode():
            self._prepared = unet.prepare(to_conditioning(unet.config, tensors))
        self._unet = unet

    @property
    def description(self) -> str:
        """See `base.Runner`."""
        components = self._model.components
        dtype = str(components.dtype or self._torch.float32).removeprefix("torch.")
        int8 = "int8, else " if components.use_int8 else ""
        return f"torch {self._torch.__version__}, {int8}{dtype}"

    def predict(self) -> Array:
        """See `base.Runner`."""
        with self._torch.inference_mode():
            prediction = self._unet(self._z, self._t, self._prepared)
        return np.asarray(prediction.float().numpy())

    def decode(self) -> Array:
        """See `base.Runner`."""
        with self._torch.inference_mode():
            return np.asarray(self._model.codec.decode(self._z))


def convert(source: ModelSource, problem: Problem, folder: Path) -> None:
    """Write the model folder with random weights, without text encoders."""
    from ..random_weights import write_random_model

    if not (folder / FOLDER).is_dir():
        names = _COMPONENTS if problem.has_decoder else _COMPONENTS[:1]
        write_random_model(folder / FOLDER, problem.model, names)


def load(folder: Path, variant: str, num_threads: int) -> OurRunner:
    """Load the model folder in the precision of a variant."""
    return OurRunner(folder, variant, num_threads)


def size(folder: Path, variant: str) -> int:
    """Return the bytes of the model folder."""
    return total_bytes(folder / FOLDER)
