"""Computes jobs step by step in the worker thread, and writes their clips to the store."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..audio.io import Audio
from ..config.options import GenerationOptions
from ..editing.inputs import RequestInputs
from ..generation.resolve import resolve_request
from .batches import Batch
from .compute import Compute, Notice, StepDone
from .content import measure, sha256_of
from .entries import PATH, ClipFile, Entry
from .metrics import Metrics
from .model_pool import ModelKey, ModelPool
from .notices import collect
from .planning import Part
from .scheduler import StoppedError, Task
from .schemas import Clip, PreviewEvent
from .store import JobFolder, Store

LOGGER = logging.getLogger("latentaudio.serve")
WARM_UP_DURATION_S = 1.0


@dataclass(eq=False)
class JobTask(Task):
    """A task that computes a job, or something of the server itself.

    Attributes:
        entry: The job, or None.
        work: What a task without a job does.
    """

    entry: Entry | None = None
    work: Callable[[Task], Iterator[object]] | None = None


class _Output:
    """The clips of one job, which become visible all at once."""

    def __init__(self, store: Store, task: JobTask) -> None:
        assert task.entry is not None
        self.task = task
        self.entry = task.entry
        self.clips: list[Clip] = []
        self.files: list[ClipFile] = []
        self.notices: list[str] = []
        self.num_first_steps = 0
        self.num_second_steps = 0
        self.started = time.time()
        self.is_open = True
        self._context = store.write_job(self.entry.job.id)
        self.folder: JobFolder = self._context.__enter__()

    def commit(self, record: dict[str, Any]) -> None:
        """Give the job its name in the store."""
        self.is_open = False
        self.folder.add_record(record)
        self._context.__exit__(None, None, None)

    def discard(self) -> None:
        """Remove what has been written."""
        if self.is_open:
            self.is_open = False
            error = StoppedError("not finished")
            with suppress(StoppedError):
                self._context.__exit__(StoppedError, error, None)


class Runner:
    """Makes the steps of tasks. It is called in the worker thread.

    Attributes:
        pool: The models.
        store: Where clips are written.
        post: Calls a function in the thread of the event loop, in order.
        metrics: Counters.
        compute: Computes parts, here or elsewhere.
    """

    def __init__(
        self,
        pool: ModelPool,
        store: Store,
        post: Callable[..., None],
        metrics: Metrics,
        compute: Compute,
    ) -> None:
        self.pool = pool
        self.store = store
        self.post = post
        self.metrics = metrics
        self.compute = compute

    def __call__(self, tasks: Sequence[Task]) -> Iterator[object]:
        """Return the steps of one task, or of several that share a batch."""
        own = [task for task in tasks if isinstance(task, JobTask)]
        if own[0].work is not None:
            return own[0].work(own[0])
        return self._steps(own)

    def _steps(self, tasks: Sequence[JobTask]) -> Iterator[object]:
        outputs = []
        try:
            for task in tasks:
                outputs.append(_Output(self.store, task))
                self.post(outputs[-1].entry.change, status="running", started=outputs[-1].started)
            if len(outputs) == 1:
                plan = outputs[0].entry.plan
                assert plan is not None
                num_done = 0
                for part in plan.parts:
                    yield from self._run_batch(Batch([part]), outputs, num_done)
                    num_done += sum(r.options.steps * r.options.num_seeds for r in part.requests)
            else:
                yield from self._run_batch(_batch_of(outputs), outputs, 0)
            for output in outputs:
                if output.task.ending is None:
                    self._commit(output)
        finally:
            for output in outputs:
                output.discard()

    def _run_batch(
        self, batch: Batch, outputs: Sequence[_Output], num_before: int
    ) -> Iterator[object]:
        """Compute a batch with one output for each of its parts."""
        main = outputs[0]
        clips = batch.clips()
        preview_every = [output.entry.preview_every for output in outputs]
        events = self.compute(batch.joined, preview_every, main.task)
        try:
            for event in events:
                if isinstance(event, Notice):
                    main.notices.append(event.text)
                elif isinstance(event, StepDone):
                    for number, output in enumerate(outputs):
                        self._count(output, batch.step_of(event, number), num_before)
                    self.metrics.steps.inc()
                    yield None
                else:
                    number, row = next(clips)
                    if outputs[number].task.ending is None:
                        self._add_clip(outputs[number], event, row)
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()

    def _count(self, output: _Output, event: StepDone, num_before: int) -> None:
        """Report a step to the job of an output."""
        if event.is_second_pass:
            output.num_second_steps += 1
        else:
            output.num_first_steps = num_before + event.num_done
        entry = output.entry
        total = max(entry.job.steps_total, 1)
        num_done = min(output.num_first_steps + output.num_second_steps, total)
        output.task.num_done = output.task.num_units * num_done / total
        self.post(entry.change, steps_done=num_done)
        every = entry.preview_every
        if event.pictures and every and (event.index + 1) % every == 0:
            image = f"data:image/png;base64,{base64.b64encode(event.pictures[0]).decode()}"
            preview = PreviewEvent(steps_done=num_done, image=image)
            self.post(_set_preview, entry, preview)

    def _add_clip(self, output: _Output, audio: Audio, row: int) -> None:
        """Write a clip and note its facts."""
        entry = output.entry
        index = len(output.clips)
        file = ClipFile(audio.tags, audio.options.loop_seam_duration > 0)
        with collect(output.notices):
            data = entry.encoding.encode(audio.samples, audio.sample_rate, file.tags, file.is_loop)
        output.folder.add_clip(index, audio.samples)
        output.folder.add_content(index, data)
        output.files.append(file)
        output.clips.append(
            Clip(
                index=index,
                row=row,
                seed=audio.seed,
                duration=audio.duration,
                sample_rate=audio.sample_rate,
                channels=audio.samples.shape[0],
                **measure(audio.samples, audio.sample_rate),
                score=audio.score,
                sha256=sha256_of(data),
                size=len(data),
                content_url=f"{PATH}/{entry.job.id}/content?clip={index}",
                options=dict(file.tags),
            )
        )
        self.metrics.audio_seconds.inc(audio.duration)

    def _commit(self, output: _Output) -> None:
        """Store a job that is done, and show it."""
        entry = output.entry
        values = {
            "status": "done",
            "started": output.started,
            "finished": time.time(),
            "position": None,
            "steps_done": entry.job.steps_total,
            "clips": output.clips,
            "warnings": [*entry.job.warnings, *output.notices],
        }
        done = Entry(
            entry.job.model_copy(update=values),
            entry.owner,
            entry.encoding,
            digest=entry.digest,
            bundle=entry.bundle,
            files=output.files,
            idempotency=entry.idempotency,
        )
        output.commit(done.to_record())
        num_bytes = self.store.job_bytes(entry.job.id)
        self.post(_keep_result, entry, output.files, num_bytes, values)

    def warm_up(self, task: Task) -> Iterator[object]:
        """Load the first model and generate a short clip, so that the first request is quick."""
        source = self.pool.sources[self.pool.default]
        values: dict[str, Any] = {"duration": WARM_UP_DURATION_S, "seed": 0}
        if source.config.phonemes is not None:
            values["transcript"] = "Hello."
        options = GenerationOptions(prompt="warm-up", **values)
        inputs = RequestInputs(source.config.mel.sample_rate)
        request = resolve_request(options, source, inputs)
        yield from self.compute(Part(ModelKey(self.pool.default), (request,), (0,)), (), task)

    def unload(self, task: Task) -> Iterator[object]:
        """Drop all models from memory."""
        self.pool.unload()
        LOGGER.info("models unloaded after a time without requests")
        yield None


def _batch_of(outputs: Sequence[_Output]) -> Batch:
    """Return the batch of several jobs, of one part each."""
    parts = []
    for output in outputs:
        assert output.entry.plan is not None
        parts.append(output.entry.plan.parts[0])
    return Batch(parts)


def _set_preview(entry: Entry, preview: PreviewEvent) -> None:
    entry.preview = preview
    entry.change()


def _keep_result(
    entry: Entry, files: list[ClipFile], num_bytes: int, values: dict[str, Any]
) -> None:
    """Keep what a stored job shows when the scheduler reports its end."""
    entry.files = files
    entry.num_bytes = num_bytes
    entry.result = values
