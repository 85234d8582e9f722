"""`latentaudio serve`: a server for browsers and programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from ..errors import DataError, UsageError

NETWORK = Group("Network", sort_key=1)
MODELS = Group("Models", sort_key=2)
STORAGE = Group("Storage", sort_key=3)
LIMITS = Group("Limits", sort_key=4)

KEY_VARIABLE = "LATENTAUDIO_API_KEYS"
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def serve(
    *,
    host: Annotated[
        str,
        Parameter(help="Address to listen on; 0.0.0.0 is every network.", group=NETWORK),
    ] = "127.0.0.1",
    port: Annotated[
        int, Parameter(help="Port, 0 to 65535; 0 is a free one.", group=NETWORK)
    ] = 8123,
    api_key_file: Annotated[
        Path | None,
        Parameter(
            help=f"File with one API key on each line. Or the variable {KEY_VARIABLE}, with "
            "commas between them. Default: no key is needed.",
            group=NETWORK,
        ),
    ] = None,
    drain_seconds: Annotated[
        float,
        Parameter(help="Seconds in which requests are finished after SIGTERM.", group=NETWORK),
    ] = 30.0,
    model: Annotated[
        list[str] | None,
        Parameter(
            help="Model to serve: a name, a folder, a file, or NAME=PATH. Repeat it for several; "
            "the first is the default. Default: mini.",
            group=MODELS,
        ),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        Parameter(
            help="Adapter of the first model that requests may name: PATH[:WEIGHT] or "
            "NAME=PATH[:WEIGHT]. Repeat it for several.",
            group=MODELS,
        ),
    ] = None,
    device: Annotated[str, Parameter(help="Device: auto, cpu, cuda or mps.", group=MODELS)] = (
        "auto"
    ),
    precision: Annotated[
        str, Parameter(help="Number format: auto, bf16 or fp32.", group=MODELS)
    ] = "auto",
    unload_after: Annotated[
        float,
        Parameter(
            help="Seconds without requests after which models leave memory; 0: never.",
            group=MODELS,
        ),
    ] = 900.0,
    warm_up: Annotated[
        bool,
        Parameter(help="Load the first model at the start.", negative="--no-warm-up", group=MODELS),
    ] = True,
    store: Annotated[
        Path | None,
        Parameter(
            help="Folder in which finished jobs and uploads survive. Default: they end with the "
            "server.",
            group=STORAGE,
        ),
    ] = None,
    file_lifetime: Annotated[
        float,
        Parameter(help="Seconds after its last use until an upload is deleted.", group=STORAGE),
    ] = 3600.0,
    max_jobs: Annotated[
        int, Parameter(help="Ended jobs that are kept; the oldest are removed.", group=STORAGE)
    ] = 1000,
    log_prompts: Annotated[
        bool,
        Parameter(help="Write prompts to the log.", group=STORAGE, show_default=False),
    ] = False,
    max_queue: Annotated[
        int, Parameter(help="Requests that wait or run; more get status 429.", group=LIMITS)
    ] = 256,
    max_duration: Annotated[
        float, Parameter(help="Longest clip in seconds, up to 600.", group=LIMITS)
    ] = 120.0,
    max_steps: Annotated[int, Parameter(help="Most sampling steps.", group=LIMITS)] = 250,
    max_clips: Annotated[int, Parameter(help="Most clips of a request.", group=LIMITS)] = 64,
    max_candidates: Annotated[int, Parameter(help="Most candidates of a clip.", group=LIMITS)] = 8,
    max_upload: Annotated[
        float, Parameter(help="Largest upload in megabytes (2^20 bytes).", group=LIMITS)
    ] = 64.0,
) -> None:
    """Serve models over HTTP: jobs, a page for browsers, and interfaces of other products.

    The server prints its address. It takes no path from a client, and tells none.
    """
    keys = read_keys(api_key_file)
    for name, value, least in (
        ("--max-queue", max_queue, 1),
        ("--max-jobs", max_jobs, 1),
        ("--drain-seconds", drain_seconds, 0),
        ("--unload-after", unload_after, 0),
        ("--file-lifetime", file_lifetime, 1),
        ("--max-duration", max_duration, 0.1),
        ("--max-steps", max_steps, 1),
        ("--max-clips", max_clips, 1),
        ("--max-candidates", max_candidates, 1),
        ("--max-upload", max_upload, 0.01),
    ):
        if not least <= value < float("inf"):
            raise UsageError(f"{name} {value:g} must be a number from {least:g}")
    try:
        from ..serve.process import ServerSettings, run_server
    except ImportError as error:
        raise UsageError(
            f"serve needs more packages ({error.name} is missing); "
            "install them: pip install 'latentaudio[serve]'"
        ) from None
    from ..serve.jobs import JobSettings
    from ..serve.limits import Limits
    from ..serve.model_pool import PoolSettings
    from . import console

    if not keys and host not in LOCAL_HOSTS:
        console.print_error(f"everybody who reaches {host} can use this server; add --api-key-file")
    limits = Limits(
        max_queue=max_queue,
        max_duration_s=max_duration,
        max_steps=max_steps,
        max_clips=max_clips,
        max_candidates=max_candidates,
        max_jobs=max_jobs,
        max_upload_bytes=round(max_upload * 2**20),
        file_lifetime_s=file_lifetime,
    )
    run_server(
        ServerSettings(host, port, keys, store, drain_seconds),
        PoolSettings(tuple(model or ("mini",)), tuple(adapter or ()), device, precision),
        JobSettings(unload_after_s=unload_after, warm_up=warm_up, log_prompts=log_prompts),
        limits,
    )


def read_keys(file: Path | None) -> list[str]:
    """Return the API keys of a file, or of the environment.

    Raises:
        DataError: The file cannot be read.
        UsageError: It has no key.
    """
    if file is None:
        texts = os.environ.get(KEY_VARIABLE, "").split(",")
        return [text.strip() for text in texts if text.strip()]
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DataError(f"cannot read {file} ({reason})") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise UsageError(f"{file} has no key; write one on each line")
    return keys
