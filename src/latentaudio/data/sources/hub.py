"""Datasets of the Hugging Face hub, named hf:owner/name: downloaded, then read like any folder."""

from __future__ import annotations

import re

from ...errors import DataError, first_line
from .base import Place

PREFIX = "hf:"
DESCRIPTION = "a dataset of the Hugging Face hub, as hf:owner/name"
_NAME = re.compile(r"hf:(?P<id>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<subset>[\w.-]+))?")


def download(text: str) -> Place:
    """Return the folder of a dataset, which is downloaded into the hub's cache.

    Args:
        text: hf:owner/name, or hf:owner/name@subset for one folder of it.

    Raises:
        DataError: The name is wrong, or the dataset cannot be downloaded.
    """
    import huggingface_hub

    match = _NAME.fullmatch(text)
    if match is None:
        raise DataError(f"{text} is no dataset of the hub; write it as hf:owner/name")
    patterns = [f"{match['subset']}/*"] if match["subset"] else None
    try:
        folder = huggingface_hub.snapshot_download(
            match["id"], repo_type="dataset", allow_patterns=patterns
        )
    except Exception as error:  # errors of the hub, of networks and of disks
        raise DataError(
            f"cannot download {text} ({first_line(error)}); "
            "check the name and the connection, or log in with hf auth login"
        ) from None
    return Place(folder)
