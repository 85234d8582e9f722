"""What the interfaces of other products share: a door is one file and one row of `DOORS`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from ..answers import content_answer, wait_or_cancel
from ..bodies import parse_model, read_json
from ..callers import Caller
from ..content import BINARY_SCHEMA, audio_types
from ..jobs import JobManager
from ..problems import Problem, error_responses
from ..schemas import ROW_FIELDS, GenerationRequest

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Door:
    """The interface of another product.

    Attributes:
        name: The product.
        path: Where its clients send requests.
        router: The route.
        request_model: The body.
        error_body: Returns a problem in the form of the product.
    """

    name: str
    path: str
    router: APIRouter
    request_model: type[BaseModel]
    error_body: Callable[[Problem], object]


class DoorRequest(BaseModel):
    """Base of the bodies of doors; other fields are options of our own."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, frozen=True)

    def own_options(self) -> dict[str, Any]:
        """Return the options of our own that the body has beside those of the product.

        Raises:
            Problem: There is no such option.
        """
        extra = self.model_extra or {}
        unknown = sorted(extra.keys() - ROW_FIELDS)
        if unknown:
            names = ", ".join(sorted([*type(self).model_fields, *ROW_FIELDS]))
            raise Problem(
                "invalid_request",
                f"there is no option {unknown[0]!r:.60}; options are: {names}",
                unknown[0][:60],
            )
        return dict(extra)


def route_facts(
    model: type[BaseModel],
    formats: Iterable[str],
    others: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    description: str = "Audio.",
) -> dict[str, Any]:
    """Return what the OpenAPI page says of a door: its body, its content and its problems.

    Args:
        model: The body.
        formats: Formats of the audio.
        others: Content types of the answer beside them, and their schemas.
        description: The answer in words.
    """
    problems = error_responses(
        "bad_json", "unauthorized", "not_found", "request_timeout", "too_large",
        "unsupported_media_type", "invalid_request", "queue_full", "cancelled", "draining",
        "deadline",
    )  # fmt: skip
    schemas = dict.fromkeys(audio_types(formats), BINARY_SCHEMA) | dict(others)
    responses: dict[int | str, dict[str, Any]] = {
        200: {
            "description": description,
            "content": {name: {"schema": schema} for name, schema in schemas.items()},
        }
    }
    for status, each in problems.items():
        responses[status] = {"description": each["description"]}
    schema = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    body = {"required": True, "content": {"application/json": schema}}
    return {"responses": responses, "openapi_extra": {"requestBody": body}}


async def read_request(request: Request, manager: JobManager, model: type[M]) -> M:
    """Return the body of a door's request.

    Raises:
        Problem: It does not fit.
    """
    return parse_model(model, await read_json(request, manager.limits))


async def generate_clip(
    request: Request,
    manager: JobManager,
    caller: Caller,
    wire: Mapping[str, Any],
    body: DoorRequest,
) -> Response:
    """Return the sound of a request as audio.

    Args:
        request: The request; if its client goes away, the job is cancelled.
        manager: The jobs.
        caller: Who sent it.
        wire: Fields of `schemas.GenerationRequest`.
        body: The body, whose further fields are options of our own.

    Raises:
        Problem: It cannot be generated.
    """
    values = {**wire, **body.own_options()}
    checked = parse_model(GenerationRequest, json.dumps(values))
    entry, _ = await manager.submit(caller, checked.model_dump(exclude_unset=True))
    await wait_or_cancel(request, manager, entry)
    return await content_answer(request, manager, entry, clip=0)


def model_name(manager: JobManager, name: str | None, aliases: tuple[str, ...]) -> str:
    """Return the served model that a name of the product means.

    Args:
        manager: The jobs.
        name: The name in the body, or None.
        aliases: How names of the product begin; they mean the first model.

    Raises:
        Problem: There is no such model.
    """
    if not name or name.startswith(aliases):
        return manager.pool.default
    if name not in manager.pool.sources:
        raise Problem(
            "not_found",
            f"the model {name!r:.60} does not exist here; models are: "
            f"{', '.join(manager.pool.sources)}",
            "model",
        )
    return name


def refuse(name: str, value: float, why: str) -> Problem:
    """Return the problem of an option that cannot act."""
    return Problem("invalid_request", f"{name} = {value:g}: {why}; leave it out", name)
