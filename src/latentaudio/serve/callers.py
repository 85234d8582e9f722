"""Who sends a request: the owner of what it makes, and the group that it shares the machine as."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    Attributes:
        owner: Who may see its jobs and files: the hash of a key, or "" on a server without keys.
        group: Who shares the machine with whom: the same, or the address of the client.
    """

    owner: str = ""
    group: str = "local"
