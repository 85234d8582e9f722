"""The networks that rivals convert, as modules of plain tensors.

They are those of this package. So a rival also gets what they save: work before the first text
layer is done once for both halves of guidance.

Letters: B = 1 clip, C channels, T' F' latent grid, N samples.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...config.architecture import UNetConfig
from ...loaders.layouts import ModelSource
from ...models.unet import UNet
from ...types import Conditioning, Context, Latent
from .base import Problem


class GuidedUNet(nn.Module):
    """Noisy latent [1, C, T', F'], timestep [1], conditioning -> predictions [2, C, T', F']."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, z: Tensor, t: Tensor, *conditioning: Tensor) -> Tensor:
        """See the class."""
        prediction: Tensor = self.unet(z, t, to_conditioning(self.unet.config, conditioning))
        return prediction


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


def to_conditioning(config: UNetConfig, tensors: tuple[Tensor, ...]) -> Conditioning:
    """Return the conditioning that the arrays of a `Problem` hold."""
    remaining = list(tensors)
    film = remaining.pop(0) if config.film_dim else None
    prior = remaining.pop() if config.use_prior else None
    return Conditioning(film, tuple(Context.unmasked(each) for each in remaining), prior)


def guided_unet(source: ModelSource) -> GuidedUNet:
    """Return the UNet of a model in float32."""
    unet = source.load_component("unet", torch.float32)
    assert isinstance(unet, UNet)
    return GuidedUNet(unet.requires_grad_(False)).eval()


def decoder(source: ModelSource) -> Decoder:
    """Return VAE and vocoder of a model in float32."""
    vae, vocoder = (source.load_component(name, torch.float32) for name in ("vae", "vocoder"))
    return Decoder(vae, vocoder).requires_grad_(False).eval()


def unet_inputs(problem: Problem) -> tuple[Tensor, ...]:
    """Return the arguments of `GuidedUNet`."""
    tensors = [torch.from_numpy(array) for array in problem.conditioning]
    return (torch.from_numpy(problem.z), torch.tensor([float(problem.t)]), *tensors)


def input_names(problem: Problem) -> list[str]:
    """Return a name for each argument of `GuidedUNet`."""
    return ["z", "t", *(f"conditioning_{k}" for k in range(len(problem.conditioning)))]
