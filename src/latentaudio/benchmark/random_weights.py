"""Systems of any shape with random weights, in memory or on disk: for measuring time and memory where no weights are.

Knows how parts are made and which tokenizer is at hand. Refuses to know what is measured. What such a system makes is noise.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..loaders.model_folder import TOKENIZER_FILE, build, parts_of, save_part, write_config
from ..loaders.resolve import Found, described


@dataclass(frozen=True)
class Invented(Found):
    """A model whose parts come out of nothing, the same ones every time; mini's tokenizer reads for all."""

    def part(
        self, name: str, dtype: torch.dtype | None = None, as_stored: bool = False
    ) -> nn.Module:
        """One part in evaluation mode, with random weights."""
        return invented(name, self).to(dtype or torch.float32).eval()


def invent(name: str) -> Invented:
    """The model of that name in the table, with random weights."""
    return Invented(**vars(described(name)))


def invented(part: str, found: Found) -> nn.Module:
    """A part that does not fall silent: HiFi-GAN's own beginning whispers, a UNet's last layers and branches begin at zero."""
    torch.manual_seed(0)
    module = build(part, found.config)
    for weight in module.parameters() if part in ("vocoder", "unet", "student") else ():
        if part == "vocoder" or not weight.any():
            nn.init.normal_(weight, 0.0, weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.1)
    return module


def write_invented(folder: Path, name: str) -> None:
    """A model folder in float32 with random weights."""
    found = invent(name)
    folder.mkdir(parents=True)
    write_config(folder, found.config, name)
    for part in parts_of(found.config):
        save_part(folder, part, invented(part, found).state_dict())
    shutil.copyfile(found.folder / TOKENIZER_FILE, folder / TOKENIZER_FILE)
