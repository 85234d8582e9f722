"""vLLM-Omni's audio: `POST /v1/audio/generate`, raw bytes back.

`speed` other than 1 and `audio_start` other than 0 are refused, because they could not act.
`stream_format` is accepted and has no effect, as there.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ..job_routes import CallerDependency, ManagerDependency
from ..problems import Problem
from .base import (
    Door,
    DoorRequest,
    generate_clip,
    model_name,
    read_request,
    refuse,
    route_facts,
)

PATH = "/v1/audio/generate"
Format: TypeAlias = Literal["wav", "pcm", "flac", "mp3", "opus"]
_KINDS = {401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError"}

router = APIRouter(tags=["other interfaces"])


class AudioGenerateRequest(DoorRequest):
    """The body of vLLM-Omni's audio.

    Attributes:
        input: The prompt.
        model: A model of this server.
        response_format: Format of the audio.
        speed: 1; others are refused.
        stream_format: Has no effect.
        audio_length: Length in seconds; None: the model's.
        audio_start: 0; others are refused.
        negative_prompt: Sounds to avoid.
        guidance_scale: How strongly the clip follows the prompt.
        num_inference_steps: Sampling steps.
        seed: Random seed.
    """

    input: str = Field(min_length=1, max_length=2000)
    model: str | None = Field(None, max_length=200)
    response_format: Format = "wav"
    speed: float | None = Field(1.0, ge=0.25, le=4.0)
    stream_format: Literal["sse", "audio"] | None = "audio"
    audio_length: float | None = Field(None, gt=0.0, le=600.0)
    audio_start: float | None = Field(0.0, ge=0.0)
    negative_prompt: str | None = Field(None, max_length=2000)
    guidance_scale: float | None = Field(None, ge=0.0, le=100.0)
    num_inference_steps: int | None = Field(None, ge=1, le=1000)
    seed: int | None = Field(None, ge=0, lt=2**63)


_NAMES = {
    "audio_length": "duration",
    "negative_prompt": "negative_prompt",
    "guidance_scale": "guidance_scale",
    "num_inference_steps": "steps",
    "seed": "seed",
}
"""Field of vLLM-Omni, and our option."""


@router.post(
    PATH,
    summary="vLLM-Omni: a sound",
    response_class=Response,
    **route_facts(AudioGenerateRequest, get_args(Format)),
)
async def generate(
    request: Request, caller: CallerDependency, manager: ManagerDependency
) -> Response:
    """Generate one clip and return its bytes."""
    body = await read_request(request, manager, AudioGenerateRequest)
    if body.speed not in (None, 1.0):
        raise refuse("speed", body.speed or 0.0, "clips here are not stretched")
    if body.audio_start:
        raise refuse("audio_start", body.audio_start, "clips here begin at 0")
    wire: dict[str, Any] = {
        "prompt": body.input,
        "model": model_name(manager, body.model, ()),
        "format": body.response_format,
    }
    for theirs, ours in _NAMES.items():
        value = getattr(body, theirs)
        if value is not None:
            wire[ours] = value
    return await generate_clip(request, manager, caller, wire, body)


def error_body(problem: Problem) -> object:
    """Return a problem as vLLM-Omni words it: a list for 422, else an object."""
    info = problem.info
    if problem.status == 422:
        place = ["body", info.param] if info.param else ["body"]
        return {"detail": [{"type": info.code, "loc": place, "msg": info.message}]}
    kind = "InternalServerError" if problem.status >= 500 else "BadRequestError"
    return {
        "error": {
            "message": info.message,
            "type": _KINDS.get(problem.status, kind),
            "param": info.param,
            "code": problem.status,
        }
    }


DOOR = Door("vLLM-Omni", PATH, router, AudioGenerateRequest, error_body)
