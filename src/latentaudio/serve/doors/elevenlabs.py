"""ElevenLabs' sound effects: `POST /v1/sound-generation`.

Its client sends `text`, and reads audio as a stream of bytes. Options of our own, such as `seed`,
may stand beside its fields (`additional_body_parameters` of its Python client). The bit rates in
names of formats are those that libsndfile chooses.
"""

from __future__ import annotations

import io
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from ..content import BINARY_SCHEMA
from ..job_routes import CallerDependency, ManagerDependency
from ..problems import Problem
from ..schemas import RAW_FORMAT
from .base import (
    Door,
    DoorRequest,
    generate_clip,
    model_name,
    read_request,
    route_facts,
)

PATH = "/v1/sound-generation"
MODEL_PREFIXES = ("eleven_",)
DEFAULT_INFLUENCE = 0.3
"""Influence of the prompt that means the model's own scale of guidance."""
DEFAULT_FORMAT = "mp3_44100_128"
LOOP_SEAM_S = 1.0
_TELEPHONE_RATE = 8000
_TELEPHONE_TYPE = "audio/basic"
_TELEPHONE_SUBTYPES = {"ulaw": "ULAW", "alaw": "ALAW"}
_PCM_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
_MP3 = ("22050_32", "24000_48", *(f"44100_{rate}" for rate in (32, 64, 96, 128, 192)))
FORMATS = (
    *(f"mp3_{name}" for name in _MP3),
    *(f"opus_48000_{rate}" for rate in (32, 64, 96, 128, 192)),
    *(f"pcm_{rate}" for rate in _PCM_RATES),
    *(f"wav_{rate}" for rate in _PCM_RATES),
    "alaw_8000",
    "ulaw_8000",
)

_KINDS = tuple(name.partition("_")[0] for name in FORMATS)

router = APIRouter(tags=["other interfaces"])


class SoundGenerationRequest(DoorRequest):
    """The body of ElevenLabs' sound effects.

    Attributes:
        text: The prompt.
        loop: Whether the clip repeats without a seam.
        duration_seconds: Length; None: the model's.
        prompt_influence: How strongly the clip follows the prompt; 0.3 is the model's own scale.
        model_id: A name of ElevenLabs, or a model of this server.
    """

    text: str = Field(min_length=1, max_length=2000)
    loop: bool = False
    duration_seconds: float | None = Field(None, ge=0.5, le=30.0)
    prompt_influence: float | None = Field(None, ge=0.0, le=1.0)
    model_id: str | None = Field(None, max_length=200)


@router.post(
    PATH,
    summary="ElevenLabs: a sound effect",
    response_class=Response,
    **route_facts(SoundGenerationRequest, _KINDS, {_TELEPHONE_TYPE: BINARY_SCHEMA}),
)
async def sound_generation(
    request: Request,
    caller: CallerDependency,
    manager: ManagerDependency,
    output_format: Annotated[str, Query(max_length=40, description="Format and rate.")] = (
        DEFAULT_FORMAT
    ),
    enable_logging: Annotated[bool, Query(description="Accepted; prompts are not logged.")] = True,
) -> Response:
    """Generate one clip and return its bytes."""
    if output_format not in FORMATS:
        raise Problem(
            "invalid_request",
            f"there is no output_format {output_format!r}; choose from {', '.join(FORMATS)}",
            "output_format",
        )
    body = await read_request(request, manager, SoundGenerationRequest)
    kind, rate = output_format.split("_")[:2]
    model = model_name(manager, body.model_id, MODEL_PREFIXES)
    defaults = manager.pool.describe(model).defaults
    wire: dict[str, Any] = {"prompt": body.text, "model": model, "sample_rate": int(rate)}
    wire["format"] = RAW_FORMAT if kind in _TELEPHONE_SUBTYPES else kind
    if body.duration_seconds is not None:
        wire["duration"] = body.duration_seconds
    if body.loop:
        duration = body.duration_seconds or float(defaults["duration"])
        wire["loop_seam"] = min(LOOP_SEAM_S, duration / 2)
    if body.prompt_influence is not None:
        scale = float(defaults["guidance_scale"]) - 1.0
        wire["guidance_scale"] = 1.0 + scale * body.prompt_influence / DEFAULT_INFLUENCE
    answer = await generate_clip(request, manager, caller, wire, body)
    return _as_telephone(answer, kind) if kind in _TELEPHONE_SUBTYPES else answer


def _as_telephone(answer: Response, kind: str) -> Response:
    """Return 16-bit samples as those of G.711."""
    import numpy as np
    import soundfile

    samples = np.frombuffer(bytes(answer.body), "<i2")
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", _TELEPHONE_RATE, 1, _TELEPHONE_SUBTYPES[kind], format="RAW"
    ) as file:
        file.write(samples)
    seed = {"X-Seed": answer.headers["X-Seed"]} if "X-Seed" in answer.headers else {}
    return Response(buffer.getvalue(), media_type=_TELEPHONE_TYPE, headers=seed)


def error_body(problem: Problem) -> object:
    """Return a problem as ElevenLabs words it: a list for 422, else status and message."""
    info = problem.info
    if problem.status == 422:
        place = ["body", *(info.param or "").split(".")] if info.param else ["body"]
        return {"detail": [{"loc": place, "msg": info.message, "type": info.code}]}
    status = "invalid_api_key" if info.code == "unauthorized" else info.code
    return {"detail": {"status": status, "message": info.message}}


DOOR = Door("ElevenLabs", PATH, router, SoundGenerationRequest, error_body)
