"""Classifier-free guidance: one `Denoiser` made of a network and two conditionings. Refuses to know what these mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from ..types import Conditioning, Denoiser, WeightedConditioning, cat_conditionings
from .schedule import Schedule

Network: TypeAlias = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""(z [B, C, T', F'], t [B], conditioning of k B clips, all z k times over) -> predictions [k B, C, T', F']."""


@dataclass(frozen=True)
class Guidance:
    """How a conditional prediction is driven further away from the unconditional one.

    scale: of their difference; 1 is none (arXiv 2207.12598, eq. 6; spec 5.4).
    parallel: how much of the difference along the conditional x0 itself is kept; 1 is all, 0 leaves what turns x0 without
    making it louder (arXiv 2410.02416, eq. 8).
    rescale: how far, 0 to 1, each item's standard deviation is pulled back to the conditional's (arXiv 2305.08891, eq. 15-16).
    start, stop: the part that is guided of the way from noise (0, the last t) to sound (1, t = 0); on the rest of it the
    conditional prediction stands alone (arXiv 2404.07724).
    """

    scale: float
    apg_eta: float = 1.0
    rescale: float = 0.0
    start: float = 0.0
    stop: float = 1.0

    def combine(self, with_: Tensor, without: Tensor, x0: Tensor | None) -> Tensor:
        """The guided prediction, from both predictions and, where `parallel` is not 1, the conditional x0 [B, ...]."""
        axes = tuple(range(1, with_.ndim))
        apart = with_ - without
        if self.apg_eta != 1.0:
            assert x0 is not None, "what lies along x0 cannot be told without it"
            along = (
                (apart * x0).sum(dim=axes, keepdim=True)
                / x0.square().sum(dim=axes, keepdim=True)
                * x0
            )
            apart = apart - (1.0 - self.apg_eta) * along
        mixed = with_ + (self.scale - 1.0) * apart
        if self.rescale == 0.0:
            return mixed
        shrink = with_.std(dim=axes, keepdim=True) / mixed.std(dim=axes, keepdim=True)
        return mixed * (self.rescale * shrink + 1.0 - self.rescale)


def cfg_denoiser(
    network: Network,
    conditioning: Conditioning,
    null: Conditioning,
    guidance: Guidance,
    schedule: Schedule,
) -> Denoiser:
    """Denoiser of predictions that `guidance` mixes from those for `conditioning` and for `null`.

    Both go through the network in one call, null first; where nothing is guided it is called on the conditioning alone. At a
    fixed z and t, x0, epsilon and v are affine in each other, so guiding whichever the network predicts guides all three alike,
    and differences of x0 are those of the prediction, scaled.
    """
    if guidance.scale == 1.0:
        return lambda z, t: network(z, t, conditioning)
    both, total = cat_conditionings(null, conditioning), schedule.config.num_train_timesteps
    everywhere = (
        guidance.start == 0.0 and guidance.stop == 1.0
    )  # then t stays on its device: no waiting for it

    def covers(t: Tensor) -> bool:
        return everywhere or guidance.start * total <= total - int(t[0]) <= guidance.stop * total

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        if not covers(t):
            return network(z, t, conditioning)
        without, with_ = network(z, t, both).chunk(2)
        return guidance.combine(
            with_, without, None if guidance.apg_eta == 1.0 else schedule.to_x0_and_eps(z, t, with_)[0]
        )

    return denoise


def compose_weighted(
    one: Callable[[Conditioning, Conditioning], Denoiser], voices: Sequence[WeightedConditioning]
) -> Denoiser:
    """Denoiser of what several voices ask for at once: their predictions, mixed by their shares of every cell of time.

    Composition (arXiv 2206.01714, eq. 11) with weights that add up to 1 and may change over time. one: guidance of a
    conditioning and its null.
    """
    if len(voices) == 1:
        return one(voices[0].cond, voices[0].uncond)
    parts = [(one(voice.cond, voice.uncond), voice.weight) for voice in voices]

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        mixed = torch.zeros_like(z)
        for part, share in parts:
            assert share is not None, "of several voices each has a share"
            mixed += share.to(z).view(1, 1, -1, *(1,) * (z.ndim - 3)) * part(z, t)
        return mixed

    return denoise
