"""Dropout of conditions: classifier-free guidance needs a UNet that was trained without them.

See arXiv 2207.12598, algorithm 1, and numerics: training.

Shapes: B batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from ...conditioning.encodings import Encodings
from ...config.architecture import UNetConfig
from ...types import Context
from ..unconditional import UnconditionalInputs
from .base import StageOptions
from .latent_stage import LOA


class ConditionDropoutOptions(StageOptions):
    """Probabilities that conditions become unconditional.

    Attributes:
        cfg_dropout_prob: Probability that all conditions of a clip become unconditional.
        cfg_dropout_per: "clip" draws `cfg_dropout_prob` and `clap_text_prob` for each clip, "batch"
            once for all clips of a batch, as the authors do.
        cond_dropout_prob: Probability of the same for each context and for the prior by itself.
        caption_dropout_prob: Probability of the same for contexts that encode the caption; 1 trains
            on the language of audio alone.
        clap_dropout_prob: Probability of the same for CLAP's vector of AudioLDM 1 by itself.
    """

    cfg_dropout_prob: float = Field(0.1, ge=0, le=1)
    cfg_dropout_per: Literal["clip", "batch"] = "clip"
    cond_dropout_prob: float = Field(0.05, ge=0, le=1)
    caption_dropout_prob: float = Field(0.0, ge=0, le=1)
    clap_dropout_prob: float = Field(0.0, ge=0, le=1)


def draw(
    num_clips: int, probability: float, options: ConditionDropoutOptions, generator: Generator
) -> Tensor:
    """Return choices [B], one for each clip or the same for all.

    Args:
        num_clips: Number B of clips.
        probability: Probability of True.
        options: Say whether the choice is made for a clip or for a batch.
        generator: Source of the choices.
    """
    num_draws = num_clips if options.cfg_dropout_per == "clip" else 1
    return (torch.rand(num_draws, generator=generator) < probability).expand(num_clips)


def drop_conditions(
    encodings: Encodings,
    unconditional: UnconditionalInputs,
    unet: UNetConfig,
    options: ConditionDropoutOptions,
    generator: Generator,
) -> Encodings:
    """Return the encodings with some conditions of some clips made unconditional.

    Args:
        encodings: All encodings of B clips.
        unconditional: The unconditional form of each encoding.
        unet: Architecture of the UNet that reads them.
        options: Probabilities.
        generator: Source of the choices.
    """
    num_clips = _num_clips(encodings)
    drops_all = draw(num_clips, options.cfg_dropout_prob, options, generator)

    def is_dropped(probability: float) -> Tensor:
        draws = torch.rand(num_clips, generator=generator)
        return torch.logical_or(drops_all, draws < probability)

    changes = dict(encodings)
    for name in encodings.context_names(unet):
        replacement = unconditional.encoding_like(name, encodings[name])
        dropped = is_dropped(options.cond_dropout_prob)
        if name != LOA and options.caption_dropout_prob > 0:
            dropped = dropped | is_dropped(options.caption_dropout_prob)
        context = _switched(dropped, replacement.context, encodings[name].context)
        changes[name] = replace(changes[name], context=context)
    for name, encoding in encodings.items():
        if unet.film_dim is not None and encoding.vector is not None:
            dropped = drops_all
            if options.clap_dropout_prob > 0:
                dropped = is_dropped(options.clap_dropout_prob)
            replacement = unconditional.encoding_like(name, encoding)
            assert replacement.vector is not None
            is_switched = dropped.to(encoding.vector.device)[:, None]
            vector = torch.where(is_switched, replacement.vector, encoding.vector)
            changes[name] = replace(changes[name], vector=vector)
        if encoding.latent is not None:
            dropped = is_dropped(options.cond_dropout_prob).to(encoding.latent.device)
            latent = encoding.latent * ~dropped[:, None, None, None]
            changes[name] = replace(changes[name], latent=latent)
    return encodings.replaced(changes)


def _num_clips(encodings: Encodings) -> int:
    """Number B of clips of a batch."""
    for encoding in encodings.values():
        return len(encoding.sequence.tokens if encoding.latent is None else encoding.latent)
    raise AssertionError("a batch has at least one encoding")


def _switched(dropped: Tensor, replacement: Context | None, context: Context | None) -> Context:
    """The replacement for the clips that `dropped` [B] names, the context for the others."""
    assert replacement is not None and context is not None
    dropped = dropped.to(context.tokens.device)[:, None]
    # empty texts are shorter than captions, so the mask changes with the tokens
    tokens = torch.where(dropped[..., None], replacement.tokens, context.tokens)
    return Context(tokens, torch.where(dropped, replacement.mask, context.mask))
