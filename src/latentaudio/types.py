"""The few values that travel between rooms. Knows torch tensors and their shapes; refuses to know networks and files.

Letters: B batch, C channels, T samples or frames, F frequency bins, N tokens, D width; a prime marks the latent grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True)
class Latent:
    """z [B, C, T', F'], always unit-scaled: the VAE's encode scales, its decode unscales, nobody else may."""

    z: Tensor


@dataclass(frozen=True)
class LatentEdit:
    """What a sampler is given of a sound: generating, transferring, inpainting, extending differ by this alone.

    init [1, C, T', F']: its latent, unit-scaled. strength: the part of the way from noise to sound that is gone anew; 1 begins
    in noise alone. mask [1, 1, T', F']: 1 where the sound is kept while the rest is made; None: nothing is.
    """

    init: Tensor
    strength: float = 1.0
    mask: Tensor | None = None


@dataclass(frozen=True)
class Context:
    """tokens [B, N, D] to attend to and mask [B, N] (1 = look, 0 = ignore)."""

    tokens: Tensor
    mask: Tensor

    @staticmethod
    def full(tokens: Tensor) -> Context:
        """A context in which every token counts."""
        return Context(tokens, tokens.new_ones(tokens.shape[:2]))

    def padded(self, length: int) -> Context:
        """The same context with masked zero tokens appended up to `length`."""
        missing = length - self.tokens.shape[1]
        if missing <= 0:
            return self
        tokens = torch.nn.functional.pad(self.tokens, (0, 0, 0, missing))
        return Context(tokens, torch.nn.functional.pad(self.mask, (0, missing)))


@dataclass(frozen=True)
class LanguageOfAudio(Context):
    """A context of AudioMAE's kind (spec 6.5): read from sound ("audio") or written by the translator ("text")."""

    origin: Literal["audio", "text"] = "text"


@dataclass(frozen=True)
class Conditioning:
    """What the UNet hears besides noise and time: a FiLM vector [B, D] or None, contexts in site order, and a draft or None.

    draft [B, C, T', F']: what the text alone says of the clean latent; zeros where nothing is said.
    """

    film: Tensor | None = None
    contexts: tuple[Context, ...] = ()
    draft: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """The same conditioning with `change` applied to every tensor."""
        contexts = tuple(
            replace(c, tokens=change(c.tokens), mask=change(c.mask)) for c in self.contexts
        )
        film, draft = (
            None if value is None else change(value) for value in (self.film, self.draft)
        )
        return Conditioning(film, contexts, draft)


@dataclass(frozen=True)
class WeightedConditioning:
    """One of the things that a window of a latent hears: itself, what guidance steers away from, and its share [T'] of every
    cell, None where there is no other."""

    cond: Conditioning
    uncond: Conditioning
    weight: Tensor | None = None


def cat_conditionings(first: Conditioning, second: Conditioning) -> Conditioning:
    """Two conditionings as one batch, `first` before `second`; shorter contexts are padded and masked."""
    contexts = []
    for a, b in zip(first.contexts, second.contexts, strict=True):
        length = max(a.tokens.shape[1], b.tokens.shape[1])
        a, b = a.padded(length), b.padded(length)
        contexts.append(Context(torch.cat([a.tokens, b.tokens]), torch.cat([a.mask, b.mask])))
    film, draft = (
        None if a is None or b is None else torch.cat([a, b])
        for a, b in ((first.film, second.film), (first.draft, second.draft))
    )
    return Conditioning(film, tuple(contexts), draft)


Denoiser: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(z [B, C, T', F'], t [B] train-time step index) -> the network's prediction, same shape as z."""


@dataclass(frozen=True)
class Step:
    """What a sampler yields after each update: index of total, train-time step t, the new z and its estimate of clean x0.

    t is a whole number but with solvers of others that step between those of training.
    """

    index: int
    total: int
    t: float
    z: Tensor
    x0: Tensor
