"""Models of any published shape with random weights, in memory or as a folder.

They need no download and take the same time and memory as the real ones. Their output is noise.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..loaders.components import build_component, component_names
from ..loaders.layouts import ModelSource
from ..loaders.model_folder import TOKENIZER_FILE, save_component, write_config
from ..loaders.resolve import ASSETS, spec_only

_DENOISERS = ("unet", "distilled_unet")
_BIAS_STD = 0.1  # of parameters with one dimension


@dataclass(frozen=True)
class RandomWeights(ModelSource):
    """A model source whose components have random weights, the same ones every time.

    Its tokenizer is that of `mini`.
    """

    def load_base_component(
        self, name: str, dtype: torch.dtype | None = None, as_stored: bool = False
    ) -> nn.Module:
        """Build one component in evaluation mode, with random weights."""
        return build_random(name, self).to(dtype or torch.float32).eval()


def random_model(name: str) -> RandomWeights:
    """Return the model of that name in the registry, with random weights."""
    tokenizer_folder = ASSETS / "mini"
    return RandomWeights(**{**vars(spec_only(name)), "path": tokenizer_folder})


def build_random(component: str, source: ModelSource) -> nn.Module:
    """Build a component whose output is not silent.

    The initialization of HiFi-GAN is very quiet, and layers of the UNet start at zero. Those
    weights are drawn anew.

    Args:
        component: name of the component.
        source: the model; only its shapes are used.

    Returns:
        The component, in float32.
    """
    torch.manual_seed(0)
    module = build_component(component, source.config)
    if component not in ("vocoder", *_DENOISERS):
        return module
    for weight in module.parameters():
        if component == "vocoder" or not weight.any():
            std = weight[0].numel() ** -0.5 if weight.ndim > 1 else _BIAS_STD
            nn.init.normal_(weight, 0.0, std)
    return module


def write_random_model(folder: Path, name: str, components: Collection[str] = ()) -> None:
    """Write a model folder in float32 with random weights.

    Args:
        folder: the folder; must not exist.
        name: name of the model in the registry.
        components: components to write; empty: all.
    """
    source = random_model(name)
    folder.mkdir(parents=True)
    write_config(folder, source.config, name)
    for component in components or component_names(source.config):
        save_component(folder, component, build_random(component, source).state_dict())
    shutil.copyfile(source.path / TOKENIZER_FILE, folder / TOKENIZER_FILE)
