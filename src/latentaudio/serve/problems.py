"""Problems that a client is told about: status, stable code, one line. Never a stack or a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ..config.validation import format_validation_error
from ..errors import DataError, GenerationError, LatentAudioError, UsageError, one_line
from .scheduler import CancelledError, DeadlineError, QueueFullError, StoppedError
from .schemas import ErrorBody, ErrorInfo

STATUS_OF_CODE = {
    "bad_json": 400,
    "bad_multipart": 400,
    "unauthorized": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "not_finished": 409,
    "idempotency_conflict": 409,
    "gone": 410,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid_request": 422,
    "generation_failed": 422,
    "queue_full": 429,
    "cancelled": 499,
    "internal": 500,
    "draining": 503,
    "deadline": 504,
}
"""The HTTP status of each code."""
DRAINING_RETRY_S = 30
"""Seconds after which a client may try again while the server stops."""


class Problem(Exception):  # it is an answer, not only an error
    """An answer that is no success.

    Attributes:
        info: Code, message and field.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        code: str,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.info = ErrorInfo(code=code, message=one_line(message), param=param)
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS_OF_CODE[self.info.code]

    @property
    def body(self) -> ErrorBody:
        """The body of the answer."""
        return ErrorBody(error=self.info)


def problem_of(error: BaseException, hidden: Mapping[str, str] | None = None) -> Problem:
    """Return how a client is told about an error.

    Args:
        error: Any error. One of a kind that is not expected has no words of its own.
        hidden: Texts that no client may see, such as paths, and what stands in their place.
    """
    if isinstance(error, Problem):
        return error
    message = str(error)
    for text, shown in (hidden or {}).items():
        message = message.replace(text, shown)
    if isinstance(error, QueueFullError):
        retry_after = str(round(min(max(error.retry_after_s, 1.0), 3600.0)))
        return Problem("queue_full", message, headers={"Retry-After": retry_after})
    if isinstance(error, StoppedError):
        return Problem("draining", message, headers={"Retry-After": str(DRAINING_RETRY_S)})
    codes: Sequence[tuple[type[BaseException], str]] = (
        (CancelledError, "cancelled"),
        (DeadlineError, "deadline"),
        (GenerationError, "generation_failed"),
        (UsageError, "invalid_request"),
        (DataError, "invalid_request"),
        (LatentAudioError, "generation_failed"),
    )
    for kind, code in codes:
        if isinstance(error, kind):
            return Problem(code, message)
    return Problem("internal", "the server has a bug; its log has the details")


def validation_problem(error: ValidationError, names: Sequence[str]) -> Problem:
    """Return the first problem of a body that does not fit its schema.

    Args:
        error: What pydantic found.
        names: Names of the fields, for unknown ones.
    """
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return Problem("bad_json", 'the body is not JSON; send an object such as {"prompt": ...}')
    place = ".".join(str(part) for part in first["loc"])
    return Problem("invalid_request", format_validation_error(error, names), place or None)


def error_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of errors, as FastAPI takes it."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status = STATUS_OF_CODE[code]
        known = by_status.get(status, {}).get("description", "")
        description = f"{known}, {code}" if known else code
        by_status[status] = {"model": ErrorBody, "description": description}
    return by_status
