"""Hash of a network's weights, whatever file they came from."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from ...loaders.components import component_names
from ...loaders.layouts import ModelSource


def sha256_of_tensors(module: nn.Module) -> str:
    """Return the SHA-256 over names, types, shapes and values of a network's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def sha256_of_model(source: ModelSource) -> str:
    """Return the SHA-256 over all components of a model.

    Raises:
        WeightsError: Weights are missing or damaged.
    """
    digest = hashlib.sha256()
    for name in sorted(component_names(source.config)):
        component = source.load_component(name, as_stored=True)
        digest.update(f"{name} {sha256_of_tensors(component)}\n".encode())
    return digest.hexdigest()
