"""Weights of LPIPS, the perceptual distance of published VAEs, from files that the user has.

This package has no copy of them and fetches none.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ...errors import ConfigError
from ...loaders.tensor_files import Tensors, open_tensors
from ...models.lpips import LPIPS

VGG16_FILE = "vgg16-397923af.pth"
"""VGG16 of torchvision, as its downloads are named."""
LINEAR_FILE = "vgg.pth"
"""Channel weights of the package lpips (lpips/weights/v0.1/vgg.pth)."""


def load_lpips(folder: str) -> LPIPS:
    """Return LPIPS with its weights, frozen.

    Args:
        folder: Folder with `VGG16_FILE` and `LINEAR_FILE`.

    Raises:
        ConfigError: The folder lacks a file.
        WeightsError: A file is damaged.
    """
    place = Path(folder).expanduser()
    for name in (VGG16_FILE, LINEAR_FILE):
        if not folder or not (place / name).is_file():
            raise ConfigError(
                f"options.weights.lpips needs {VGG16_FILE} of torchvision and {LINEAR_FILE} of "
                f"the package lpips; put both into a folder and name it with options.lpips_folder "
                f"(now {folder!r}, without {name}), or train without: options.weights.lpips=0"
            )
    with torch.device("meta"):
        module = LPIPS()
    vgg = open_tensors(place / VGG16_FILE)
    linear = open_tensors(place / LINEAR_FILE)
    state = {}
    for name in module.state_dict():
        kind, index, rest = name.split(".", 2)
        is_linear = kind == "lin"
        key = f"lin{index}.model.1.{rest}" if is_linear else name
        state[name] = _read(linear if is_linear else vgg, key)
    module.load_state_dict(state, assign=True)
    return module.requires_grad_(False).eval()


def _read(tensors: Tensors, key: str) -> torch.Tensor:
    if key not in tensors:
        raise ConfigError(f"{tensors.source} has no {key}; use the file of the original package")
    return tensors[key]
