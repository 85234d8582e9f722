"""Low-rank updates of a weight: LoRA (arXiv 2106.09685) and DoRA (arXiv 2402.09353).

R rank, D' outputs, D inputs; a convolution has kernel axes behind D.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class LowRankUpdate:
    """A change of one weight, as a product of two small matrices.

    Attributes:
        down: A [R, D, ...], the first factor.
        up: B [D', R], the second factor.
        scale: Factor of the product: alpha / R of the training.
        magnitude: DoRA's length of each row [D'], or None for LoRA.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0
    magnitude: Tensor | None = None

    def delta(self, weight: Tensor) -> Tensor:
        """Return the change of a weight [D', D, ...] at full strength, in float32.

        LoRA adds `scale` B A. DoRA then scales each row to the length `magnitude`.

        Args:
            weight: The weight of the base model.
        """
        base = weight.float()
        matrix = self.scale * (self.up.float() @ self.down.float().flatten(1))
        product: Tensor = matrix.view_as(base)
        if self.magnitude is None:
            return product
        changed = base + product
        length = changed.flatten(1).norm(dim=1)
        factor = self.magnitude.float() / length
        scaled: Tensor = changed * factor.view(-1, *[1] * (base.ndim - 1))
        return scaled - base


def is_stored_transposed(layer: nn.Module) -> bool:
    """Return whether a layer's weight is [D, D'], as in GPT-2's `Conv1D`.

    Args:
        layer: A layer with a weight.
    """
    return type(layer).__name__ == "Conv1D"


def reads_own_weights(parent: nn.Module) -> bool:
    """Return whether a module multiplies by its layers' weights and does not call the layers.

    Args:
        parent: The module.
    """
    return getattr(parent, "packable_layers", {}) is None
