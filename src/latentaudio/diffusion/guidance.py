"""Classifier-free guidance: one `Denoiser` made of a network and two conditionings. Refuses to know what these mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ..types import Conditioning, Denoiser, stack

Network: TypeAlias = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""(z [B, C, T', F'], t [B], conditioning of batch B) -> prediction, same shape as z."""


def guided(network: Network, conditioning: Conditioning, null: Conditioning, scale: float, rescale: float = 0.0) -> Denoiser:
    """Denoiser whose prediction is null + scale * (conditional - null) (arXiv 2207.12598, eq. 6; spec 5.4).

    Both halves go through the network in one call, null first. scale == 1 calls it on the conditioning alone. At a fixed z
    and t, x0, epsilon and v are affine in each other, so guiding whichever the network predicts guides all three alike.
    rescale in [0, 1]: how far each item's standard deviation is pulled back to the conditional's (arXiv 2305.08891, eq. 15-16).
    """
    if scale == 1.0:
        return lambda z, t: network(z, t, conditioning)
    both = stack(null, conditioning)

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        without, with_ = network(torch.cat([z, z]), torch.cat([t, t]), both).chunk(2)
        mixed = without + scale * (with_ - without)
        if rescale == 0.0:
            return mixed
        axes = tuple(range(1, z.ndim))
        shrink = with_.std(dim=axes, keepdim=True) / mixed.std(dim=axes, keepdim=True)
        return mixed * (rescale * shrink + 1.0 - rescale)

    return denoise
