"""Takes requests, gives them to the scheduler, and tells how far they are."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from .batches import default_batch_size
from .callers import Caller
from .compute import Compute, PoolCompute
from .entries import Entry, JobIndex, new_entry
from .files import FileReader, Uploads
from .idempotency import IdempotencyKeys
from .limits import Limits
from .metrics import Metrics
from .model_pool import ModelPool
from .notices import collect
from .planning import Plan, Planner
from .problems import Problem, problem_of
from .runner import JobTask, Runner
from .scheduler import CancelledError, Place, Scheduler, StoppedError, Task
from .schemas import Job
from .spread_scheduler import SpreadScheduler
from .store import Store
from .streams import Streams

P = TypeVar("P")

LOGGER = logging.getLogger("latentaudio.serve")
HOUSEKEEPING_S = 2.0
"""Seconds between two looks at lifetimes and idle models."""
PLACES_AGE_S = 0.2
"""Age up to which estimates of waiting times are used again."""
NUM_DECODERS = 2
"""Requests whose sources are decoded at the same time."""
STOP_S = 8.0
"""Seconds for the last step, when the server stops."""
SERVER_GROUP = ""
"""Group of the server's own tasks."""


@dataclass(frozen=True)
class JobSettings:
    """How jobs are run.

    Attributes:
        unload_after_s: Seconds without requests after which models are dropped; 0: never.
        warm_up: Whether the first model is loaded before the server is ready.
        log_prompts: Whether prompts are written to the log.
        batch_size: Requests of equal shape that share a batch; 0: 1 on a CPU, 8 on a GPU.
        max_queue_per_group: Requests of one group that wait or run; 0: the whole queue.
    """

    unload_after_s: float = 900.0
    warm_up: bool = True
    log_prompts: bool = False
    batch_size: int = 0
    max_queue_per_group: int = 0


