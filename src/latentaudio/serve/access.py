"""Who may use the server: API keys, and the share of the machine that each client has."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from fastapi import Request

from .callers import Caller
from .problems import Problem

if TYPE_CHECKING:
    from .jobs import JobManager

BEARER = "bearer "
KEY_HEADERS = ("xi-api-key", "x-api-key")
_OWNER_CHARS = 32


class Access:
    """The API keys of a server; without any, everybody may use it.

    Attributes:
        keys: The keys.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = [key.encode() for key in keys]

    def caller(self, request: Request) -> Caller:
        """Return who sends a request.

        Raises:
            Problem: It has no valid key.
        """
        if not self.keys:
            return Caller("", request.client.host if request.client else "local")
        sent = key_of(request).encode("utf-8", "replace")
        matches = [hmac.compare_digest(sent, key) for key in self.keys]
        if not any(matches):
            raise Problem(
                "unauthorized",
                "send a valid API key as: Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )
        owner = hashlib.sha256(sent).hexdigest()[:_OWNER_CHARS]
        return Caller(owner, owner)


def key_of(request: Request) -> str:
    """Return the API key that a request has, or ""."""
    authorization = request.headers.get("authorization", "")
    if authorization.lower().startswith(BEARER):
        return authorization[len(BEARER) :].strip()
    for name in KEY_HEADERS:
        if name in request.headers:
            return request.headers[name]
    return ""


def caller_of(request: Request) -> Caller:
    """Return who sends a request; a dependency of routes."""
    access = cast(Access, request.app.state.access)
    return access.caller(request)


def manager_of(request: Request) -> JobManager:
    """Return the jobs of the server; a dependency of routes."""
    return cast("JobManager", request.app.state.manager)
