"""The networks that backends run, as modules of plain tensors, and their inputs and outputs.

Letters: B clips, C channels, T' F' latent grid, N tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from ..config.architecture import UNetConfig
from ..models.unet import DeepCache, UNet
from ..types import Conditioning, Context
from .base import varying_inputs

GraphName: TypeAlias = Literal["full", "shallow"]
"""The whole UNet, or its first level alone: a step that takes deep features from a step before."""

PREDICTION = "prediction"
FEATURES = "features"
"""Features below the first level [B, C', T', F'], which `DeepCache` keeps."""

_TRACED_CLIPS = 2
_TRACED_CELLS = 3
"""Latent frames at the deepest level."""
_TRACED_TOKENS = 6


@dataclass(frozen=True)
class Graph:
    """A module to convert.

    Attributes:
        module: It takes one tensor for each input, in order.
        example: Inputs to trace with, by name.
        open_axes: For each input its axes of any length, each with a name; axes of one name have
            one length.
        outputs: Names of its outputs.
        num_named: Arguments of `forward` that have a name; the others are one tuple.
        multiples: Factors of the lengths of axes, by their names.
    """

    module: nn.Module
    example: Mapping[str, Tensor]
    open_axes: Mapping[str, Mapping[int, str]]
    outputs: tuple[str, ...]
    num_named: int = 2
    multiples: Mapping[str, int] = field(default_factory=dict)


class UNetGraph(nn.Module):
    """The inputs of `unet_inputs` -> predictions [B, C, T', F'] and deep features.

    `forward` has no named arguments, because the number of contexts depends on the model.
    """

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, z: Tensor, t: Tensor, *conditioning: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        features = DeepCache(1)
        prediction = self.unet(z, t, to_conditioning(self.unet.config, conditioning), features)
        assert features.cached is not None
        return prediction, features.cached


class _GivenFeatures(DeepCache):
    """Deep features of another call."""

    def __init__(self, features: Tensor) -> None:
        super().__init__(2)
        self.cached = features

    def should_recompute(self, num_clips: int) -> bool:
        """Never."""
        return False


class ShallowUNetGraph(nn.Module):
    """As `UNetGraph`, with the deep features as the last input and without them as an output."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, z: Tensor, t: Tensor, *others: Tensor) -> Tensor:
        """See the class."""
        *tensors, features = others
        conditioning = to_conditioning(self.unet.config, tuple(tensors))
        prediction: Tensor = self.unet(z, t, conditioning, _GivenFeatures(features))
        return prediction


def conditioning_tensors(conditioning: Conditioning) -> dict[str, Tensor]:
    """Return the tensors of a conditioning by the names of a graph's inputs."""
    tensors = {}
    if conditioning.film is not None:
        tensors["film"] = conditioning.film
    for k, context in enumerate(conditioning.contexts):
        tensors[f"tokens_{k}"] = context.tokens
        tensors[f"mask_{k}"] = context.mask
    if conditioning.prior is not None:
        tensors["prior"] = conditioning.prior
    return {name: tensor.float() for name, tensor in tensors.items()}


def to_conditioning(config: UNetConfig, tensors: tuple[Tensor, ...]) -> Conditioning:
    """Return the conditioning whose `conditioning_tensors` these are, in order."""
    remaining = list(tensors)
    film = remaining.pop(0) if config.film_dim is not None else None
    prior = remaining.pop() if config.use_prior else None
    contexts = []
    for tokens, mask in zip(remaining[::2], remaining[1::2], strict=True):
        contexts.append(Context(tokens, mask))
    return Conditioning(film, tuple(contexts), prior)


def unet_graph(unet: UNet, name: GraphName, num_bins: int) -> Graph:
    """Return a graph of a UNet in float32.

    Args:
        unet: The network, which is not packed.
        name: The graph.
        num_bins: Frequency bins F' of its latents.
    """
    config = unet.config
    example = _example(config, num_bins)
    open_axes = {each: {0: "clips"} for each in example}
    for each in example:
        if each in ("z", "prior"):
            open_axes[each][2] = "frames"
    for each in varying_inputs(example):
        open_axes[each][1] = f"tokens_{each.rpartition('_')[2]}"
    multiples = {"frames": config.downsampling}
    if name == "full":
        outputs = (PREDICTION, FEATURES)
        return Graph(UNetGraph(unet).eval(), example, open_axes, outputs, multiples=multiples)
    with torch.no_grad():
        example[FEATURES] = UNetGraph(unet)(*example.values())[1]
    open_axes[FEATURES] = {0: "clips", 2: "frames"}
    module = ShallowUNetGraph(unet).eval()
    return Graph(module, example, open_axes, (PREDICTION,), multiples=multiples)


def _example(config: UNetConfig, num_bins: int) -> dict[str, Tensor]:
    """Return inputs of a UNet; their values do not count."""
    num_frames = _TRACED_CELLS * config.downsampling
    shape = (_TRACED_CLIPS, config.latent_channels, num_frames, num_bins)
    contexts = []
    for k, width in enumerate(config.cross_attention_dims):
        # lengths that differ, so that nothing takes them for one
        tokens = torch.zeros(_TRACED_CLIPS, _TRACED_TOKENS + 3 * k, width)
        contexts.append(Context.unmasked(tokens))
    film = None if config.film_dim is None else torch.zeros(_TRACED_CLIPS, config.film_dim)
    prior = torch.zeros(shape) if config.use_prior else None
    conditioning = Conditioning(film, tuple(contexts), prior)
    inputs = {"z": torch.zeros(shape), "t": torch.zeros(_TRACED_CLIPS)}
    return inputs | conditioning_tensors(conditioning)
