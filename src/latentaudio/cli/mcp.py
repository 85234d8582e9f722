"""`latentaudio mcp`: tools for agents, over the Model Context Protocol."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from ..config.extras import install_command
from ..config.option_table import OPTIONS
from ..errors import UsageError
from ..serve.network import KEY_VARIABLE, keys_of_environment, require_key
from .flags import RuntimeFlags
from .output import writable_folder

SERVER = Group("Server", sort_key=1)


def mcp(
    *,
    folder: Annotated[
        Path | None,
        Parameter(
            help="The only folder whose files the tools read and write; it is created. Default: "
            "none, sounds are part of the answers.",
            group=SERVER,
        ),
    ] = None,
    http: Annotated[
        bool,
        Parameter(
            help="Answer at http://HOST:PORT/mcp. Default: over stdin and stdout, for a program "
            "that starts the server.",
            group=SERVER,
            show_default=False,
        ),
    ] = False,
    host: Annotated[
        str,
        Parameter(
            help="Address with --http. Others than this machine's need the environment variable "
            f"{KEY_VARIABLE}, with commas between keys; clients send Authorization: Bearer KEY.",
            group=SERVER,
        ),
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port with --http.", group=SERVER)] = 8001,
    model: Annotated[
        str, Parameter(help=OPTIONS["model"].help, group=SERVER, show_default=False)
    ] = "mini",
    runtime: RuntimeFlags = RuntimeFlags(),
) -> None:
    """Let agents generate and edit sounds: an MCP server with the tools generate, edit, info, list.

    A client of MCP starts it as the command `latentaudio mcp --folder sounds`.
    """
    if find_spec("mcp") is None:
        raise UsageError(f"latentaudio mcp needs the package mcp; run {install_command('mcp')}")
    from ..serve.mcp_server import build_server, serve_http

    api_keys = keys_of_environment()
    if http:
        require_key(host, api_keys)
    with ExitStack() as stack:
        if folder is not None:
            stack.enter_context(writable_folder(folder))
        server = build_server(runtime.load(model), folder)
        if http:
            serve_http(server, host, port, api_keys)
        else:
            server.run("stdio")
