"""Weights that a file holds as a direction and a length, as weight normalization trains them.

See arXiv 1602.07868. The authors' single files of the vocoder are stored so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from .tensor_files import Tensors

if TYPE_CHECKING:
    from torch import Tensor

_FORMS = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)
"""Endings of the names of a length and its direction: torch's older and newer form."""


class _Products(Mapping[str, "Tensor"]):
    """Weights by name, computed when they are read; shapes cost nothing."""

    def __init__(self, tensors: Tensors, pairs: Mapping[str, tuple[str, str]]) -> None:
        self._tensors = tensors
        self._pairs = pairs

    def __getitem__(self, name: str) -> Tensor:
        length_name, direction_name = self._pairs[name]
        direction = self._tensors[direction_name]
        # one length for each row of the first axis, the default of torch
        norms = direction.flatten(1).norm(dim=1).view(-1, *(1,) * (direction.ndim - 1))
        weight: Tensor = direction * (self._tensors[length_name].view(norms.shape) / norms)
        return weight

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)


def fold_weight_norm(tensors: Tensors, expected: Collection[str]) -> Tensors:
    """Return tensors with one weight in the place of every direction and length.

    Args:
        tensors: Tensors of a file.
        expected: Names that the network itself has; those are left as they are.
    """
    pairs = {}
    for length_ending, direction_ending in _FORMS:
        for name in tensors:
            stem = name.removesuffix(length_ending)
            direction = stem + direction_ending
            if stem != name and name not in expected and direction in tensors:
                pairs[f"{stem}.weight"] = (name, direction)
    if not pairs:
        return tensors
    products = _Products(tensors, pairs)
    parts = frozenset(name for pair in pairs.values() for name in pair)
    folded = Tensors({name: (products, name) for name in pairs}, tensors.source, tensors.files)
    return tensors.drop(parts).merge(folded)
