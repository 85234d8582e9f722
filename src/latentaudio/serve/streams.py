"""Clips that belong to no job: the pieces of streams, as tasks of the scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from ..audio.io import Audio
from .compute import Compute, Notice, StepDone
from .limits import Limits
from .metrics import Metrics
from .planning import Part
from .problems import Problem, problem_of
from .runner import JobTask
from .scheduler import CancelledError, Scheduler, Task
from .spread_scheduler import SpreadScheduler

RETRY_AFTER_S = 10
"""Seconds after which a client may ask again when there are too many streams."""


@dataclass
class Streams:
    """The streams of one server. Its methods are called in the thread of the event loop.

    Attributes:
        scheduler: Runs tasks.
        compute: Computes parts.
        post: Calls a function in the thread of the event loop.
        metrics: Counters.
        limits: How many there may be.
        num_open: Streams that are computed and sent.
    """

    scheduler: Scheduler | SpreadScheduler
    compute: Compute
    post: Callable[..., None]
    metrics: Metrics
    limits: Limits
    num_open: int = field(default=0, init=False)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Count a stream while it is computed and sent.

        Raises:
            Problem: There are too many.
        """
        if self.num_open >= self.limits.max_streams:
            raise Problem(
                "queue_full",
                f"{self.num_open} streams are sent already; try again later",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self.num_open += 1
        self.metrics.streams.inc()
        try:
            yield
        finally:
            self.num_open -= 1
            self.metrics.streams.dec()

    async def run(
        self, group: str, part: Part, num_units: float, *, has_place: bool = False
    ) -> list[Audio]:
        """Compute a part in the turns of a group; return its clips.

        If the caller of this method is cancelled, the computation ends with the step.

        Args:
            group: Whose turns are used.
            part: What is computed.
            num_units: Its work.
            has_place: Whether it goes on with something that was taken; it is never refused.

        Raises:
            Problem: It was refused or failed.
        """
        clips: list[Audio] = []
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def work(task: Task) -> Iterator[object]:
            for event in self.compute(part, (), task):
                if isinstance(event, StepDone):
                    self.metrics.steps.inc()
                    yield None
                elif not isinstance(event, Notice):
                    self.metrics.audio_seconds.inc(event.duration)
                    clips.append(event)

        on_end = partial(self.post, _settle, done)
        task = JobTask(group, part.key.model, num_units, on_end, work=work)
        try:
            self.scheduler.submit(task, has_place=has_place)
        except Exception as error:
            raise problem_of(error) from None
        try:
            await done
        finally:
            self.scheduler.cancel(task, CancelledError("nobody waits for it any more"))
        return clips


def _settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    """Tell who waits that a task has ended."""
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(problem_of(error))
