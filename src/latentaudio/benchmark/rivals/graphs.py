"""The decoder that rivals convert, as one module.

Letters: C channels, T' F' latent grid, N samples.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...backends.graphs import Graph
from ...loaders.layouts import ModelSource
from ...types import Latent
from .base import Problem


class Decoder(nn.Module):
    """Latent [1, C, T', F'] -> samples [1, 1, N]."""

    def __init__(self, vae: nn.Module, vocoder: nn.Module) -> None:
        super().__init__()
        self.vae: Any = vae
        self.vocoder = vocoder

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        samples: Tensor = self.vocoder(self.vae.decode(Latent(z)))
        return samples


def decoder_graph(source: ModelSource, problem: Problem) -> Graph:
    """Return VAE and vocoder of a model in float32, for the latent of a problem."""
    vae, vocoder = (source.load_component(name, torch.float32) for name in ("vae", "vocoder"))
    module = Decoder(vae, vocoder).requires_grad_(False).eval()
    return Graph(module, {"z": torch.from_numpy(problem.z)}, {"z": {}}, ("samples",), num_named=1)
