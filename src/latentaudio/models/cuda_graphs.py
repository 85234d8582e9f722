"""CUDA graphs: a network's kernels are recorded once and replayed, which saves launch time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from threading import Lock
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

Replay: TypeAlias = Callable[[], Tensor]
"""Runs a recorded call on the present values of its input tensors; the result is always in the same
memory."""

Capture: TypeAlias = Callable[[Callable[..., Tensor], tuple[Tensor, ...]], Replay]
"""(function of tensors, those tensors) -> its replay; see `capture`."""

WARMUP_CALLS = 2  # libraries initialize themselves in their first calls, which must not be recorded


def flatten_tensors(value: Any) -> list[Tensor]:
    """Return all tensors of nested tuples, lists and dataclasses, in order."""
    if isinstance(value, Tensor):
        return [value]
    children: list[Any] = []
    if isinstance(value, list | tuple):
        children = list(value)
    elif is_dataclass(value):
        children = [getattr(value, field.name) for field in fields(value)]
    tensors: list[Tensor] = []
    for child in children:
        tensors += flatten_tensors(child)
    return tensors


def replace_tensors(value: Any, tensors: list[Tensor]) -> Any:
    """Return the same nested value with other tensors, taken from the front of the list."""
    if isinstance(value, Tensor):
        return tensors.pop(0)
    if isinstance(value, list | tuple):
        children = [replace_tensors(child, tensors) for child in value]
        is_named_tuple = hasattr(value, "_fields")
        return type(value)(*children) if is_named_tuple else type(value)(children)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {}
        for field in fields(value):
            changes[field.name] = replace_tensors(getattr(value, field.name), tensors)
        return type(value)(**changes)
    return value


def capture(fn: Callable[..., Tensor], tensors: tuple[Tensor, ...]) -> Replay:
    """Record fn(*tensors) as a CUDA graph.

    Args:
        fn: A function without host synchronization.
        tensors: Its inputs. The graph uses their memory from now on.

    Returns:
        A function that runs the graph on the present values of `tensors`.
    """
    with torch.cuda.device(tensors[0].device):
        # warm up on a side stream, as torch's documentation requires
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(WARMUP_CALLS):
                fn(*tensors)
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = fn(*tensors)

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


class _Graph(NamedTuple):
    """One recorded call, its own input tensors, and the arguments whose values they hold."""

    inputs: list[Tensor]
    arguments: list[Tensor]
    replay: Replay


class CUDAGraphRunner:
    """fn(*arguments) -> Tensor through a CUDA graph for each set of shapes.

    The `max_graphs` used last are kept.

    An argument that is the same object as in the call before is not copied again, so arguments must
    not be changed in place.
    """

    def __init__(
        self, fn: Callable[..., Tensor], capture: Capture = capture, max_graphs: int = 4
    ) -> None:
        self.fn = fn
        self.capture = capture
        self.max_graphs = max_graphs
        self._graphs: dict[Any, _Graph] = {}
        self._lock = Lock()  # keeps arguments of one thread out of the replay of another

    @torch.inference_mode()
    def __call__(self, *arguments: Any) -> Tensor:
        """Return fn(*arguments), in memory of its own."""
        tensors = flatten_tensors(arguments)
        key = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        with self._lock:
            graph = self._graphs.pop(key, None)
            if graph is None:
                graph = self._record(arguments, tensors)
            else:
                for own, last, new in zip(graph.inputs, graph.arguments, tensors, strict=True):
                    if new is not last:  # keys and values are the same objects at every step
                        own.copy_(new)
                graph = graph._replace(arguments=tensors)
            self._graphs[key] = graph  # the latest last
            for old in list(self._graphs)[: -self.max_graphs]:
                del self._graphs[old]
            return graph.replay().clone()

    def _record(self, arguments: tuple[Any, ...], tensors: list[Tensor]) -> _Graph:
        """Record a graph that works on copies of the tensors."""
        inputs = [tensor.clone() for tensor in tensors]

        def call(*replacements: Tensor) -> Tensor:
            return self.fn(*replace_tensors(arguments, list(replacements)))

        return _Graph(inputs, tensors, self.capture(call, tuple(inputs)))
