"""The connection to a Ray cluster (https://docs.ray.io), which is imported only when it is used."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from ..config.extras import install_command
from ..errors import UsageError, first_line

_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
"""Variables of Ray: it sends nothing about its use."""


def connect_ray(address: str) -> Any:
    """Return the module ray, connected to a cluster.

    Args:
        address: "auto": the cluster that this machine belongs to; "local": this machine alone; or
            the address of a cluster.

    Raises:
        UsageError: Ray is not installed, or the cluster does not answer.
    """
    if find_spec("ray") is None:
        raise UsageError(f"--ray needs the package ray; run {install_command('cluster')}")
    os.environ.update(_ENVIRONMENT)
    import ray

    try:
        ray.init(
            address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False
        )
    except Exception as error:  # Ray raises plain exceptions, too
        raise UsageError(
            f"the Ray cluster {address} does not answer ({first_line(error)}); check the address"
        ) from None
    return ray


def num_workers(ray: Any, device: str) -> tuple[int, int]:
    """Return how many workers a cluster has room for, and the GPUs of each.

    Args:
        ray: The module, connected.
        device: "auto", "cpu", "cuda" or "mps"; workers have one GPU each where GPUs are used, or
            else one core each.
    """
    resources = ray.cluster_resources()
    num_gpus = int(resources.get("GPU", 0)) if device.partition(":")[0] in ("auto", "cuda") else 0
    if num_gpus:
        return num_gpus, 1
    return max(1, int(resources.get("CPU", 1))), 0
