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
    from . import errors, variants
    from .audio.io import Audio
    from .options import Options
    from .pipeline import AudioLDM, load

__all__ = ["Audio", "AudioLDM", "Options", "errors", "load", "variants"]

_HOMES = {"Audio": "audio.io", "AudioLDM": "pipeline", "Options": "options", "load": "pipeline", "errors": "", "variants": ""}


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'latentaudio' has no attribute {name!r}; public names: {', '.join(__all__)}")
    home = _HOMES[name]
    return getattr(import_module(f".{home}", __name__), name) if home else import_module(f".{name}", __name__)


def __dir__() -> list[str]:
    """What tab completion shows."""
    return list(__all__)
