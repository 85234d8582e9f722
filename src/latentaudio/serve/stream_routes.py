"""`/v1/audio/stream`: a clip of any length, sent while it is generated.

Each piece is a task of the scheduler, so a stream shares the machine like any other request. One
piece is computed while the one before it is sent. A client that reads slowly stops the computation,
and one that goes away ends it with the step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from ..audio.io import Audio
from ..audio.wav_stream import UNKNOWN_SIZE, sample_bytes, wav_header
from ..generation.resolve import ResolvedRequest
from .answers import disconnected
from .bodies import JSON_TYPE, parse_model, read_json
from .callers import Caller
from .content import BINARY_SCHEMA, MEDIA_TYPES
from .files import FileReader
from .job_routes import CallerDependency, ManagerDependency
from .jobs import JobManager
from .planning import Part, StreamPlan, num_units
from .problems import Problem, error_responses, problem_of
from .stream_schema import STREAM_FORMATS, StreamRequest

LOGGER = logging.getLogger("latentaudio.serve")
PATH = "/v1/audio/stream"
_SCHEMA = {"schema": {"$ref": f"#/components/schemas/{StreamRequest.__name__}"}}

router = APIRouter(tags=["generations"])


@router.post(
    PATH,
    summary="Stream a clip of any length",
    response_class=Response,
    responses={
        200: {
            "description": "Audio, sent while it is generated.",
            "content": {MEDIA_TYPES[name]: {"schema": BINARY_SCHEMA} for name in STREAM_FORMATS},
        },
        **error_responses(
            "bad_json", "unauthorized", "request_timeout", "too_large", "unsupported_media_type",
            "invalid_request", "generation_failed", "queue_full", "cancelled", "internal",
            "draining",
        ),
    },
    openapi_extra={"requestBody": {"required": True, "content": {JSON_TYPE: _SCHEMA}}},
)  # fmt: skip
async def stream(
    request: Request, caller: CallerDependency, manager: ManagerDependency
) -> Response:
    """Answer with the sound itself; the first bytes come when the first piece is ready."""
    data = await read_json(request, manager.limits)
    wire = parse_model(StreamRequest, data).model_dump(exclude_unset=True)
    manager.check_open(caller)
    files = FileReader(caller.owner, manager.uploads, manager.index, {})
    plan = await manager.plan(lambda planner: planner.plan_stream(wire, files))
    answer = StreamAnswer(_Pieces(manager, caller, plan))
    await answer.prepare(request)
    return answer


class _Pieces:
    """The pieces of one stream, as bytes.

    Attributes:
        manager: The jobs.
        caller: Who listens.
        plan: The stream.
        seed: Its seed, once there is a piece.
    """

    def __init__(self, manager: JobManager, caller: Caller, plan: StreamPlan) -> None:
        self.manager = manager
        self.caller = caller
        self.plan = plan
        self.seed = -1

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the header and the samples of each piece; the next piece is computed meanwhile."""
        with self.manager.streams.open():
            computing = asyncio.create_task(self._compute(self.plan.first))
            try:
                while (clip := await computing) is not None:
                    samples = sample_bytes(self.plan.stream.add(clip))
                    computing = asyncio.create_task(self._compute())
                    if self.seed < 0:
                        self.seed = clip.seed
                        samples = self._header(clip) + samples
                    yield samples
            finally:
                await _end(computing)

    async def _compute(self, first: ResolvedRequest | None = None) -> Audio | None:
        """Return the clip of the first or the next piece; None at the end."""
        if first is None and self.plan.has_open_end and self.manager.is_draining:
            return None
        request = first or self.plan.stream.next_request()
        if request is None:
            return None
        part = Part(self.plan.key, (request,), (0,))
        units = num_units(request.options)
        [clip] = await self.manager.streams.run(
            self.caller.group, part, units, has_place=first is None
        )
        return clip

    def _header(self, first: Audio) -> bytes:
        if self.plan.format != "wav":
            return b""
        return wav_header(first.sample_rate, UNKNOWN_SIZE, self.plan.stream.tags)


class StreamAnswer(Response):
    """An answer whose body is sent as it is made, until its end or that of the connection."""

    def __init__(self, pieces: _Pieces) -> None:
        self._pieces = pieces
        self._chunks = pieces.chunks()
        self._first = b""
        self.background = None

    async def prepare(self, request: Request) -> None:
        """Wait for the first piece, so that an error of the request has its status.

        Raises:
            Problem: It failed, or the client has gone away.
        """
        first = asyncio.ensure_future(anext(self._chunks))
        gone = asyncio.create_task(disconnected(request.receive))
        try:
            await asyncio.wait({first, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                raise Problem("cancelled", "the client has gone away")
            self._first = await first
        finally:
            gone.cancel()
            await _end(first)
            if not self._first:
                await self._chunks.aclose()
        headers = {
            "X-Seed": str(self._pieces.seed),
            "X-Sample-Rate": str(self._pieces.plan.stream.source.config.mel.sample_rate),
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
        super().__init__(media_type=MEDIA_TYPES[self._pieces.plan.format], headers=headers)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces."""
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            await _end(sending)
            await self._chunks.aclose()

    async def _send(self, send: Send) -> None:
        """Send all pieces; after an error the body stays incomplete, which clients notice."""
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        self._first = b""
        try:
            async for piece in self._chunks:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Exception as error:
            LOGGER.error("a stream has ended early: %s", problem_of(error).info.message)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel a task that is not done, and wait for its end; somebody else tells its error."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
