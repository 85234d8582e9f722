"""Whether a server may listen on an address, and the API keys in the environment.

`latentaudio serve` and `latentaudio mcp` share both. The file imports no web framework.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..errors import UsageError

KEY_VARIABLE = "LATENTAUDIO_API_KEYS"
"""Environment variable with API keys, with commas between them."""
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
"""Names of this machine, which other machines cannot reach."""


def keys_of_environment() -> list[str]:
    """Return the API keys in the environment; none if the variable is not set."""
    texts = os.environ.get(KEY_VARIABLE, "").split(",")
    return [text.strip() for text in texts if text.strip()]


def require_key(host: str, api_keys: Sequence[str]) -> None:
    """Raise `UsageError` for a server that other machines reach without a key."""
    if host not in LOOPBACK_HOSTS and not api_keys:
        raise UsageError(
            f"--host {host!r} opens the server to other machines; set a key in the environment "
            f"variable {KEY_VARIABLE}"
        )
