"""`latentaudio serve`: a server for browsers and programs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from ..config.extras import install_command
from ..errors import DataError, UsageError
from ..serve.network import KEY_VARIABLE, keys_of_environment, require_key

NETWORK = Group("Network", sort_key=1)
MODELS = Group("Models", sort_key=2)
STORAGE = Group("Storage", sort_key=3)
LIMITS = Group("Limits", sort_key=4)


@Parameter(name="*")
@dataclass(frozen=True)
class NetworkFlags:
    """Where the server listens, and for whom."""

    host: Annotated[
        str,
        Parameter(
            help="Address to listen on; 0.0.0.0 is every network. Others than this machine's need "
            "an API key.",
            group=NETWORK,
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Parameter(help="Port, 0 to 65535; 0 is a free one.", group=NETWORK)] = 8123
    api_key_file: Annotated[
        Path | None,
        Parameter(
            help=f"File with one API key on each line. Or the variable {KEY_VARIABLE}, with "
            "commas between them. Default: this machine's programs need no key.",
            group=NETWORK,
        ),
    ] = None
    drain_seconds: Annotated[
        float,
        Parameter(help="Seconds in which requests are finished after SIGTERM.", group=NETWORK),
    ] = 30.0


@Parameter(name="*")
@dataclass(frozen=True)
class ModelFlags:
    """The models and where they compute."""

    model: Annotated[
        tuple[str, ...],
        Parameter(
            help="Model to serve: a name, a folder, a file, or NAME=PATH. Repeat it for several; "
            "the first is the default.",
            group=MODELS,
        ),
    ] = ("mini",)
    adapter: Annotated[
        tuple[str, ...],
        Parameter(
            help="Adapter of the first model that requests may name: PATH[:WEIGHT] or "
            "NAME=PATH[:WEIGHT]. Repeat it for several.",
            group=MODELS,
            show_default=False,
        ),
    ] = ()
    device: Annotated[str, Parameter(help="Device: auto, cpu, cuda or mps.", group=MODELS)] = "auto"
    precision: Annotated[
        str, Parameter(help="Number format: auto, bf16, fp32 or int8.", group=MODELS)
    ] = "auto"
    backend: Annotated[
        str,
        Parameter(
            help="Library that computes the UNet on a CPU: torch, openvino or onnxruntime.",
            group=MODELS,
        ),
    ] = "torch"
    unload_after: Annotated[
        float,
        Parameter(
            help="Seconds without requests after which models leave memory; 0: never.",
            group=MODELS,
        ),
    ] = 900.0
    ray: Annotated[
        str | None,
        Parameter(
            help="Ray cluster that computes: auto (the one of this machine), local (all cores of "
            "this machine) or an address. This process keeps the jobs. Default: no cluster.",
            group=MODELS,
        ),
    ] = None
    no_warm_up: Annotated[
        bool,
        Parameter(
            help="Load models at the first request, not at the start.",
            group=MODELS,
            show_default=False,
        ),
    ] = False


@Parameter(name="*")
@dataclass(frozen=True)
class StorageFlags:
    """What is kept, and how long."""

    store: Annotated[
        Path | None,
        Parameter(
            help="Folder in which finished jobs and uploads survive. Default: they end with the "
            "server.",
            group=STORAGE,
        ),
    ] = None
    file_lifetime: Annotated[
        float,
        Parameter(help="Seconds after its last use until an upload is deleted.", group=STORAGE),
    ] = 3600.0
    max_jobs: Annotated[
        int, Parameter(help="Ended jobs that are kept; the oldest are removed.", group=STORAGE)
    ] = 1000
    max_stored: Annotated[
        float,
        Parameter(
            help="Gigabytes (2^30 bytes) of clips and uploads that are kept; the oldest clips are "
            "removed. Uploads have half of it.",
            group=STORAGE,
        ),
    ] = 4.0
    log_prompts: Annotated[
        bool, Parameter(help="Write prompts to the log.", group=STORAGE, show_default=False)
    ] = False


@Parameter(name="*")
@dataclass(frozen=True)
class LimitFlags:
    """Most that clients may ask for."""

    max_queue: Annotated[
        int, Parameter(help="Requests that wait or run; more get status 429.", group=LIMITS)
    ] = 256
    max_duration: Annotated[
        float, Parameter(help="Longest clip in seconds, up to 600.", group=LIMITS)
    ] = 120.0
    max_stream: Annotated[float, Parameter(help="Longest stream in seconds.", group=LIMITS)] = (
        3600.0
    )
    max_steps: Annotated[int, Parameter(help="Most sampling steps.", group=LIMITS)] = 250
    max_clips: Annotated[int, Parameter(help="Most clips of a request.", group=LIMITS)] = 64
    max_candidates: Annotated[int, Parameter(help="Most candidates of a clip.", group=LIMITS)] = 8
    max_upload: Annotated[
        float, Parameter(help="Largest upload in megabytes (2^20 bytes).", group=LIMITS)
    ] = 64.0


LEAST_VALUES = {
    "max_queue": 1,
    "max_jobs": 1,
    "max_stored": 0.01,
    "drain_seconds": 0,
    "unload_after": 0,
    "file_lifetime": 1,
    "max_duration": 0.1,
    "max_stream": 1,
    "max_steps": 1,
    "max_clips": 1,
    "max_candidates": 1,
    "max_upload": 0.01,
}
"""Least value of each number."""


def serve(
    *,
    network: NetworkFlags = NetworkFlags(),
    models: ModelFlags = ModelFlags(),
    storage: StorageFlags = StorageFlags(),
    bounds: LimitFlags = LimitFlags(),
) -> None:
    """Serve models over HTTP: jobs, a page for browsers, and interfaces of other products.

    The server prints its address. It takes no path from a client, and tells none.
    """
    keys = read_keys(network.api_key_file)
    require_key(network.host, keys)
    for flags in (network, models, storage, bounds):
        _check_numbers(flags)
    try:
        from ..serve.process import ServerSettings, run_server
    except ImportError as error:
        raise UsageError(
            f"serve needs more packages ({error.name} is missing); "
            f"install them: {install_command('serve')}"
        ) from None
    from ..serve.jobs import JobSettings
    from ..serve.limits import Limits
    from ..serve.model_pool import PoolSettings

    limits = Limits(
        max_queue=bounds.max_queue,
        max_duration_s=bounds.max_duration,
        max_stream_s=bounds.max_stream,
        max_steps=bounds.max_steps,
        max_clips=bounds.max_clips,
        max_candidates=bounds.max_candidates,
        max_jobs=storage.max_jobs,
        max_stored_bytes=round(storage.max_stored * 2**30),
        max_upload_bytes=round(bounds.max_upload * 2**20),
        file_lifetime_s=storage.file_lifetime,
    )
    run_server(
        ServerSettings(
            network.host, network.port, keys, storage.store, network.drain_seconds, models.ray
        ),
        PoolSettings(
            models.model,
            models.adapter,
            models.device,
            models.precision,
            backend=models.backend,
        ),
        JobSettings(
            unload_after_s=models.unload_after,
            warm_up=not models.no_warm_up,
            log_prompts=storage.log_prompts,
            max_queue_per_group=max(bounds.max_queue // 2, 1) if len(keys) > 1 else 0,
        ),
        limits,
    )


def _check_numbers(flags: object) -> None:
    """Raise UsageError for a number that is too small or not finite."""
    for name, least in LEAST_VALUES.items():
        value = getattr(flags, name, least)
        if not least <= value < math.inf:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} {value:g} must be a number from {least:g}")


def read_keys(file: Path | None) -> list[str]:
    """Return the API keys of a file, or of the environment.

    Raises:
        DataError: The file cannot be read.
        UsageError: It has no key.
    """
    if file is None:
        return keys_of_environment()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DataError(f"cannot read {file} ({reason})") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise UsageError(f"{file} has no key; write one on each line")
    return keys
