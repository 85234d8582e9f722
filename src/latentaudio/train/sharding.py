"""Parameters that are cut into parts, one for each process (FSDP, arXiv 2304.11277).

A model that does not fit into one device is trained in this way. All functions leave plain tensors
as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def shard_module(module: nn.Module, device: torch.device) -> None:
    """Cut the parameters of a module into parts.

    They are gathered for each pass and freed after it. Gradients, averaged weights and the state of
    the optimizer stay in parts. The blocks of a UNet cannot be gathered one by one: it projects the
    contexts of all blocks before the first block runs.

    Args:
        module: Module that is used by calling it.
        device: Device of this process.
    """
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import fully_shard

    # Caches of torch hold the mesh and its group until Python ends, with the group's threads. So
    # the mesh has a group of its own: its threads are idle then, since its last message is old.
    mesh = DeviceMesh.from_group(torch.distributed.new_group(), device.type)
    fully_shard(module, mesh=mesh)


def full_tensors(tree: Any) -> Any:
    """Return nested dicts and lists with complete tensors in the place of parts.

    All processes must call it.

    Args:
        tree: Tensors in dicts and lists.
    """
    if isinstance(tree, DTensor):
        return tree.full_tensor()
    if isinstance(tree, Mapping):
        return {key: full_tensors(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [full_tensors(value) for value in tree]
    return tree


def distribute_like(value: Tensor, like: Tensor | None) -> Tensor:
    """Return this process's part of a complete tensor.

    Args:
        value: The complete tensor.
        like: A tensor that is cut in the same way, or a plain one.
    """
    if not isinstance(like, DTensor) or like.shape != value.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def distribute_states(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state of an optimizer with the parts of this process.

    Args:
        state: State with complete tensors.
        optimizer: Optimizer whose parameters may be cut.
    """
    parameters: list[Tensor] = []
    for group in optimizer.param_groups:
        parameters += group["params"]
    if not any(isinstance(parameter, DTensor) for parameter in parameters):
        return state
    states = {}
    for index, values in state["state"].items():
        like = parameters[index]
        parts = {name: distribute_like(value, like) for name, value in values.items()}
        states[index] = parts
    return {**state, "state": states}
