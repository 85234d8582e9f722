"""Converts modules to ONNX files by torch's exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .graphs import Graph

OPSET = 18
"""Version of the ONNX operators; onnxruntime has it since 1.14."""
MAX_LENGTH = 8191
"""Longest axis with a factor: up to it one trace holds, see `models.group_norm.MIN_CELLS`."""
WEIGHTS_SUFFIX = ".data"
"""Added to the name of an ONNX file: the file of its weights, beside it."""


def trace(
    module: nn.Module,
    example: Mapping[str, Tensor],
    axes: Sequence[Any],
    outputs: Sequence[str],
) -> Any:
    """Return the ONNX program of a module.

    Args:
        module: It takes one tensor for each input, in order.
        example: Inputs by name.
        axes: For each argument its axes of any length, as `torch.export.Dim`. A module that does
            not keep one open is an error of the program.
        outputs: Names of the outputs.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, for its developers
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        exported = torch.export.export(
            module, tuple(example.values()), dynamic_shapes=tuple(axes), strict=False
        )
        program = torch.onnx.export(
            exported,
            dynamo=True,
            input_names=list(example),
            output_names=list(outputs),
            opset_version=OPSET,
            verbose=False,
            optimize=False,
        )
    assert program is not None
    _simplify(program.model)
    return program


def _simplify(model: Any) -> None:
    """Remove what runtimes would compute or compile twice.

    The exporter's own `optimize` also tries some thousand rewriting rules at every node, which
    takes minutes for a large UNet and makes it no faster.
    """
    from onnx_ir.passes.common import CommonSubexpressionEliminationPass
    from onnxscript.optimizer import fold_constants, inline, remove_unused_nodes

    inline(model)
    fold_constants(model)
    remove_unused_nodes(model)
    CommonSubexpressionEliminationPass()(model)
    remove_unused_nodes(model)


def convert(graph: Graph, file: Path) -> None:
    """Write a graph as an ONNX file, its weights beside it.

    Args:
        graph: The graph.
        file: The .onnx file, in a folder that exists.
    """
    from torch.export import Dim

    dimensions: dict[str, Any] = {}
    for name in sorted({name for axes in graph.open_axes.values() for name in axes.values()}):
        dimensions[name] = Dim(name)
        if name in graph.multiples:
            factor = graph.multiples[name]
            dimensions[name] = factor * Dim(f"{name}_{factor}", min=2, max=MAX_LENGTH // factor)
    axes = []
    for name in graph.example:
        axes.append({axis: dimensions[each] for axis, each in graph.open_axes[name].items()})
    # the arguments of `forward`: those with a name, and all others as one tuple
    count = graph.num_named
    shapes = (*axes[:count], tuple(axes[count:])) if axes[count:] else axes
    trace(graph.module, graph.example, shapes, graph.outputs).save(file, external_data=True)
