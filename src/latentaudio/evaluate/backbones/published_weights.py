"""Weights of published networks into our modules, strictly and without executing any code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import WeightsError
from ...fileio import sha256_of_file
from ...loaders.tensor_files import open_tensors

_HASHED_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+")
"""Names of torch.hub: the file's SHA-256 begins with these digits."""


def load_published(
    network: nn.Module,
    path: Path,
    constants: tuple[str, ...] = (),
    rename: Callable[[str], str] = str,
) -> dict[str, Tensor]:
    """Fill a network from a file, and set it to evaluation.

    Args:
        network: the network, whose tensors have the names of the file.
        path: a .safetensors, .pth, .pt, .bin or .ckpt file.
        constants: beginnings of names in the file that are no weights.
        rename: name in the file -> name in the network.

    Returns:
        The constants.

    Raises:
        WeightsError: The file is damaged, has other tensors, or another hash than its name says.
    """
    _check_hash(path)
    stored = {rename(name): tensor for name, tensor in open_tensors(path).items()}
    expected = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    named = [name for name in stored if not name.startswith(constants)]  # () begins no name
    missing = [name for name in expected if name not in stored]
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    unknown = [name for name in named if name not in expected]
    if missing or unknown:
        problem = f"lacks {missing[0]}" if missing else f"has {unknown[0]}"
        raise WeightsError(f"{path} is of another network: it {problem}; check the file")
    state = {}
    for name in named:
        tensor = stored[name]
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{name} of {path} has shape {tuple(tensor.shape)} in place of "
                f"{tuple(expected[name].shape)}; check the file"
            )
        state[name] = tensor.to(expected[name].dtype)
    network.load_state_dict(state, strict=False)
    network.eval().requires_grad_(False)
    others = [name for name in stored if name not in expected]
    return {name: stored[name].to(torch.float32) for name in others}


def _check_hash(path: Path) -> None:
    """Raise WeightsError if a name such as vggish-10086976.pth has the hash of another file."""
    match = _HASHED_NAME.search(path.name)
    if match is None or not path.is_file():
        return
    digest = sha256_of_file(path)
    if not digest.startswith(match[1]):
        raise WeightsError(
            f"{path} is damaged: its SHA-256 begins with {digest[: len(match[1])]} in place of "
            f"{match[1]}; download it again"
        )