class JobManager:
    """All jobs of one server. Its methods are called in the thread of the event loop.

    Attributes:
        pool: The models.
        limits: Limits of requests.
        settings: How jobs are run.
        metrics: Counters.
        store: Clips and files on disk.
        index: All jobs.
        uploads: Uploaded files.
        streams: Streams that are sent.
        is_ready: Whether the first model has generated a clip, or is loaded at the first request.
        has_failed: Whether the warm-up has failed, and no job has succeeded since.
        is_draining: Whether new requests are refused.
    """

    def __init__(
        self,
        pool: ModelPool,
        store: Store,
        limits: Limits,
        settings: JobSettings,
        elsewhere: Compute | None = None,
    ) -> None:
        """Read the finished jobs of the store.

        Args:
            pool: The models.
            store: Clips and files on disk.
            limits: Limits of requests.
            settings: How jobs are run.
            elsewhere: Computes on other machines; None: this process computes.
        """
        self.pool = pool
        self.limits = limits
        self.settings = settings
        self.metrics = Metrics()
        self.store = store
        self.index = JobIndex(store, limits)
        self.uploads = Uploads(store, limits)
        self.is_ready = False
        self.has_failed = False
        self.is_draining = False
        self._planner = Planner(pool, limits)
        compute = elsewhere or PoolCompute(pool)
        self._runner = Runner(pool, store, self._post, self.metrics, compute)
        self._scheduler = self._make_scheduler(is_local=elsewhere is None)
        self.streams = Streams(self._scheduler, compute, self._post, self.metrics, limits)
        self._decoders = asyncio.Semaphore(NUM_DECODERS)
        self._keys = IdempotencyKeys()
        self._places: dict[Task, Place] = {}
        self._places_time = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._housekeeping: asyncio.Task[None] | None = None
        self._worker = threading.Thread(target=self._work, name="worker", daemon=True)
        for entry in self.index:
            self._keys.remember(entry)
        self.evict()

    async def start(self) -> None:
        """Start the worker thread and the warm-up."""
        self._loop = asyncio.get_running_loop()
        self._worker.start()
        self._housekeeping = asyncio.create_task(self._keep_house())
        if self.settings.warm_up:
            self._submit_own(self._runner.warm_up, self._end_warm_up)
        else:
            self.is_ready = True

    async def stop(self) -> None:
        """End all jobs that are not done, and the worker thread."""
        self.is_draining = True
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        self._scheduler.stop()
        await asyncio.to_thread(self._worker.join, STOP_S)

    def drain(self) -> None:
        """Refuse new requests from now on."""
        self.is_draining = True

    @property
    def num_unfinished(self) -> int:
        """Jobs that wait or run."""
        return self._scheduler.num_tasks

    async def submit(
        self,
        caller: Caller,
        wire: Mapping[str, Any],
        parts: Mapping[str, tuple[Path, str]] | None = None,
        *,
        idempotency_key: str = "",
        body_sha256: str = "",
    ) -> tuple[Entry, bool]:
        """Take a request.

        Args:
            caller: Who sent it.
            wire: Fields of `schemas.GenerationRequest` that it sets.
            parts: File parts of the request: path and name by the name of the part.
            idempotency_key: The same key with the same body gives the same job; "" is no key.
            body_sha256: Hash of the body.

        Returns:
            The job, and whether it is answered with the clips of an earlier one.

        Raises:
            Problem: It cannot be taken.
        """
        if not idempotency_key:
            return await self._submit(caller, wire, parts or {}, None)
        key = (caller.owner, idempotency_key, body_sha256)
        known = await self._keys.find(*key)
        if known is not None:
            return known, known.job.cached
        async with self._keys.reserve(*key) as request:
            request.entry, is_hit = await self._submit(
                caller, wire, parts or {}, (idempotency_key, body_sha256)
            )
        return request.entry, is_hit

    def cancel(self, entry: Entry, reason: str = "cancelled by the client") -> None:
        """Cancel a job; its place is free at once, and its computation ends with the step."""
        if entry.task is not None:
            self._scheduler.cancel(entry.task, CancelledError(reason))

    def remove(self, entry: Entry) -> None:
        """Remove a job that has ended."""
        self.index.remove(entry)
        self._keys.forget(entry)

    def state(self, entry: Entry) -> Job:
        """Return a job with its place in the queue and the time that is left."""
        if entry.task is None:
            return entry.job
        now = time.monotonic()
        if now - self._places_time > PLACES_AGE_S or entry.task not in self._places:
            self._places = self._scheduler.places()
            self._places_time = now
        place = self._places.get(entry.task, Place(0, None))
        eta_s = None if place.eta_s is None else round(place.eta_s, 2)
        return entry.job.model_copy(update={"position": place.position, "eta_s": eta_s})

    async def wait(self, entry: Entry) -> None:
        """Return when a job has ended."""
        while not entry.is_ended:
            await entry.wait_for_change(entry.num_changes, HOUSEKEEPING_S)

    async def plan(self, make: Callable[[Planner], P]) -> P:
        """Return what a function makes with the planner, in another thread.

        Raises:
            Problem: It cannot be made.
        """
        async with self._decoders:
            try:
                return await asyncio.to_thread(make, self._planner)
            except Exception as error:
                problem = problem_of(error)
                if problem.info.code == "internal":
                    LOGGER.exception("a request could not be planned")
                raise problem from None

    async def _submit(
        self,
        caller: Caller,
        wire: Mapping[str, Any],
        parts: Mapping[str, tuple[Path, str]],
        idempotency: tuple[str, str] | None,
    ) -> tuple[Entry, bool]:
        arrival = time.monotonic()
        self.check_open(caller)
        files = FileReader(caller.owner, self.uploads, self.index, parts)
        plan = await self._plan(wire, files)
        self.check_open(caller)
        entry = new_entry(caller.owner, plan, wire)
        entry.idempotency = idempotency
        if await self._answer_from_cache(entry):
            return entry, True
        deadline_s = wire.get("deadline_s")
        task = JobTask(
            caller.group,
            plan.model,
            plan.num_units,
            partial(self._on_end, entry),
            batch_key=plan.batch_key,
            deadline=float("inf") if deadline_s is None else arrival + deadline_s,
            entry=entry,
        )
        try:
            self._scheduler.submit(task)
        except Exception as error:
            raise problem_of(error) from None
        entry.task = task
        self.index.add(entry)
        prompt = f" prompt {wire.get('prompt', '')!r}" if self.settings.log_prompts else ""
        LOGGER.info(
            "%s taken: %s with %s, %d clips, %d steps%s",
            entry.job.id, plan.verb, plan.model, plan.num_clips, plan.num_steps, prompt,
        )  # fmt: skip
        return entry, False

    def check_open(self, caller: Caller) -> None:
        """Raise Problem if no request is taken."""
        if self.is_draining:
            raise problem_of(StoppedError("the server is stopping; try again later"))
        try:
            self._scheduler.check_room(caller.group)
        except Exception as error:
            raise problem_of(error) from None

    async def _plan(self, wire: Mapping[str, Any], files: FileReader) -> Plan:
        """Return the plan of a request, made in another thread."""
        notices: list[str] = []

        def make(planner: Planner) -> Plan:
            with collect(notices):
                return planner.plan(wire, files)

        return (await self.plan(make)).with_warnings(notices)

    async def _answer_from_cache(self, entry: Entry) -> bool:
        """Finish a job with the clips of an earlier one; return whether there is one."""
        earlier = self.index.with_digest(entry.digest)
        if earlier is None:
            return False
        now = time.time()
        own = f"/{entry.job.id}/"
        clips = []
        for clip in earlier.job.clips:
            url = clip.content_url.replace(f"/{earlier.job.id}/", own)
            clips.append(clip.model_copy(update={"content_url": url}))
        values = {
            "status": "done",
            "started": now,
            "finished": now,
            "steps_done": entry.job.steps_total,
            "clips": clips,
            "cached": True,
        }
        entry.files = earlier.files
        done = entry.job.model_copy(update=values)

        def copy() -> int:
            with self.store.write_job(entry.job.id) as folder:
                self.store.copy_clips(earlier.job.id, folder, len(clips))
                stored = Entry(
                    done, entry.owner, entry.encoding, entry.digest, entry.bundle,
                    files=entry.files, idempotency=entry.idempotency,
                )  # fmt: skip
                folder.add_record(stored.to_record())
            return self.store.job_bytes(entry.job.id)

        try:
            entry.num_bytes = await asyncio.to_thread(copy)
        except Exception:  # it has been removed meanwhile, or the disk is full
            LOGGER.exception("clips of the cache could not be used")
            return False
        entry.plan = None
        entry.change(**values)
        self.index.add(entry)
        self.evict()
        self.metrics.cache_hits.inc()
        self.metrics.jobs.labels("done").inc()
        return True

    def _on_end(self, entry: Entry, error: BaseException | None) -> None:
        """Note the end of a job; called in the worker thread."""
        problem = None
        if error is not None:
            problem = problem_of(error)
            if problem.info.code == "internal":
                LOGGER.error("%s failed", entry.job.id, exc_info=error)
        self._post(self._end, entry, problem)

    def _end(self, entry: Entry, problem: Problem | None) -> None:
        entry.task = None
        entry.plan = None
        entry.preview = None
        if problem is None or entry.result:  # stored before it was cancelled
            values = entry.result
            self.index.note_done(entry)
            if self.has_failed:
                self._note_model(has_worked=True)
        else:
            status = "cancelled" if problem.info.code == "cancelled" else "failed"
            values = {"status": status, "finished": time.time(), "error": problem.info}
            self._keys.forget(entry)
        entry.result = {}
        entry.change(**values)
        seconds = values["finished"] - entry.job.created
        self.metrics.jobs.labels(entry.job.status).inc()
        self.metrics.job_seconds.observe(seconds)
        LOGGER.info("%s %s after %.2f s", entry.job.id, entry.job.status, seconds)
        self.evict()

    def evict(self) -> None:
        """Remove the oldest ended jobs beyond the limits of the store."""
        for entry in self.index.evict(self.uploads.num_bytes):
            self._keys.forget(entry)

    def _submit_own(
        self,
        work: Callable[[Task], Iterator[object]],
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        """Give the worker thread a task of the server."""
        self._scheduler.submit(JobTask(SERVER_GROUP, SERVER_GROUP, 1.0, on_end, work=work))

    def _end_warm_up(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, StoppedError):
            LOGGER.error("the warm-up failed", exc_info=error)
        self._post(self._note_model, has_worked=error is None)

    def _note_model(self, *, has_worked: bool) -> None:
        """Note whether the models can generate."""
        self.is_ready = has_worked
        self.has_failed = not has_worked

    async def _keep_house(self) -> None:
        """Delete what has expired, and drop models that nobody uses."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            self.uploads.remove_expired()
            self.metrics.queue.set(self.num_unfinished)
            self.metrics.models_loaded.set(self.pool.num_loaded)
            is_idle = 0 < self.settings.unload_after_s < self._scheduler.idle_s
            if is_idle and self.pool.num_loaded and not self.is_draining:
                self._submit_own(self._runner.unload, lambda error: None)

    def _post(self, function: Callable[..., object], *values: Any, **named: Any) -> None:
        """Call a function in the thread of the event loop."""
        assert self._loop is not None, "the server has started"
        try:
            self._loop.call_soon_threadsafe(partial(function, *values, **named))
        except RuntimeError:  # the loop has ended, and with it everybody who waits
            LOGGER.debug("a message came after the end of the event loop")

    def _work(self) -> None:
        """Run the scheduler; torch computes in this thread only."""
        import torch

        torch.set_num_threads(torch.get_num_threads())  # OpenMP keeps a number for each thread
        try:
            self._scheduler.run()
        except BaseException:
            LOGGER.exception("the worker thread has ended")
            self._post(self._give_up)

    def _give_up(self) -> None:
        """Take no more requests, because nothing computes any more."""
        self.is_ready = False
        self.is_draining = True
        self._scheduler.stop()

    def _make_scheduler(self, is_local: bool) -> Scheduler | SpreadScheduler:
        max_tasks = self.limits.max_queue
        max_tasks_per_group = self.settings.max_queue_per_group or max_tasks
        if not is_local:
            return SpreadScheduler(
                self._runner, max_tasks=max_tasks, max_tasks_per_group=max_tasks_per_group
            )
        return Scheduler(
            self._runner,
            max_tasks=max_tasks,
            max_tasks_per_group=max_tasks_per_group,
            batch_size=self.settings.batch_size or default_batch_size(self.pool.settings.device),
        )
