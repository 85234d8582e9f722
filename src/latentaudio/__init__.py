"""latentaudio: text to audio with AudioLDM and AudioLDM 2.

    import latentaudio
    model = latentaudio.load("mini")
    [clip] = model.generate("a dog barking in the rain", duration=5, seed=7)
    clip.save("dog.flac")

Public names are imported when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors
    from .audio.io import Audio
    from .config.options import GenerationOptions
    from .config.registry import list_models
    from .pipeline import AudioLDM, load

__all__ = ["Audio", "AudioLDM", "GenerationOptions", "errors", "list_models", "load"]

_MODULES = {
    "Audio": "audio.io",
    "AudioLDM": "pipeline",
    "GenerationOptions": "config.options",
    "list_models": "config.registry",
    "load": "pipeline",
}


def __getattr__(name: str) -> Any:
    """Import a public name (PEP 562)."""
    if name == "errors":
        return import_module(".errors", __name__)
    if name not in _MODULES:
        raise AttributeError(
            f"module 'latentaudio' has no attribute {name!r}; public names: {', '.join(__all__)}"
        )
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    """Names for tab completion."""
    return list(__all__)
