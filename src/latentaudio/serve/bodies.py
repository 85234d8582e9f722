"""Reads the bodies of requests, JSON or multipart, within limits of size and time."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..config.parsing import parse_json
from .files import PART_PREFIX
from .limits import Limits
from .problems import Problem, validation_problem
from .schemas import GenerationRequest
from .store import Store

M = TypeVar("M", bound=BaseModel)

JSON_TYPE = "application/json"
MULTIPART_TYPE = "multipart/form-data"
REQUEST_PART = "request"
_JSON_FIELDS = ("edit", "timeline", "morph", "rows", "regions")
_MAX_PARTS = 100
_FILE_OF_EDIT = {"file": "file", "mask": "mask"}
"""Name of a file part, and the field of an edit that takes it if it is empty."""


class BodyGuard:
    """ASGI middleware: a body that is too long or too slow ends in an error.

    Attributes:
        app: The application.
        limits: Limits of bodies.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a bounded body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        deadline = time.monotonic() + self.limits.body_timeout_s
        num_bytes = 0
        is_complete = False

        async def receive_bounded() -> Message:
            nonlocal num_bytes, is_complete
            if is_complete:  # from now on only the end of the connection can come
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(deadline - time.monotonic(), 0.0))
            except TimeoutError:
                raise Problem(
                    "request_timeout",
                    f"the body did not arrive within {self.limits.body_timeout_s:g} s",
                ) from None
            num_bytes += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if num_bytes > self.limits.max_upload_bytes:
                raise _too_large(self.limits.max_upload_bytes)
            return message

        # a client that goes away while it sends gets no answer
        with suppress(ClientDisconnect):
            await self.app(scope, receive_bounded, send)


def _too_large(limit: int) -> Problem:
    return Problem("too_large", f"the body is larger than {limit / 2**20:g} MB")


@dataclass
class Body:
    """The body of a request for clips.

    Attributes:
        wire: Fields that the client set.
        parts: File parts: path and name by the name of the part.
        sha256: Hash of the whole body.
    """

    wire: dict[str, Any]
    parts: dict[str, tuple[Path, str]] = field(default_factory=dict)
    sha256: str = ""


async def read_json(request: Request, limits: Limits) -> bytes:
    """Return the bytes of a JSON body.

    Raises:
        Problem: It is too large, or of another type.
    """
    if _media_type(request) not in (JSON_TYPE, ""):
        raise Problem("unsupported_media_type", f"send {JSON_TYPE}")
    return await _read_all(request, limits.max_json_bytes)


async def _read_all(request: Request, limit: int) -> bytes:
    pieces = []
    num_bytes = 0
    async for piece in request.stream():
        num_bytes += len(piece)
        if num_bytes > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def parse_model(model: type[M], data: bytes | str, *, is_strict: bool = True) -> M:
    """Return JSON as a model.

    Raises:
        Problem: It is no JSON, or has wrong values.
    """
    try:
        return model.model_validate_json(data, strict=is_strict)
    except ValidationError as error:
        raise validation_problem(error, list(model.model_fields)) from None
    except (ValueError, RecursionError):
        raise Problem("bad_json", "the body is not JSON that can be read") from None


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_generation(
    request: Request, limits: Limits, store: Store, stack: AsyncExitStack
) -> Body:
    """Return the body of a request for clips.

    Args:
        request: The request.
        limits: Limits of bodies.
        store: Where file parts are kept meanwhile.
        stack: Deletes them at its end.

    Raises:
        Problem: It cannot be read, or does not fit the schema.
    """
    media_type = _media_type(request)
    if media_type != MULTIPART_TYPE:
        if media_type not in (JSON_TYPE, ""):
            raise Problem(
                "unsupported_media_type", f"send {JSON_TYPE} or {MULTIPART_TYPE}, not {media_type}"
            )
        data = await _read_all(request, limits.max_json_bytes)
        wire = parse_model(GenerationRequest, data).model_dump(exclude_unset=True)
        return Body(wire, sha256=hashlib.sha256(data).hexdigest())
    texts, parts, sha256 = await read_multipart(request, store, stack)
    return Body(_wire_of_parts(texts, parts), parts, sha256)


async def read_multipart(
    request: Request, store: Store, stack: AsyncExitStack
) -> tuple[dict[str, str], dict[str, tuple[Path, str]], str]:
    """Return the text parts, the file parts and the hash of a multipart body.

    Args:
        request: The request.
        store: Where file parts are kept meanwhile.
        stack: Deletes them at its end.

    Raises:
        Problem: It is damaged, or has two parts of one name.
    """
    try:
        form = await request.form(max_files=_MAX_PARTS, max_fields=_MAX_PARTS)
    except HTTPException as error:
        raise Problem(
            "bad_multipart", f"the multipart body cannot be read: {error.detail}"
        ) from None
    except (KeyError, ValueError, UnicodeDecodeError, AssertionError):
        raise Problem("bad_multipart", "the multipart body cannot be read") from None
    stack.push_async_callback(form.close)
    texts: dict[str, str] = {}
    parts: dict[str, tuple[Path, str]] = {}
    digest = hashlib.sha256()
    for name, value in form.multi_items():
        if name in texts or name in parts:
            raise Problem("bad_multipart", f"there are two parts named {name!r:.60}")
        if isinstance(value, UploadFile):
            path = store.new_path()
            stack.callback(_delete, path)
            part_digest = await asyncio.to_thread(_copy, value, path)
            parts[name] = (path, value.filename or name)
            digest.update(repr((name, part_digest)).encode())
        else:
            texts[name] = value
            digest.update(repr((name, value)).encode())
    return texts, parts, digest.hexdigest()


def _copy(upload: UploadFile, path: Path) -> str:
    """Write a file part to a path; return the hash of its bytes."""
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _delete(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _wire_of_parts(texts: Mapping[str, str], parts: Mapping[str, object]) -> dict[str, Any]:
    """Return the fields that the parts of a multipart body set."""
    base: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, text in texts.items():
        if name == REQUEST_PART:
            model = parse_model(GenerationRequest, text)
            base = model.model_dump(exclude_unset=True)
            continue
        own[name] = _parse_field(name, text) if name in _JSON_FIELDS else text
    try:
        fields = GenerationRequest.model_validate(own).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise validation_problem(error, list(GenerationRequest.model_fields)) from None
    wire = {**base, **fields}
    edit = wire.get("edit")
    if edit is not None:
        for part, name in _FILE_OF_EDIT.items():
            if part in parts and not edit.get(name):
                edit = {**edit, name: f"{PART_PREFIX}{part}"}
        wire["edit"] = edit
    return wire


def _parse_field(name: str, text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        raise Problem("bad_json", f"the part {name} is not JSON", name) from None
