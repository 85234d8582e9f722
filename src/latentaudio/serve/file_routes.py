"""`/v1/files`: uploads, which requests name by id."""

from __future__ import annotations

import asyncio
import mimetypes
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from ..audio.io import read
from .bodies import MULTIPART_TYPE, read_multipart
from .content import mel_picture
from .job_routes import CallerDependency, ManagerDependency
from .problems import Problem, error_responses, problem_of
from .schemas import Deleted, FileList, UploadedFile

FILE_PART = "file"
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "content": {
        MULTIPART_TYPE: {
            "schema": {
                "type": "object",
                "required": [FILE_PART],
                "properties": {
                    FILE_PART: {"type": "string", "contentMediaType": "application/octet-stream"}
                },
            }
        }
    },
}

router = APIRouter(prefix="/v1/files", tags=["files"])


@router.post(
    "",
    status_code=201,
    summary="Upload a file",
    responses=error_responses(
        "bad_multipart", "unauthorized", "request_timeout", "too_large",
        "unsupported_media_type", "invalid_request", "draining",
    ),
    openapi_extra={"requestBody": _BODY},
)  # fmt: skip
async def upload(
    request: Request, caller: CallerDependency, manager: ManagerDependency
) -> UploadedFile:
    """Keep a sound or an image; each use renews its lifetime."""
    if not request.headers.get("content-type", "").lower().startswith(MULTIPART_TYPE):
        raise Problem("unsupported_media_type", f"send {MULTIPART_TYPE} with a part {FILE_PART}")
    async with AsyncExitStack() as stack:
        _, parts, _ = await read_multipart(request, manager.store, stack)
        if FILE_PART not in parts:
            raise Problem("invalid_request", f"there is no file part named {FILE_PART}", FILE_PART)
        path, name = parts[FILE_PART]
        try:
            file = await asyncio.to_thread(manager.uploads.add, caller.owner, path, name)
        except Exception as error:
            raise problem_of(error) from None
    manager.evict()
    return file


@router.get("", summary="List files", responses=error_responses("unauthorized"))
async def list_files(caller: CallerDependency, manager: ManagerDependency) -> FileList:
    """Return the files of the caller, the newest first."""
    return FileList(data=manager.uploads.of_owner(caller.owner))


@router.get(
    "/{file}", summary="Facts of a file", responses=error_responses("unauthorized", "not_found")
)
async def get_file(file: str, caller: CallerDependency, manager: ManagerDependency) -> UploadedFile:
    """Return what is known of a file, and renew its lifetime."""
    return manager.uploads.get(caller.owner, file)


@router.get(
    "/{file}/content",
    summary="Bytes of a file",
    response_class=Response,
    responses={
        200: {"description": "The bytes.", "content": {"application/octet-stream": _BINARY}},
        **error_responses("unauthorized", "not_found"),
    },
)
async def get_file_content(
    file: str, caller: CallerDependency, manager: ManagerDependency
) -> Response:
    """Return a file as it was uploaded."""
    facts = manager.uploads.get(caller.owner, file)
    guessed = mimetypes.guess_type(facts.name)[0] or ""
    is_media = guessed.startswith(f"{facts.kind}/") and "svg" not in guessed
    path = manager.store.file_path(file)
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except OSError:
        raise Problem("not_found", "the file has been removed") from None
    headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
    media_type = guessed if is_media else "application/octet-stream"
    return Response(data, media_type=media_type, headers=headers)


@router.get(
    "/{file}/mel",
    summary="Picture of an uploaded sound",
    response_class=Response,
    responses={
        200: {
            "description": "A mel spectrogram in gray levels.",
            "content": {"image/png": _BINARY},
        },
        **error_responses("unauthorized", "not_found", "invalid_request"),
    },
)
async def get_file_mel(file: str, caller: CallerDependency, manager: ManagerDependency) -> Response:
    """Return the mel spectrogram of a sound at the rate of the first model."""
    facts = manager.uploads.get(caller.owner, file)
    if facts.kind != "audio":
        raise Problem("invalid_request", f"{facts.name} is no sound")
    path = manager.store.file_path(file)
    rate = manager.pool.describe(manager.pool.default).sample_rate

    def draw() -> bytes:
        return mel_picture(np.asarray(read(path, rate)[0]), rate)

    try:
        return Response(await asyncio.to_thread(draw), media_type="image/png")
    except Exception as error:
        raise problem_of(error, {str(path): facts.name}) from None


@router.delete(
    "/{file}", summary="Delete a file", responses=error_responses("unauthorized", "not_found")
)
async def delete_file(file: str, caller: CallerDependency, manager: ManagerDependency) -> Deleted:
    """Delete a file."""
    manager.uploads.remove(caller.owner, file)
    return Deleted(id=file)
