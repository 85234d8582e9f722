"""OpenAI's speech: `POST /v1/audio/speech`, for models that speak.

`instructions` describe the voice, or `voice` does in one word. `speed` other than 1 is refused.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Literal, TypeAlias, get_args

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from ..answers import EVENT_SCHEMA, EVENT_TYPE
from ..job_routes import CallerDependency, ManagerDependency
from ..jobs import JobManager
from ..problems import Problem
from .base import Door, DoorRequest, generate_clip, read_request, refuse, route_facts

PATH = "/v1/audio/speech"
MODEL_PREFIXES = ("tts-", "gpt-")
PCM_RATE = 24000
"""Sample rate in Hz of OpenAI's pcm."""
MAX_INPUT_CHARS = 4096
_DELTA_BYTES = 1 << 15
Format: TypeAlias = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
_KINDS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}

router = APIRouter(tags=["other interfaces"])


class VoiceId(BaseModel):
    """A voice by its id."""

    id: str = Field(min_length=1, max_length=200)


class SpeechRequest(DoorRequest):
    """The body of OpenAI's speech.

    Attributes:
        model: A name of OpenAI, or a model of this server.
        input: The words to speak.
        voice_name: A word for the voice, such as "female".
        instructions: A description of the voice.
        response_format: Format of the audio; aac is refused.
        speed: 1; others are refused.
        stream_format: "sse" answers with events.
    """

    model: str = Field(min_length=1, max_length=200)
    input: str = Field(min_length=1, max_length=MAX_INPUT_CHARS)
    voice_name: str | VoiceId = Field(alias="voice")
    instructions: str | None = Field(None, max_length=2000)
    response_format: Format = "mp3"
    speed: float = Field(1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = "audio"


@router.post(
    PATH,
    summary="OpenAI: speech",
    response_class=Response,
    **route_facts(SpeechRequest, get_args(Format), {EVENT_TYPE: EVENT_SCHEMA}, "Audio, or events."),
)
async def speech(
    request: Request, caller: CallerDependency, manager: ManagerDependency
) -> Response:
    """Speak a text and return the sound."""
    body = await read_request(request, manager, SpeechRequest)
    model = _speech_model(manager, body.model)
    if body.speed != 1.0:
        raise refuse("speed", body.speed, "models here speak at their own speed")
    if body.response_format == "aac":
        raise Problem(
            "invalid_request", "response_format aac is not written here; choose mp3 or opus",
            "response_format",
        )  # fmt: skip
    speaker = body.voice_name
    described = speaker if isinstance(speaker, str) else speaker.id
    wire: dict[str, Any] = {
        "transcript": body.input,
        "prompt": body.instructions or f"A {described} voice is speaking",
        "model": model,
        "format": body.response_format,
    }
    if body.response_format == "pcm":
        wire["sample_rate"] = PCM_RATE
    answer = await generate_clip(request, manager, caller, wire, body)
    return _as_events(bytes(answer.body)) if body.stream_format == "sse" else answer


def _speech_model(manager: JobManager, name: str) -> str:
    """Return the model that speaks; 404 in words if there is none."""
    speaking = [each for each in manager.pool.sources if manager.pool.describe(each).is_speech]
    if name in speaking:
        return name
    if name.startswith(MODEL_PREFIXES) and speaking:
        return speaking[0]
    if name in manager.pool.sources:
        why = f"the model {name!r} does not speak; it makes sounds at /v1/audio/generations"
    elif speaking:
        why = (
            f"the model {name!r:.60} does not exist here; models that speak: {', '.join(speaking)}"
        )
    else:
        why = "no model of this server speaks; serve one, such as audioldm2-speech-gigaspeech"
    raise Problem("not_found", why, "model")


def _as_events(data: bytes) -> Response:
    """Return audio as the events that OpenAI's clients read."""
    events: list[dict[str, Any]] = []
    for start in range(0, len(data), _DELTA_BYTES):
        audio = base64.b64encode(data[start : start + _DELTA_BYTES]).decode()
        events.append({"type": "speech.audio.delta", "audio": audio})
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    events.append({"type": "speech.audio.done", "usage": usage})
    lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
    return Response("".join(lines), media_type=EVENT_TYPE)


def error_body(problem: Problem) -> object:
    """Return a problem as OpenAI words it."""
    info = problem.info
    kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    code = "model_not_found" if (info.code, info.param) == ("not_found", "model") else info.code
    return {
        "error": {
            "message": info.message,
            "type": _KINDS.get(problem.status, kind),
            "param": info.param,
            "code": code,
        }
    }


DOOR = Door("OpenAI", PATH, router, SpeechRequest, error_body)
