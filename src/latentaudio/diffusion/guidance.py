"""Classifier-free guidance: one `Denoiser` made of a network and two conditionings.

See arXiv 2207.12598.

B clips of one call, k B clips of a batched call with k conditionings, C channels, T' F' latent
grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from ..types import Conditioning, Denoiser, WeightedConditioning, cat_conditionings
from .schedule import Schedule

Network: TypeAlias = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""(z [B, C, T', F'], t [B], conditioning of k B clips) -> predictions [k B, C, T', F'], all z
repeated k times."""

MakeDenoiser: TypeAlias = Callable[[Conditioning, Conditioning], Denoiser]
"""(conditioning, unconditional conditioning) -> a guided denoiser."""


@dataclass(frozen=True)
class Guidance:
    """How far to move the conditional prediction away from the unconditional one.

    Attributes:
        scale: Weight of their difference; 1 is no guidance (arXiv 2207.12598, eq. 6; numerics:
            guidance).
        apg_eta: Adaptive projected guidance (arXiv 2410.02416, eq. 8): weight of the difference's
            component parallel to the conditional x0. 1 is plain guidance. 0 leaves the orthogonal
            component, which does not raise the level.
        rescale: 0 to 1, how far to pull each clip's standard deviation back to the conditional's
            (arXiv 2305.08891, eq. 15-16).
        start: Fraction of the sampling, from noise (0) to the clean latent (1), at which guidance
            begins (arXiv 2404.07724).
        stop: Fraction at which guidance ends. Outside, the conditional prediction is used alone and
            costs half.
        interval: Guided steps that share one unconditional prediction. In the others the last
            difference of both predictions is used again, and a step costs half.
    """

    scale: float
    apg_eta: float = 1.0
    rescale: float = 0.0
    start: float = 0.0
    stop: float = 1.0
    interval: int = 1

    def is_active(self, t: int, num_train_timesteps: int) -> bool:
        """Return whether train-time step t lies between `start` and `stop`.

        Args:
            t: Train-time step.
            num_train_timesteps: Number of train-time steps.
        """
        done = num_train_timesteps - t
        return self.start * num_train_timesteps <= done <= self.stop * num_train_timesteps

    def combine(self, cond: Tensor, uncond: Tensor, x0: Tensor | None) -> Tensor:
        """Return the guided prediction.

        Args:
            cond: The conditional prediction [B, C, T', F'].
            uncond: The unconditional prediction, same shape.
            x0: The conditional estimate of the clean latent, same shape; needed if `apg_eta` is not
                1.

        Returns:
            A prediction of the same kind and shape.
        """
        axes = tuple(range(1, cond.ndim))  # all but the batch
        difference = cond - uncond
        if self.apg_eta != 1.0:
            assert x0 is not None, "the parallel component needs x0"
            # projection of the difference on x0
            parallel = (
                (difference * x0).sum(dim=axes, keepdim=True)
                / x0.square().sum(dim=axes, keepdim=True)
                * x0
            )
            difference = difference - (1.0 - self.apg_eta) * parallel
        guided = cond + (self.scale - 1.0) * difference
        if self.rescale == 0.0:
            return guided
        shrink = cond.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
        return guided * (self.rescale * shrink + 1.0 - self.rescale)


class LastDifference:
    """The difference of the predictions of the last guided step that computed both.

    It changes slowly from step to step (CFG-Cache of arXiv 2410.19355).
    """

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._calls = 0
        self._difference: Tensor | None = None

    def is_due(self) -> bool:
        """Count one guided step; return whether it computes both predictions."""
        self._calls += 1
        return (self._calls - 1) % self._interval == 0 or self._difference is None

    def keep(self, cond: Tensor, uncond: Tensor) -> None:
        """Remember the difference, if a later step uses it."""
        if self._interval > 1:
            self._difference = cond - uncond

    def unconditional(self, cond: Tensor) -> Tensor:
        """Return the estimate of the unconditional prediction beside a conditional one."""
        assert self._difference is not None, "no step has computed both predictions"
        return cond - self._difference


def cfg_denoiser(
    network: Network,
    cond: Conditioning,
    uncond: Conditioning,
    guidance: Guidance,
    schedule: Schedule,
) -> Denoiser:
    """Return a denoiser with classifier-free guidance.

    Both predictions come from one call of the network, unconditional first. At a fixed z and t, x0,
    epsilon and v are affine functions of each other. Guidance of one of them therefore guides all
    three equally. A difference of x0 is the difference of the predictions times a factor.

    Args:
        network: The network.
        cond: The prompts' conditioning.
        uncond: The conditioning to move away from.
        guidance: The settings. At scale 1 the network only runs on `cond`.
        schedule: The noise schedule.

    Returns:
        A denoiser. With an interval above 1 it serves one window of one sampling run, as it keeps
        the last difference.
    """
    if guidance.scale == 1.0:
        return lambda z, t: network(z, t, cond)
    both = cat_conditionings(uncond, cond)
    total = schedule.config.num_train_timesteps
    is_full_interval = guidance.start == 0.0 and guidance.stop == 1.0

    def is_guided(t: Tensor) -> bool:
        if is_full_interval:
            return True  # without reading t: that would make the host wait for a GPU at every step
        return guidance.is_active(int(t[0]), total)

    last = LastDifference(guidance.interval)

    def predict(z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The unconditional and the conditional prediction."""
        if last.is_due():
            uncond_prediction, cond_prediction = network(z, t, both).chunk(2)
            last.keep(cond_prediction, uncond_prediction)
            return uncond_prediction, cond_prediction
        cond_prediction = network(z, t, cond)
        return last.unconditional(cond_prediction), cond_prediction

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        if not is_guided(t):
            return network(z, t, cond)
        uncond_prediction, cond_prediction = predict(z, t)
        x0 = None
        if guidance.apg_eta != 1.0:
            x0 = schedule.to_x0_and_eps(z, t, cond_prediction)[0]
        return guidance.combine(cond_prediction, uncond_prediction, x0)

    return denoise


def compose_weighted(
    make_denoiser: MakeDenoiser, conditionings: Sequence[WeightedConditioning]
) -> Denoiser:
    """Return a denoiser of several conditionings at once: the weighted sum of their predictions.

    See arXiv 2206.01714, eq. 11.

    Args:
        make_denoiser: Guidance of one conditioning.
        conditionings: One or more. The weights [T'] of several add up to 1 in each latent frame,
            and may change over time.

    Returns:
        A denoiser.
    """
    if len(conditionings) == 1:
        return make_denoiser(conditionings[0].cond, conditionings[0].uncond)
    components = [(make_denoiser(c.cond, c.uncond), c.weight) for c in conditionings]

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        total = torch.zeros_like(z)
        for component, weight in components:
            assert weight is not None, "each of several conditionings needs a weight"
            total += weight.to(z).view(1, 1, -1, *(1,) * (z.ndim - 3)) * component(z, t)
        return total

    return denoise
