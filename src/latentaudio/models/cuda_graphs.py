"""A network's call as a CUDA graph: recorded once for its shapes, then played back, which spares the launching of kernels.

Knows how arguments are laid where a graph expects them. Refuses to know which network it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor

Record = Callable[[Callable[..., Tensor], tuple[Tensor, ...]], Callable[[], Tensor]]
"""(work on tensors, those tensors) -> the same work played back on whatever is in them; see `recorded`."""


def flatten_tensors(value: Any) -> list[Tensor]:
    """All tensors of a nest of tuples, lists and dataclasses, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for one in value for tensor in flatten_tensors(one)]
    if is_dataclass(value):
        return [
            tensor for field in fields(value) for tensor in flatten_tensors(getattr(value, field.name))
        ]
    return []


def replace_tensors(value: Any, tensors: list[Tensor]) -> Any:
    """The same nest with other tensors, which are taken from the front of a list."""
    if isinstance(value, Tensor):
        return tensors.pop(0)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(replace_tensors(one, tensors) for one in value))
    if isinstance(value, list | tuple):
        return type(value)(replace_tensors(one, tensors) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(
            **{
                field.name: replace_tensors(getattr(value, field.name), tensors)
                for field in fields(value)
            }
        )
    return value


def capture(work: Callable[..., Tensor], tensors: tuple[Tensor, ...]) -> Callable[[], Tensor]:
    """work(*tensors) as a graph: whoever plays it gets what `work` makes of what is in those very tensors then, always in the
    same memory."""
    with torch.cuda.device(tensors[0].device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(
            aside
        ):  # libraries prepare themselves at their first calls, which must not be recorded
            for _ in range(2):
                work(*tensors)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            made = work(*tensors)

    def play() -> Tensor:
        graph.replay()
        return made

    return play


class CUDAGraphRunner:
    """work(*arguments) -> Tensor, by a graph for each set of shapes; the `most` that were used last are kept.

    An argument that is the same object as at the call before is not copied again: nobody may change one in place.
    """

    def __init__(
        self, work: Callable[..., Tensor], record: Record = capture, most: int = 4
    ) -> None:
        self.work, self.record, self.most = work, record, most
        self._graphs: dict[Any, tuple[list[Tensor], list[Tensor], Callable[[], Tensor]]] = {}
        self._playing = Lock()  # the arguments of one thread must not meet the graph of another

    @torch.inference_mode()
    def __call__(self, *arguments: Any) -> Tensor:
        """What `work` makes of the arguments, in memory of its own."""
        given = flatten_tensors(arguments)
        key = tuple((one.shape, one.dtype) for one in given)
        with self._playing:
            if key in self._graphs:
                own, last, play = self._graphs.pop(key)
                for mine, before, now in zip(own, last, given, strict=True):
                    if now is not before:  # keys and values are the same ones from step to step
                        mine.copy_(now)
            else:
                own = [one.clone() for one in given]
                play = self.record(
                    lambda *tensors: self.work(*replace_tensors(arguments, list(tensors))), tuple(own)
                )
            self._graphs[key] = own, given, play  # the latest last
            for old in list(self._graphs)[: -self.most]:
                del self._graphs[old]
            return play().clone()
