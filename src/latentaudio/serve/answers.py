"""Answers with sound: the content of jobs, ranges of bytes, server-sent events."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive

from .content import JSONL_TYPE, MEDIA_TYPES, ZIP_TYPE, FileEncoding, json_lines, sha256_of, zip_of
from .entries import Entry
from .problems import Problem
from .schemas import QueuedEvent, StepEvent

if TYPE_CHECKING:
    from .jobs import JobManager

EVENT_TYPE = "text/event-stream"
EVENT_SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["event", "data"],
}
"""Schema of one server-sent event; `data` is JSON."""
KEEP_ALIVE_S = 15.0
EVENT_INTERVAL_S = 1.0
"""Seconds after which the place in the queue is looked up again."""
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def content_answer(
    request: Request,
    manager: JobManager,
    entry: Entry,
    *,
    clip: int | None = None,
    encoding: FileEncoding | None = None,
    bundle: str = "",
) -> Response:
    """Return the clips of a finished job.

    Args:
        request: The request, for its range.
        manager: The jobs.
        entry: The job.
        clip: Number of one clip; None: all of them.
        encoding: Another format than that of the job, or None.
        bundle: "zip" or "jsonl"; "": a single clip as audio, several as zip.

    Raises:
        Problem: The job is not done, or has no such clip.
    """
    job = entry.job
    if job.status in ("failed", "cancelled"):
        raise Problem("gone", f"the job {job.status}; it has no content")
    if job.status != "done":
        raise Problem("not_finished", f"the job is {job.status}; ask again when it is done")
    if clip is not None and not 0 <= clip < len(job.clips):
        raise Problem("not_found", f"there is no clip {clip}; the job has {len(job.clips)}")
    encoding = encoding or entry.encoding
    bundle = bundle or entry.bundle
    numbers = list(range(len(job.clips))) if clip is None else [clip]
    try:
        data = await asyncio.to_thread(_read_clips, manager, entry, numbers, encoding)
    except OSError:
        raise Problem("not_found", "the clips of this job have been removed") from None
    if (len(numbers) == 1 and not bundle) or clip is not None:
        return _audio_answer(request, entry, numbers[0], data[0], encoding)
    facts = []
    for number, content in zip(numbers, data, strict=True):
        changes = {"sha256": sha256_of(content), "size": len(content)}
        facts.append(job.clips[number].model_copy(update=changes).model_dump())
    headers = _job_headers(entry)
    if bundle == "jsonl":
        lines = b"".join(json_lines(list(zip(facts, data, strict=True))))
        return Response(lines, media_type=JSONL_TYPE, headers=headers)
    files = []
    for number, content in zip(numbers, data, strict=True):
        files.append((f"clip_{number:03}.{encoding.format}", content))
    table = "".join(f"{json.dumps(fact)}\n" for fact in facts)
    data_zip = await asyncio.to_thread(zip_of, [*files, ("clips.jsonl", table.encode())])
    headers["Content-Disposition"] = f'attachment; filename="{job.id}.zip"'
    return with_range(request, Response(data_zip, media_type=ZIP_TYPE, headers=headers))


def _read_clips(
    manager: JobManager, entry: Entry, numbers: list[int], encoding: FileEncoding
) -> list[bytes]:
    """Return the bytes of some clips."""
    contents = []
    for number in numbers:
        if encoding == entry.encoding:
            contents.append(manager.store.read_content(entry.job.id, number))
            continue
        samples = manager.store.read_clip(entry.job.id, number)
        file = entry.files[number]
        rate = entry.job.clips[number].sample_rate
        contents.append(encoding.encode(samples, rate, file.tags, file.is_loop))
    return contents


def _job_headers(entry: Entry) -> dict[str, str]:
    return {"X-Job-Id": entry.job.id, "X-Cache": "hit" if entry.job.cached else "miss"}


def _audio_answer(
    request: Request, entry: Entry, number: int, data: bytes, encoding: FileEncoding
) -> Response:
    clip = entry.job.clips[number]
    sha256 = sha256_of(data)
    name = f"{entry.job.id}_{number}.{encoding.format}"
    headers = {
        **_job_headers(entry),
        "X-Seed": str(clip.seed),
        "X-Sha256": sha256,
        "X-Sample-Rate": str(clip.sample_rate),
        "ETag": f'"{sha256}"',
        "Content-Disposition": f'inline; filename="{name}"',
    }
    return with_range(
        request, Response(data, media_type=MEDIA_TYPES[encoding.format], headers=headers)
    )


def with_range(request: Request, response: Response) -> Response:
    """Return the part of an answer that the request asks for, if it asks for one range."""
    response.headers["Accept-Ranges"] = "bytes"
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    data = bytes(response.body)
    if match is None or match[0] == "bytes=-":
        return response
    if match[1]:
        start = int(match[1])
        end = min(int(match[2] or len(data) - 1), len(data) - 1)
    else:
        start = max(len(data) - int(match[2]), 0)
        end = len(data) - 1
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    if start > end:
        headers["content-range"] = f"bytes */{len(data)}"
        return Response(b"", 416, headers=headers)
    headers["content-range"] = f"bytes {start}-{end}/{len(data)}"
    return Response(data[start : end + 1], 206, headers=headers)


async def wait_or_cancel(request: Request, manager: JobManager, entry: Entry) -> None:
    """Wait until a job has ended; cancel it if the client goes away.

    A job with an idempotency key goes on, because the client may ask for it again.

    Raises:
        Problem: The job failed or was cancelled.
    """
    done = asyncio.create_task(manager.wait(entry))
    gone = asyncio.create_task(disconnected(request.receive))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            if entry.idempotency is None:
                manager.cancel(entry, "the client has gone away")
            raise Problem("cancelled", "the client has gone away")
    finally:
        done.cancel()
        gone.cancel()
    if entry.job.error is not None:
        raise Problem(entry.job.error.code, entry.job.error.message, entry.job.error.param)


async def disconnected(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def event_answer(manager: JobManager, entry: Entry, headers: Mapping[str, str]) -> Response:
    """Return the events of a job as a stream."""
    return StreamingResponse(_events(manager, entry), media_type=EVENT_TYPE, headers=dict(headers))


async def _events(manager: JobManager, entry: Entry) -> AsyncIterator[str]:
    """Yield what changes, at the pace at which the client reads."""
    number = 0
    last: dict[str, str] = {}
    silent_s = 0.0
    while True:
        seen = entry.num_changes
        job = manager.state(entry)
        current: list[tuple[str, str, str]] = []
        if job.status == "queued":
            queued = QueuedEvent(position=job.position or 0, eta_s=job.eta_s)
            current.append(("queued", str(job.position), queued.model_dump_json()))
        elif job.status == "running":
            step = StepEvent(
                steps_done=job.steps_done, steps_total=job.steps_total, eta_s=job.eta_s
            )
            current.append(("step", str(job.steps_done), step.model_dump_json()))
        if entry.preview is not None:
            preview = entry.preview
            current.append(("preview", str(preview.steps_done), preview.model_dump_json()))
        if entry.is_ended:
            current.append(("done", "", entry.job.model_dump_json()))
        for name, key, data in current:
            if last.get(name) != key:
                last[name] = key
                silent_s = 0.0
                yield f"id: {number}\nevent: {name}\ndata: {data}\n\n"
                number += 1
        if entry.is_ended:
            return
        await entry.wait_for_change(seen, EVENT_INTERVAL_S)
        silent_s += EVENT_INTERVAL_S
        if silent_s >= KEEP_ALIVE_S:
            silent_s = 0.0
            yield ": keep-alive\n\n"
