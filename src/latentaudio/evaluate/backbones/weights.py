"""Hash of a network's weights, whatever file they came from."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def sha256_of_tensors(module: nn.Module) -> str:
    """Return the SHA-256 over names, types, shapes and values of a network's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
