"""Locate a component's tensors in the files of diffusers and of the authors, and write them back.

A component has one ordered list of rules that rename its own tensor names (`key_rules`). The same
rules serve both directions: writing inverts the complete map, so reading and writing cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..config.architecture import ModelConfig

if TYPE_CHECKING:
    from torch import Size, Tensor

Rule: TypeAlias = tuple[str, str, str]
"""(pattern in our name, replacement for diffusers, replacement for the authors' checkpoint).

A rule works on the name that the rules before it have left.
"""
KeyRules: TypeAlias = Callable[[ModelConfig], Sequence[Rule]]
Storage: TypeAlias = Callable[[str, str, ModelConfig], "TensorRef"]
"""(our name, foreign name, config) -> how the foreign file stores the tensor."""

KEYS_OF_0_1: tuple[tuple[str, str], ...] = (
    (r"^(down|up)\.(\d+)\.sites\.", r"\1.\2.blocks."),
    (r"^down\.0\.step\.beats\.", "down.0.step.uniform_proj."),
    (r"^orders\.(\d+)\.waves\.", r"context_positions.\1.proj."),
    (r"^beats\.", "uniform_proj."),
    (r"^order\.waves\.", "text_positions.proj."),
    (r"^(post_)?quant\.", r"\1quant_conv."),
    (r"^critics\.", "discriminators."),
)
"""Tensor names of version 0.1 that have changed since: (pattern, replacement).

They are of the UNet, the latent prior, the VAE and the discriminators.
"""

SEQUENCE_ROWS = 32
"""Rows of the authors' tables of start and end vectors; only the first few are ever read."""


@dataclass(frozen=True)
class TensorRef:
    """The place of one of our tensors in a foreign file.

    Attributes:
        names: Foreign tensors it is made of; all kinds but "stack" have one.
        kind: How it is made. "same": unchanged. "conv2d", "conv1d": the foreign tensor has two or
            one trailing axes of size 1, for a convolution of width 1. "third": one third of the
            first axis. "first_rows": the foreign tensor has more rows. "stack": a row from each of
            `names`.
        third: Which third, for kind "third".
    """

    names: tuple[str, ...]
    kind: Literal["same", "conv2d", "conv1d", "third", "first_rows", "stack"] = "same"
    third: int = 0

    def read(self, get: Callable[[str], Tensor], num_rows: int) -> Tensor:
        """Return our tensor, made of foreign ones.

        Args:
            get: Returns a foreign tensor by name.
            num_rows: Size of our first axis.
        """
        import torch

        if self.kind == "stack":
            return torch.stack([get(name) for name in self.names])
        stored = get(self.names[0])
        match self.kind:
            case "conv2d":
                return stored.flatten(1) if stored.ndim == 4 else stored
            case "conv1d":
                return stored.squeeze(-1) if stored.ndim == 3 else stored
            case "third":
                return stored.chunk(3)[self.third]
            case "first_rows":
                return stored[:num_rows]
        return stored

    def foreign_shapes(self, shape: Size) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the foreign tensors for a shape of ours; -1 is any size."""
        own = tuple(shape)
        match self.kind:
            case "conv2d":
                return {self.names[0]: (*own, 1, 1)}
            case "conv1d":
                return {self.names[0]: (*own, 1)}
            case "third":
                return {self.names[0]: (3 * own[0], *own[1:])}
            case "first_rows":
                return {self.names[0]: (-1, *own[1:])}
            case "stack":
                return dict.fromkeys(self.names, own[1:])
        return {self.names[0]: own}


def current_key(name: str) -> str:
    """Return today's name of a tensor that version 0.1 may have written."""
    for pattern, replacement in KEYS_OF_0_1:
        name = re.sub(pattern, replacement, name)
    return name


def store_unchanged(key: str, name: str, config: ModelConfig) -> TensorRef:
    """Return a reference to a tensor that is stored as it is."""
    return TensorRef((name,))


def map_keys(
    keys: Iterable[str],
    rules: Sequence[Rule],
    column: int,
    config: ModelConfig,
    storage: Storage = store_unchanged,
) -> dict[str, TensorRef]:
    """Return where each of a component's tensors lies in a foreign layout.

    Args:
        keys: Names in the component's own state dict.
        rules: Renaming rules, in order.
        column: Place of the layout's replacement in a rule.
        config: The system's dimensions.
        storage: Returns how the foreign file stores a tensor.
    """
    compiled = [(re.compile(rule[0]), rule[column]) for rule in rules]
    refs = {}
    for key in keys:
        name = key
        for pattern, replacement in compiled:
            if pattern.search(name):
                name = pattern.sub(replacement, name)
        refs[key] = storage(key, name, config)
    return refs


def to_foreign(
    refs: Mapping[str, TensorRef], state: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the foreign (name, tensor) pairs of a state; the inverse of `TensorRef.read`."""
    import torch

    thirds: dict[str, dict[int, Tensor]] = {}
    for key, ref in refs.items():
        value = state[key]
        name = ref.names[0]
        match ref.kind:
            case "same":
                yield name, value
            case "conv2d":
                yield name, value[..., None, None]
            case "conv1d":
                yield name, value[..., None]
            case "first_rows":
                unused = value.new_zeros(SEQUENCE_ROWS - len(value), *value.shape[1:])
                yield name, torch.cat([value, unused])
            case "stack":
                yield from zip(ref.names, value.unbind(), strict=True)
            case "third":
                collected = thirds.setdefault(name, {})
                collected[ref.third] = value
                if len(collected) == 3:
                    yield name, torch.cat([collected[0], collected[1], collected[2]])
