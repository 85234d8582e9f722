"""`latentaudio doctor`: what this installation runs on, for people and for bug reports."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import console

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "soundfile",
    "soxr",
    "pydantic",
)


def doctor(*, json: bool = False) -> None:
    """Show versions, hardware and folders.

    Parameters
    ----------
    json
        Print one line of JSON.
    """
    console.tell(_facts(), json)


def _facts() -> dict[str, Any]:
    import torch

    from procedural_audio.sources import speech

    from ..config.registry import VARIANTS
    from ..device import fast_dtype, pick_device
    from ..loaders.resolve import ASSETS, size

    device = pick_device("auto")
    fast = fast_dtype(device, "auto")
    return {
        "latentaudio": console.version(),
        "python": f"{platform.python_version()} on {platform.platform()}",
        **{name: _version(name) for name in LIBRARIES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": _memory(),
        "precision": "bf16" if fast is not None else "fp32",
        "speech kinds": "yes" if speech.available() else "no: pip install espeakng-loader",
        "models here": ", ".join(name for name, row in VARIANTS.items() if size(row)) or "none",
        "model folder": ASSETS,
        "working folder": f"{Path.cwd()} ({'writable' if os.access(Path.cwd(), os.W_OK) else 'read only'})",
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "missing: pip install latentaudio again"


def _memory() -> str:
    """Physical memory, where the system tells it."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return ""
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB"
