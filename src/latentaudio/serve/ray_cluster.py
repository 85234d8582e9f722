"""The jobs of a server on the machines of a Ray cluster, by Ray Serve.

One process answers HTTP, keeps the jobs and writes the store; it computes nothing. Replicas
compute: each holds the models and a scheduler of steps, and Ray Serve starts and stops replicas
with the load. If a replica dies, its parts are computed again by another; a clip that has come is
not taken twice.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ..audio.io import Audio
from ..errors import GenerationError
from .batches import Batch, default_batch_size
from .compute import PartEvent, PoolCompute, StepDone
from .model_pool import ModelPool, PoolSettings
from .planning import Part
from .problems import Problem, problem_of
from .ray_connection import connect_ray, num_workers
from .scheduler import CancelledError, Scheduler, Task

APPLICATION = "latentaudio"
NUM_TRIES = 4
"""How often a part is computed whose replica dies."""
TASKS_PER_REPLICA = 2
"""Tasks of a replica above which another one is started."""
MAX_TASKS_PER_REPLICA = 16
CLOSE_S = 30.0
"""Seconds for the last step of a replica that stops."""
UPSCALE_DELAY_S = 3.0
"""Seconds of load after which a replica is started."""


@dataclass(frozen=True)
class Turn:
    """What the scheduler of a replica has to know of a task.

    Attributes:
        group: Whose turns it uses; see `callers.Caller`.
        lane: The model.
        num_units: Its work.
        batch_key: Tasks with equal keys can share a batch.
    """

    group: str
    lane: str
    num_units: float
    batch_key: object


@dataclass(frozen=True)
class Failure:
    """Why a part could not be computed, as a client is told."""

    code: str
    message: str
    param: str | None


@dataclass(eq=False)
class ReplicaTask(Task):
    """A part that a replica computes.

    Attributes:
        part: The part.
        preview_every: Steps between two previews.
        emit: Called in the worker thread with every event.
    """

    part: Part | None = None
    preview_every: Sequence[int] = ()
    emit: Callable[[PartEvent], None] = lambda _event: None


class StepReplica:
    """What runs in a replica: models, and the scheduler that shares them step by step.

    Attributes:
        pool: The models.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self.pool = ModelPool(settings)
        self._compute = PoolCompute(self.pool)
        self._scheduler = Scheduler(
            self._steps,
            max_tasks=MAX_TASKS_PER_REPLICA * 2,
            batch_size=default_batch_size(settings.device),
        )
        self._worker = threading.Thread(target=self._scheduler.run, name="worker", daemon=True)
        self._worker.start()

    async def compute(
        self, part: Part, preview_every: Sequence[int], turn: Turn
    ) -> AsyncIterator[PartEvent | Failure]:
        """Yield the events of a part. Cancelling the call ends it with the step."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[PartEvent | Failure | None] = asyncio.Queue()

        def emit(event: PartEvent | Failure | None) -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it everybody who waits
                loop.call_soon_threadsafe(events.put_nowait, event)

        def on_end(error: BaseException | None) -> None:
            if error is not None:
                info = problem_of(error).info
                emit(Failure(info.code, info.message, info.param))
            emit(None)

        task = ReplicaTask(
            turn.group, turn.lane, turn.num_units, on_end, batch_key=turn.batch_key,
            part=part, preview_every=preview_every, emit=emit,
        )  # fmt: skip
        self._scheduler.submit(task)
        try:
            while (event := await events.get()) is not None:
                yield event
        finally:
            self._scheduler.cancel(task, CancelledError("nobody waits for it any more"))

    def _steps(self, tasks: Sequence[Task]) -> Iterator[object]:
        """Compute one part, or several of one request each in one batch."""
        own = [task for task in tasks if isinstance(task, ReplicaTask) and task.part is not None]
        batch = Batch([task.part for task in own if task.part is not None])
        clips = batch.clips()
        previews = [every for task in own for every in task.preview_every]
        for event in self._compute(batch.joined, previews):
            if isinstance(event, StepDone):
                for number, task in enumerate(own):
                    task.num_done = task.num_units * event.num_done / _num_steps(batch.joined)
                    task.emit(batch.step_of(event, number))
                yield None
            elif isinstance(event, Audio):
                number, _ = next(clips)
                own[number].emit(event)
            else:
                own[0].emit(event)

    def close(self) -> None:
        """End all tasks and the worker thread."""
        self._scheduler.stop()
        self._worker.join(CLOSE_S)

    __del__ = close  # Ray Serve calls it when a replica stops


def _num_steps(part: Part) -> int:
    """Return the clip-steps of the first passes of a part."""
    return max(1, sum(each.options.steps * each.options.num_seeds for each in part.requests))


class ClusterCompute:
    """Computes parts on replicas; a part whose replica dies is computed again.

    Attributes:
        handle: The deployment of `StepReplica`.
        lost: Exceptions of Ray that mean that a replica is gone.
    """

    def __init__(self, handle: Any, lost: tuple[type[BaseException], ...]) -> None:
        self.handle = handle.options(stream=True)
        self.lost = lost

    def __call__(self, part: Part, preview_every: Sequence[int], task: Task) -> Iterator[PartEvent]:
        """Yield the events of a part.

        Raises:
            Problem: It failed.
            GenerationError: Its replicas died.
        """
        num_clips = 0
        for _ in range(NUM_TRIES):
            num_again = num_clips  # a clip that has come is not taken twice
            try:
                for event in self._ask(part, preview_every, task):
                    if isinstance(event, Audio):
                        if num_again:
                            num_again -= 1
                            continue
                        num_clips += 1
                    yield event
                return
            except self.lost:
                if task.ending is not None:
                    raise task.ending from None
        raise GenerationError(f"its worker died {NUM_TRIES} times")

    def _ask(self, part: Part, preview_every: Sequence[int], task: Task) -> Iterator[PartEvent]:
        turn = Turn(task.group, task.lane, task.num_units, task.batch_key)
        events = self.handle.compute.remote(part, list(preview_every), turn)
        task.abort = events.cancel
        is_complete = False
        try:
            for event in events:
                if isinstance(event, Failure):
                    raise Problem(event.code, event.message, event.param)
                yield event
            is_complete = True
        finally:
            task.abort = None
            if not is_complete:
                with suppress(Exception):  # the replica is gone, or the call has ended
                    events.cancel()


@contextmanager
def cluster_compute(address: str, settings: PoolSettings) -> Iterator[ClusterCompute]:
    """Yield what computes on a cluster; its replicas end with the block.

    Args:
        address: Address of the cluster, see `connect_ray`.
        settings: How replicas load models.

    Raises:
        UsageError: Ray is not installed, or the cluster does not answer.
    """
    ray = connect_ray(address)
    from ray import serve
    from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError

    max_replicas, num_gpus = num_workers(ray, settings.device)
    deployment = serve.deployment(
        StepReplica,
        name="steps",
        max_ongoing_requests=MAX_TASKS_PER_REPLICA,
        autoscaling_config={
            "min_replicas": 1,
            "max_replicas": max_replicas,
            "target_ongoing_requests": TASKS_PER_REPLICA,
            "upscale_delay_s": UPSCALE_DELAY_S,
        },
        ray_actor_options={"num_cpus": 1, "num_gpus": num_gpus},
    )
    try:
        serve.start(proxy_location="Disabled")
        handle = serve.run(deployment.bind(settings), name=APPLICATION, route_prefix=None)
        yield ClusterCompute(handle, (ActorDiedError, ActorUnavailableError, RayActorError))
    finally:
        with suppress(Exception):  # the cluster may be gone
            serve.delete(APPLICATION)
        ray.shutdown()
