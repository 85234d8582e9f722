"""From what a user calls a model to the folder it lies in. Knows names, folders and runs; refuses to know what a model does.

A name of the table means the folder of that name inside the package. Anything else is a model folder or a run folder of
training; write `./mini` for a folder that happens to be called like a model. Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..configs import ModelConfig
from ..errors import UsageError, WeightsError
from ..variants import VARIANTS, Variant

ASSETS = Path(__file__).parents[1] / "assets"


@dataclass(frozen=True)
class Found:
    """A model on disk: what the user called it, where its parts lie, its row of the table with its own shapes, and its card."""

    source: str
    folder: Path
    variant: Variant
    card: Mapping[str, Any]

    @property
    def config(self) -> ModelConfig:
        """Shapes of the parts in the folder."""
        return self.variant.config


def find(source: str | Path) -> Found:
    """The model called `source`; raises UsageError listing what exists, WeightsError for a folder that is not a model's."""
    from .folder import model_folder, read_config

    called = str(source)
    if called in VARIANTS:
        row, folder = VARIANTS[called], ASSETS / called
        if not size(row):
            way_out = "install latentaudio again" if row.embedded else "train it and name the run's folder"
            raise WeightsError(f"the weights of {called!r} do not come with this installation; {way_out}")
    else:
        folder = model_folder(Path(source).expanduser())
        if not folder.is_dir():
            raise UsageError(f"no model is called {called!r} and no folder either; there are: {', '.join(VARIANTS)}")
    name, config, card = read_config(folder)
    row = VARIANTS.get(name) or Variant(name, str(card.get("purpose", "")), str(card.get("licence", "unknown")), config)
    return Found(called, folder, replace(row, config=config), card)


def size(row: Variant) -> int:
    """Bytes of the weights that a row of the table has in this installation; 0 means that they cannot be loaded."""
    return sum(file.stat().st_size for file in (ASSETS / row.name).glob("*.safetensors"))
