"""What every rival has, and the problem that all of them solve.

Letters: B = 1 clip, C channels, T' F' latent grid, N samples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...backends.base import Array
from ...config.parsing import parse_json

if TYPE_CHECKING:
    from ...loaders.layouts import ModelSource

_ARRAYS = "problem.npz"
_NUMBERS = "problem.json"


@dataclass(frozen=True)
class Problem:
    """A guided denoising step, as files that need no torch.

    Attributes:
        model: Name of the model.
        z: Noisy latent [1, C, T', F'].
        t: Timestep.
        conditioning: Arrays of the UNet's conditioning for both halves of guidance, each [2, ...],
            by their names in the graphs of `backends`.
        guidance_scale: Scale of guidance.
        alphas: alpha and sigma at t, and alpha and sigma of the next step.
        prediction: What the network predicts: "epsilon", "x0" or "v".
        has_decoder: Whether decoding is raced, too.
    """

    model: str
    z: Array
    t: int
    conditioning: Mapping[str, Array]
    guidance_scale: float
    alphas: tuple[float, float, float, float]
    prediction: str
    has_decoder: bool

    def save(self, folder: Path) -> None:
        """Write it to a folder."""
        numbers = {
            "conditioning": list(self.conditioning),
            "model": self.model,
            "t": self.t,
            "guidance_scale": self.guidance_scale,
            "alphas": self.alphas,
            "prediction": self.prediction,
            "has_decoder": self.has_decoder,
        }
        (folder / _NUMBERS).write_text(json.dumps(numbers), encoding="utf-8")
        arrays: dict[str, Any] = {"z": self.z, **self.conditioning}
        np.savez(folder / _ARRAYS, **arrays)

    @classmethod
    def load(cls, folder: Path) -> Problem:
        """Read it from a folder."""
        numbers = parse_json((folder / _NUMBERS).read_text(encoding="utf-8"))
        with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
            conditioning = {name: arrays[name] for name in numbers.pop("conditioning")}
            z = arrays["z"]
        numbers["alphas"] = tuple(numbers["alphas"])
        return cls(z=z, conditioning=conditioning, **numbers)

    @property
    def inputs(self) -> dict[str, Array]:
        """Arrays of a UNet's graph by name; both halves of guidance are one batch."""
        z = np.concatenate([self.z, self.z])
        return {"z": z, "t": np.full(len(z), self.t, np.float32), **self.conditioning}

    def next_latent(self, predictions: Array) -> Array:
        """Return z of the next DDIM step (arXiv 2010.02502, eq. 12).

        Args:
            predictions: Those of both halves of guidance, unconditional first, [2, C, T', F'].
        """
        uncond = predictions[:1]
        out = uncond + self.guidance_scale * (predictions[1:] - uncond)
        alpha, sigma, next_alpha, next_sigma = self.alphas
        if self.prediction == "v":
            x0 = alpha * self.z - sigma * out
        elif self.prediction == "x0":
            x0 = out
        else:
            x0 = (self.z - sigma * out) / alpha
        epsilon = (self.z - alpha * x0) / sigma
        return np.asarray(next_alpha * x0 + next_sigma * epsilon, np.float32)


class Runner(Protocol):
    """A loaded model of a rival."""

    @property
    def description(self) -> str:
        """Version of the library and the number format that it computes with."""

    def predict(self) -> Array:
        """Run the UNet on the problem: predictions of both halves of guidance, [2, C, T', F']."""

    def decode(self) -> Array:
        """Decode the problem's latent to samples."""


class RivalFile(Protocol):
    """The functions of a rival's file."""

    def convert(self, source: ModelSource, problem: Problem, folder: Path) -> None:
        """Write what the rival reads, all of its variants; files that exist stay."""

    def load(self, folder: Path, variant: str, num_threads: int) -> Runner:
        """Load one variant, in a process of its own."""

    def size(self, folder: Path, variant: str) -> int:
        """Return the bytes that a variant reads."""


def total_bytes(*paths: Path) -> int:
    """Return the size of files and of all files in folders."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file())
