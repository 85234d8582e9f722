"""diffusers in a race: its UNet, VAE and vocoder with random weights, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends.base import Array
from .base import Problem, total_bytes

if TYPE_CHECKING:
    from ...loaders.layouts import ModelSource

FOLDER = "diffusers"


class DiffusersRunner:
    """See `base.Runner`."""

    def __init__(self, folder: Path, num_threads: int) -> None:
        import diffusers
        import torch
        import transformers

        torch.set_num_threads(num_threads)
        self._torch = torch
        self._version = diffusers.__version__
        parts = folder / FOLDER
        problem = Problem.load(folder)
        self._unet = diffusers.AudioLDM2UNet2DConditionModel.from_pretrained(parts / "unet")
        self._vae = diffusers.AutoencoderKL.from_pretrained(parts / "vae")
        self._vocoder = transformers.SpeechT5HifiGan.from_pretrained(parts / "vocoder")
        self._z = torch.from_numpy(problem.z)
        self._t = torch.tensor(problem.t)
        names = ("tokens_0", "tokens_1")
        self._contexts = [torch.from_numpy(problem.conditioning[name]) for name in names]
        self._mask = torch.ones(self._contexts[1].shape[:2], dtype=torch.long)

    @property
    def description(self) -> str:
        """See `base.Runner`."""
        return f"diffusers {self._version}, torch {self._torch.__version__}, float32"

    def predict(self) -> Array:
        """See `base.Runner`."""
        with self._torch.no_grad():
            prediction = self._unet(
                self._torch.cat([self._z, self._z]),
                self._t,
                encoder_hidden_states=self._contexts[0],
                encoder_hidden_states_1=self._contexts[1],
                encoder_attention_mask_1=self._mask,
            ).sample
        return np.asarray(prediction.numpy())

    def decode(self) -> Array:
        """See `base.Runner`."""
        with self._torch.no_grad():
            mel = self._vae.decode(self._z / self._vae.config.scaling_factor).sample
            return np.asarray(self._vocoder(mel.squeeze(1)).numpy())


def convert(source: ModelSource, problem: Problem, folder: Path) -> None:
    """Write its networks with random weights."""
    import torch

    from ..baselines import build_networks

    if (folder / FOLDER).is_dir():
        return
    torch.manual_seed(0)
    networks: dict[str, Any] = build_networks(source.config)
    for name, network in networks.items():
        network.save_pretrained(folder / FOLDER / name)


def load(folder: Path, variant: str, num_threads: int) -> DiffusersRunner:
    """Load its networks."""
    return DiffusersRunner(folder, num_threads)


def size(folder: Path, variant: str) -> int:
    """Return the bytes of its files."""
    return total_bytes(folder / FOLDER)
