"""Types that several packages share: latents, conditionings, steps of a sampler.

Letters: B batch, C channels, T' F' frames and bins of a latent, N tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True)
class Latent:
    """A unit-scaled latent: only the VAE's `encode` scales it, only its `decode` unscales it.

    Attributes:
        z: [B, C, T', F'].
    """

    z: Tensor


@dataclass(frozen=True)
class LatentEdit:
    """The part of a given clip that a sampler starts from and preserves.

    Attributes:
        init: Latent of the clip, [1, C, T', F'], unit-scaled.
        strength: Noise level to start from, 0 to 1; 1 starts from pure noise (SDEdit, arXiv
            2108.01073).
        mask: [1, 1, T', F'], 1 where the clip is regenerated, 0 where it is preserved, as in
            diffusers' inpainting; None regenerates all of it.
    """

    init: Tensor
    strength: float = 1.0
    mask: Tensor | None = None


@dataclass(frozen=True)
class Context:
    """A sequence for cross-attention.

    Attributes:
        tokens: [B, N, D].
        mask: [B, N], 1 for tokens that are attended to, 0 for padding.
    """

    tokens: Tensor
    mask: Tensor

    @staticmethod
    def unmasked(tokens: Tensor) -> Context:
        """Return a context without padding."""
        return Context(tokens, tokens.new_ones(tokens.shape[:2]))

    def padded(self, length: int) -> Context:
        """Return the same context with masked zero tokens up to `length`."""
        missing = length - self.tokens.shape[1]
        if missing <= 0:
            return self
        tokens = torch.nn.functional.pad(self.tokens, (0, 0, 0, missing))
        mask = torch.nn.functional.pad(self.mask, (0, missing))
        return Context(tokens, mask)


@dataclass(frozen=True)
class LanguageOfAudio(Context):
    """AudioMAE features as a context (numerics: language of audio).

    Attributes:
        origin: "audio" if AudioMAE computed them from a clip, "text" if the translator generated
            them.
    """

    origin: Literal["audio", "text"] = "text"


@dataclass(frozen=True)
class Conditioning:
    """Inputs of the UNet beside the noisy latent and the timestep.

    Attributes:
        film: Vector for FiLM, [B, D], or None.
        contexts: Contexts for cross-attention, in the order of `UNetConfig.contexts`.
        prior: Estimate of the clean latent from the prompt alone, [B, C, T', F'], zeros if
            unconditional; or None.
    """

    film: Tensor | None = None
    contexts: tuple[Context, ...] = ()
    prior: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """Return the same conditioning with `change` applied to every tensor."""
        contexts = []
        for context in self.contexts:
            contexts.append(
                replace(context, tokens=change(context.tokens), mask=change(context.mask))
            )
        return Conditioning(
            None if self.film is None else change(self.film),
            tuple(contexts),
            None if self.prior is None else change(self.prior),
        )


@dataclass(frozen=True)
class WeightedConditioning:
    """One of several conditionings that are composed in a window of a latent.

    Attributes:
        cond: The conditioning.
        uncond: The unconditional or negative one for guidance.
        weight: Weight of every latent frame, [T'], or None if it is the only one.
    """

    cond: Conditioning
    uncond: Conditioning
    weight: Tensor | None = None


def cat_conditionings(first: Conditioning, second: Conditioning) -> Conditioning:
    """Return two conditionings as one batch, `first` first; shorter contexts are padded."""
    contexts = []
    for one, other in zip(first.contexts, second.contexts, strict=True):
        length = max(one.tokens.shape[1], other.tokens.shape[1])
        a = one.padded(length)
        b = other.padded(length)
        contexts.append(Context(torch.cat([a.tokens, b.tokens]), torch.cat([a.mask, b.mask])))
    film = _cat_optional(first.film, second.film)
    return Conditioning(film, tuple(contexts), _cat_optional(first.prior, second.prior))


def _cat_optional(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Both tensors as one batch; None unless there are two."""
    return None if first is None or second is None else torch.cat([first, second])


Denoiser: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(z [B, C, T', F'], t [B] training timestep) -> the network's prediction, of z's shape."""


@dataclass(frozen=True)
class Step:
    """A sampler's state after one update.

    Attributes:
        index: Number of the step, from 0.
        total: Number of steps.
        t: Training timestep; not an integer for solvers that step between training timesteps.
        z: The new latent, [B, C, T', F'].
        x0: Its estimate of the clean latent, of the same shape.
    """

    index: int
    total: int
    t: float
    z: Tensor
    x0: Tensor
