"""`latentaudio doctor`: versions, hardware and folders, for users and for bug reports."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..config.backends import BACKENDS, missing_packages
from ..config.extras import install_command
from . import console
from .flags import JSONRecordFlag

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


def doctor(*, json: JSONRecordFlag = False) -> None:
    """Show versions, hardware and folders."""
    console.print_record(_system_record(), json)


def _system_record() -> dict[str, Any]:
    import torch

    from procedural_audio.sources import speech

    from ..config.registry import MODELS
    from ..device import fast_dtype, pick_device
    from ..fileio import cache_folder
    from ..loaders.resolve import ASSETS, bundled_bytes

    device = pick_device("auto")
    is_cuda = device.type == "cuda"
    bundled = [name for name, spec in MODELS.items() if bundled_bytes(spec)]
    can_write = os.access(Path.cwd(), os.W_OK)
    return {
        "latentaudio": console.version(),
        "python": f"{platform.python_version()} on {platform.platform()}",
        **{name: _version(name) for name in LIBRARIES},
        "device": torch.cuda.get_device_name(device) if is_cuda else device.type,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": _memory(),
        "precision": "fp32" if fast_dtype(device, "auto") is None else "bf16",
        "backends": ", ".join(map(_describe_backend, BACKENDS)),
        "espeak": "yes" if speech.is_available() else "no: pip install espeakng-loader",
        "bundled_models": ", ".join(bundled) or "none",
        "bundled_folder": ASSETS,
        "cache_folder": f"{cache_folder()} ({_folder_size(cache_folder())})",
        "working_folder": f"{Path.cwd()} ({'writable' if can_write else 'read only'})",
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "missing: pip install latentaudio again"


def _describe_backend(name: str) -> str:
    """A backend and its version, or the command that installs it."""
    missing = missing_packages(name)
    if missing:
        return f"{name} needs {' and '.join(missing)} ({install_command(name)})"
    return f"{name} {version(BACKENDS[name].packages[0])}"


def _folder_size(folder: Path) -> str:
    num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{num_bytes / 1e6:.1f} MB"


def _memory() -> str:
    """Physical memory, if the system reports it."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return ""
    num_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{num_bytes / 1e9:.1f} GB"
