"""Idempotency keys: a request that a client sends again gets the job of the first one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .entries import Entry
from .problems import Problem


@dataclass(eq=False)
class KeyedRequest:
    """A request with an idempotency key.

    Attributes:
        body_sha256: Hash of its body.
        entry: Its job, once it has been taken.
        problem: Why it was not taken.
        is_decided: Set when it has been taken or refused.
    """

    body_sha256: str
    entry: Entry | None = None
    problem: Problem | None = None
    is_decided: asyncio.Event = field(default_factory=asyncio.Event)


class IdempotencyKeys:
    """The keys of all owners and the jobs that they stand for."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str], KeyedRequest] = {}

    async def find(self, owner: str, key: str, body_sha256: str) -> Entry | None:
        """Return the job of a key, or None if the key is new. It waits for a decision.

        Raises:
            Problem: The key belongs to another request, or its request was refused.
        """
        known = self._requests.get((owner, key))
        if known is None:
            return None
        if known.body_sha256 != body_sha256:
            raise Problem(
                "idempotency_conflict",
                "this Idempotency-Key was used for another request; choose a new one",
            )
        await known.is_decided.wait()
        if known.entry is None:
            raise known.problem or Problem("internal", "the first request went away")
        return known.entry

    @asynccontextmanager
    async def reserve(self, owner: str, key: str, body_sha256: str) -> AsyncIterator[KeyedRequest]:
        """Let a new key stand for the request of the block, which sets the entry."""
        request = KeyedRequest(body_sha256)
        self._requests[(owner, key)] = request
        try:
            yield request
        except BaseException as error:
            del self._requests[(owner, key)]
            request.problem = error if isinstance(error, Problem) else None
            raise
        finally:
            request.is_decided.set()

    def remember(self, entry: Entry) -> None:
        """Know the key of a stored job again."""
        if entry.idempotency is None:
            return
        key, body_sha256 = entry.idempotency
        request = KeyedRequest(body_sha256, entry)
        request.is_decided.set()
        self._requests[(entry.owner, key)] = request

    def forget(self, entry: Entry) -> None:
        """Let the key of a job be used again, unless it stands for another job by now."""
        if entry.idempotency is None:
            return
        name = (entry.owner, entry.idempotency[0])
        request = self._requests.get(name)
        if request is not None and request.entry is entry:
            del self._requests[name]
