"""latentaudio: AudioLDM and AudioLDM 2, whole. Text becomes sound.

    import latentaudio
    model = latentaudio.load("mini")
    [clip] = model.generate("a dog barking in the rain", seconds=5, seed=7)
    clip.save("dog.flac")

Knows where the public names live. Refuses to import any of them before it is used: importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors
    from .audio.io import Audio
    from .config import registry
    from .config.options import Options
    from .pipeline import AudioLDM, load

__all__ = ["Audio", "AudioLDM", "Options", "errors", "load", "registry"]

_HOMES = {
    "Audio": "audio.io",
    "AudioLDM": "pipeline",
    "Options": "config.options",
    "load": "pipeline",
}
_MODULES = {"errors": "errors", "registry": "config.registry"}


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in __all__:
        raise AttributeError(
            f"module 'latentaudio' has no attribute {name!r}; public names: {', '.join(__all__)}"
        )
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    """What tab completion shows."""
    return list(__all__)
