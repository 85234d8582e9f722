"""The section `adapter` of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

AdapterMethod = Literal["lora", "dora"]
MAX_RANK = 1024


class AdapterOptions(BaseModel):
    """Train low-rank updates of layers, and leave the model's own weights as they are.

    Attributes:
        method: "lora" (arXiv 2106.09685) or "dora" (arXiv 2402.09353), which also learns the length
            of each row.
        rank: Rank of the updates. A higher rank learns more and makes a larger file.
        alpha: The updates are multiplied by alpha / rank. null: the rank, so the factor is 1.
        include: Patterns of layers to train, such as "unet.*.to_q". A pattern is compared with
            "component.layer"; * stands for any text.
        exclude: Patterns of layers to leave out of them.
        trigger: Word that the captions begin with. It is kept in the adapter's file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: AdapterMethod = "lora"
    rank: int = Field(16, gt=0, le=MAX_RANK)
    alpha: float | None = Field(None, gt=0, le=1e4)
    include: tuple[str, ...] = Field(("*",), min_length=1)
    exclude: tuple[str, ...] = ()
    trigger: str = Field("", max_length=100)

    @property
    def scale(self) -> float:
        """Factor of the updates."""
        return 1.0 if self.alpha is None else self.alpha / self.rank
