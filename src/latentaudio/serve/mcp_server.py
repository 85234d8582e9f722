"""The MCP server of `latentaudio mcp`: stdio for a program that starts it, or HTTP."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..audio.io import software
from ..pipeline import AudioLDM
from .mcp_folder import MAX_INLINE_BYTES, SoundFolder
from .mcp_tools import SoundTools
from .network import require_key

PATH = "/mcp"
_INSTRUCTIONS = (
    "Generates and edits sounds from text. Prompts are English descriptions of a sound. A seed and "
    "equal options give an equal sound. Sounds are AI generated, which their tags say."
)


def build_server(model: AudioLDM, folder: Path | None) -> MCPServer[object]:
    """Return a server with all tools.

    Args:
        model: The model.
        folder: The only folder whose files tools read and write; None: no files.
    """
    tools = SoundTools(model, SoundFolder(folder))
    server: MCPServer[object] = MCPServer(
        "latentaudio",
        instructions=_INSTRUCTIONS,
        version=software().removeprefix("latentaudio "),
        log_level="WARNING",
    )
    for name, tool in tools.by_name().items():
        server.add_tool(tool, name, structured_output=False)
    return server


def http_app(server: MCPServer[object], host: str, api_keys: Sequence[str]) -> ASGIApp:
    """Return the server as an ASGI application, at the path /mcp.

    Args:
        server: The server.
        host: Address that it will listen on.
        api_keys: Keys, one of which clients send as `Authorization: Bearer KEY`; none: not needed.
    """
    app: ASGIApp = server.streamable_http_app(
        streamable_http_path=PATH, host=host, max_request_body_size=2 * MAX_INLINE_BYTES
    )
    return _KeyCheck(app, api_keys) if api_keys else app


def serve_http(server: MCPServer[object], host: str, port: int, api_keys: Sequence[str]) -> None:
    """Answer over HTTP until Ctrl-C or SIGTERM.

    Raises:
        UsageError: Other machines could reach the server without a key.
    """
    import uvicorn

    require_key(host, api_keys)
    uvicorn.run(http_app(server, host, api_keys), host=host, port=port, log_level="warning")


class _KeyCheck:
    """Refuses requests without one of the keys."""

    def __init__(self, app: ASGIApp, api_keys: Sequence[str]) -> None:
        self._app = app
        self._expected = [f"Bearer {key}".encode() for key in api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of ASGI."""
        if scope["type"] == "http":
            header = dict(scope["headers"]).get(b"authorization", b"")
            matches = [hmac.compare_digest(header, expected) for expected in self._expected]
            if not any(matches):
                refusal = PlainTextResponse("the API key is missing or wrong", status_code=401)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
