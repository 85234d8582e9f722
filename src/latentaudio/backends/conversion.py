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
        axes: For each argument its axes of any length, as `torch.export.Dim`.
        outputs: Names of the outputs.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, for its developers
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            module,
            tuple(example.values()),
            dynamo=True,
            dynamic_shapes=tuple(axes),
            input_names=list(example),
            output_names=list(outputs),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program


def convert(graph: Graph, file: Path) -> None:
    """Write a graph as an ONNX file, its weights beside it.

    Args:
        graph: The graph.
        file: The .onnx file, in a folder that exists.
    """
    from torch.export import Dim

    names = sorted({name for axes in graph.open_axes.values() for name in axes.values()})
    dimensions = {}
    for name in names:
        lowest, highest = graph.limits.get(name, (1, None))
        dimensions[name] = Dim(name, min=lowest, max=highest)
    axes = []
    for name in graph.example:
        axes.append({axis: dimensions[each] for axis, each in graph.open_axes[name].items()})
    # the arguments of `forward`: those with a name, and all others as one tuple
    count = graph.num_named
    program = trace(
        graph.module, graph.example, (*axes[:count], tuple(axes[count:])), graph.outputs
    )
    program.save(file, external_data=True)
