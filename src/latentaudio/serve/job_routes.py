"""`/v1/audio/generations`: requests for clips, their state, content, events and end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from .access import caller_of, manager_of
from .answers import EVENT_SCHEMA, EVENT_TYPE, content_answer, event_answer, wait_or_cancel
from .bodies import JSON_TYPE, MULTIPART_TYPE, REQUEST_PART, read_generation
from .callers import Caller
from .content import (
    BINARY_SCHEMA,
    JSONL_TYPE,
    ZIP_TYPE,
    FileEncoding,
    audio_types,
    mel_picture,
)
from .entries import PATH
from .jobs import JobManager
from .problems import Problem, error_responses, problem_of
from .schemas import Bundle, Job, JobList

CallerDependency = Annotated[Caller, Depends(caller_of)]
ManagerDependency = Annotated[JobManager, Depends(manager_of)]
ClipNumber = Annotated[int, Query(ge=0, le=10_000, description="Number of the clip, from 0.")]

MAX_KEY_CHARS = 200
REQUEST_SCHEMA = "#/components/schemas/GenerationRequest"
CONTENT_RESPONSE: dict[str, Any] = {
    "description": "Audio; several clips as zip or JSON lines.",
    "content": {key: {"schema": BINARY_SCHEMA} for key in (*audio_types(), ZIP_TYPE, JSONL_TYPE)},
}
_PART_RESPONSES: dict[int | str, dict[str, Any]] = {
    206: {"description": "A range of the content."},
    416: {"description": "The range lies outside of the content."},
}
_BODY = {
    "required": True,
    "content": {
        JSON_TYPE: {"schema": {"$ref": REQUEST_SCHEMA}},
        MULTIPART_TYPE: {
            "schema": {
                "type": "object",
                "description": "Parts named like fields, a part `request` with JSON, and files.",
                "properties": {REQUEST_PART: {"type": "string"}, "file": {"type": "string"}},
                "additionalProperties": {"type": "string"},
            }
        },
    },
}
_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same body gives the same job.",
    "schema": {"type": "string", "maxLength": MAX_KEY_CHARS},
}

router = APIRouter(prefix=PATH, tags=["generations"])


@router.post(
    "",
    status_code=202,
    response_model=Job,
    summary="Request clips",
    responses={
        200: CONTENT_RESPONSE,
        **error_responses(
            "bad_json", "bad_multipart", "unauthorized", "request_timeout",
            "idempotency_conflict", "too_large", "unsupported_media_type", "invalid_request",
            "generation_failed", "queue_full", "cancelled", "internal", "draining", "deadline",
        ),
    },
    openapi_extra={"requestBody": _BODY, "parameters": [_KEY_HEADER]},
)  # fmt: skip
async def create(
    request: Request, caller: CallerDependency, manager: ManagerDependency
) -> Response:
    """Take a request; answer with its job, or with `wait` with its content."""
    key = request.headers.get("idempotency-key", "")
    if len(key) > MAX_KEY_CHARS:
        raise Problem("invalid_request", f"Idempotency-Key is longer than {MAX_KEY_CHARS}")
    async with AsyncExitStack() as stack:
        body = await read_generation(request, manager.limits, manager.store, stack)
        entry, is_hit = await manager.submit(
            caller, body.wire, body.parts, idempotency_key=key, body_sha256=body.sha256
        )
    if body.wire.get("wait", False):
        await wait_or_cancel(request, manager, entry)
        return await content_answer(request, manager, entry)
    headers = {"Location": f"{PATH}/{entry.job.id}", "X-Cache": "hit" if is_hit else "miss"}
    return JSONResponse(manager.state(entry).model_dump(), 202, headers=headers)


@router.get("", summary="List jobs", responses=error_responses("unauthorized", "not_found"))
async def list_jobs(
    caller: CallerDependency,
    manager: ManagerDependency,
    limit: Annotated[int, Query(ge=1, le=100, description="Most jobs in the answer.")] = 20,
    after: Annotated[str, Query(max_length=100, description="Id of the last one before.")] = "",
) -> JobList:
    """Return the jobs of the caller, the newest first."""
    entries = manager.index.of_owner(caller.owner)
    if after:
        entries = entries[entries.index(manager.index.get(caller.owner, after)) + 1 :]
    data = [manager.state(entry) for entry in entries[:limit]]
    return JobList(data=data, has_more=len(entries) > limit)


@router.get(
    "/{job}", summary="State of a job", responses=error_responses("unauthorized", "not_found")
)
async def get_job(job: str, caller: CallerDependency, manager: ManagerDependency) -> Job:
    """Return how far a job is."""
    return manager.state(manager.index.get(caller.owner, job))


@router.get(
    "/{job}/content",
    summary="Clips of a job",
    response_class=Response,
    responses={
        200: CONTENT_RESPONSE,
        **_PART_RESPONSES,
        **error_responses("unauthorized", "not_found", "not_finished", "gone", "invalid_request"),
    },
)
async def get_content(
    request: Request,
    job: str,
    caller: CallerDependency,
    manager: ManagerDependency,
    clip: ClipNumber | None = None,
    format: Annotated[str, Query(max_length=20, description="Another format.")] = "",
    subtype: Annotated[str, Query(max_length=20, description="Sample encoding.")] = "",
    bundle: Annotated[Bundle, Query(description="How several clips are answered.")] = "",
) -> Response:
    """Return the clips of a finished job."""
    entry = manager.index.get(caller.owner, job)
    encoding = None
    if format or subtype:
        encoding = FileEncoding(
            format or entry.encoding.format, subtype or None, entry.encoding.dither
        )
        try:
            encoding.check()
        except Exception as error:
            raise problem_of(error) from None
    return await content_answer(
        request, manager, entry, clip=clip, encoding=encoding, bundle=bundle
    )


@router.get(
    "/{job}/mel",
    summary="Picture of a clip",
    response_class=Response,
    responses={
        200: {
            "description": "A mel spectrogram in gray levels.",
            "content": {"image/png": {"schema": BINARY_SCHEMA}},
        },
        **error_responses("unauthorized", "not_found", "not_finished"),
    },
)
async def get_mel(
    job: str, caller: CallerDependency, manager: ManagerDependency, clip: ClipNumber = 0
) -> Response:
    """Return the mel spectrogram of a clip: one pixel for each frame and band."""
    entry = manager.index.get(caller.owner, job)
    if entry.job.status != "done":
        raise Problem("not_finished", f"the job is {entry.job.status}; it has no clips")
    if clip >= len(entry.job.clips):
        raise Problem("not_found", f"there is no clip {clip}; the job has {len(entry.job.clips)}")
    rate = entry.job.clips[clip].sample_rate

    def draw() -> bytes:
        return mel_picture(manager.store.read_clip(job, clip), rate)

    return Response(await asyncio.to_thread(draw), media_type="image/png")


@router.get(
    "/{job}/events",
    summary="Events of a job",
    response_class=Response,
    responses={
        200: {
            "description": "Events queued, step, preview and done.",
            "content": {EVENT_TYPE: {"schema": EVENT_SCHEMA}},
        },
        **error_responses("unauthorized", "not_found"),
    },
)
async def get_events(job: str, caller: CallerDependency, manager: ManagerDependency) -> Response:
    """Return what happens to a job, until its end."""
    entry = manager.index.get(caller.owner, job)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return event_answer(manager, entry, headers)


@router.delete(
    "/{job}",
    summary="Cancel or remove a job",
    responses=error_responses("unauthorized", "not_found"),
)
async def delete_job(job: str, caller: CallerDependency, manager: ManagerDependency) -> Job:
    """Cancel a job that waits or runs; remove one that has ended, with its clips."""
    entry = manager.index.get(caller.owner, job)
    if entry.is_ended:
        manager.remove(entry)
        return entry.job
    manager.cancel(entry)
    await manager.wait(entry)
    return entry.job
