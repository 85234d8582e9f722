"""Compact weights in an ONNX file: 8-bit rows or float16, and the operations that restore them.

A runtime restores them once, when it opens the file. It computes in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

MIN_SIZE = 1024
"""Numbers of a tensor from which compact storage pays."""

MIN_ROUNDED_SIZE = 65536
"""Numbers of a tensor from which it is rounded to float16, if that is not exact. Smaller ones may
be tables, such as windows, which must stay exact."""

MAX_ROW_ERROR = 1e-6
"""Largest difference of an 8-bit row and the weights, relative to the largest number of the row."""

_LARGEST = 127  # of signed 8-bit integers
_Array = NDArray[Any]


def compact_weights(model: onnx.ModelProto, exact: Sequence[str] = ()) -> None:
    """Replace the large float32 weights of a model in place.

    Weights that were stored as 8-bit rows or as float16 get that form without any loss. Other large
    ones are rounded to float16.

    Args:
        model: The model. Its graph has no subgraphs that hold weights.
        exact: Names of tensors that stay in float32.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    initializers = []
    nodes = []
    for tensor in graph.initializer:
        is_large = tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= MIN_SIZE
        if not is_large or tensor.name in exact:
            initializers.append(tensor)
            continue
        values = numpy_helper.to_array(tensor)
        stored = f"{tensor.name}.stored"
        rows = eight_bit_rows(values)
        if rows is None:
            half = values.astype(np.float16)
            if values.size < MIN_ROUNDED_SIZE and (half != values).any():
                initializers.append(tensor)
                continue
            initializers.append(numpy_helper.from_array(half, stored))
            nodes.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
            continue
        integers, scale = rows
        plain = f"{tensor.name}.plain"
        scales = f"{tensor.name}.scales"
        initializers += [
            numpy_helper.from_array(integers, stored),
            numpy_helper.from_array(scale, scales),
        ]
        nodes.append(helper.make_node("Cast", [stored], [plain], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [plain, scales], [tensor.name]))
    operations = list(graph.node)
    del graph.initializer[:]
    del graph.node[:]
    graph.initializer.extend(initializers)
    graph.node.extend([*nodes, *operations])


def eight_bit_rows(values: _Array) -> tuple[_Array, _Array] | None:
    """Return weights as int8 and a scale for each row, if that is exact.

    Args:
        values: float32 weights of two or more axes. Rows lie along the first or the last axis; an
            export may have transposed a matrix. Convolutions may have a scale for each position
            of their kernel.

    Returns:
        The integers, and their scales in a shape that multiplies them; None if it is not exact.
    """
    if values.ndim < 2:
        return None
    axes = range(values.ndim)
    for others in (tuple(axes[1:]), tuple(axes[:-1]), (1,)):
        largest = np.abs(values).max(axis=others, keepdims=True)
        scale = (np.maximum(largest, np.float32(1e-30)) / _LARGEST).astype(np.float32)
        integers = np.rint(values / scale)
        if (np.abs(integers * scale - values) <= MAX_ROW_ERROR * largest).all():
            return integers.astype(np.int8), scale
    return None
