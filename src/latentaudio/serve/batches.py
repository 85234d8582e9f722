"""Parts of several requests that one model computes together, and the share of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from .compute import StepDone
from .planning import Part

GPU_BATCH_SIZE = 8
"""Requests of equal shape that share a batch on a GPU."""


def default_batch_size(device: str) -> int:
    """Return how many requests share a batch: one on a CPU, where a batch is not faster.

    Args:
        device: As `device.pick_device` takes it.
    """
    from ..device import pick_device

    return 1 if pick_device(device).type == "cpu" else GPU_BATCH_SIZE


class Batch:
    """One part alone, or parts of one request each that are computed together.

    Attributes:
        parts: The parts.
        joined: One part with the requests of all.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self.joined = self.parts[0]
        if len(self.parts) > 1:
            requests = tuple(part.requests[0] for part in self.parts)
            self.joined = Part(self.parts[0].key, requests, tuple(range(len(requests))))

    def clips(self) -> Iterator[tuple[int, int]]:
        """Yield (number of the part, row) of each clip, in the order in which clips come."""
        for number, part in enumerate(self.parts):
            for request, row in zip(part.requests, part.rows, strict=True):
                for _ in range(request.options.num_waveforms):
                    yield number, row

    def step_of(self, event: StepDone, number: int) -> StepDone:
        """Return a step of the batch as one of its parts sees it.

        Args:
            event: The step.
            number: Number of the part.
        """
        if len(self.parts) == 1:
            return event
        pictures = event.pictures[number : number + 1] or event.pictures[-1:]
        return replace(event, num_done=event.num_done // len(self.parts), pictures=pictures)
