"""The registry of sound classes: every class by name, in a fixed order.

The order is part of the format: which class a clip of a corpus holds depends on it. A new family
module is one more row of `_MODULES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType

from .errors import RenderError
from .music import performances
from .sound_class import SoundClass
from .sources import (
    alarms_signals,
    animals,
    birds_insects,
    explosions,
    impacts,
    machines,
    nature,
    speech,
    struck_metal,
    vehicles,
)

_MODULES = (
    animals,
    birds_insects,
    nature,
    impacts,
    struck_metal,
    machines,
    vehicles,
    alarms_signals,
    explosions,
    performances,
)


@cache
def get_registry() -> Mapping[str, SoundClass]:
    """Return all sound classes by name, in a fixed order.

    The speech classes are in it only where the speech synthesizer espeak-ng is installed.
    """
    classes: list[SoundClass] = []
    for module in _MODULES:
        classes += module.CLASSES
    if speech.is_available():
        classes += speech.CLASSES
    by_name = {each.name: each for each in classes}
    assert len(by_name) == len(classes), "two sound classes have the same name"
    return MappingProxyType(by_name)


def get_classes(names: Iterable[str] | None = None) -> tuple[SoundClass, ...]:
    """Return the sound classes of the given names, in their order.

    Args:
        names: Names of sound classes; repetitions are dropped. None stands for all classes.

    Returns:
        At least one sound class.

    Raises:
        RenderError: A name is unknown (the message suggests similar names), or there is none.
    """
    if names is None:
        return tuple(get_registry().values())
    classes = tuple(_get_class(name) for name in dict.fromkeys(names))
    if not classes:
        raise RenderError(
            "classes is empty: name at least one sound class, or leave classes out for all of them"
        )
    return classes


def _get_class(name: str) -> SoundClass:
    registry = get_registry()
    if name in registry:
        return registry[name]
    similar = get_close_matches(name.lower(), registry, n=4, cutoff=0.5)
    if any(each.name == name for each in speech.CLASSES):
        hint = "it needs espeak-ng; run: pip install espeakng-loader"
    elif similar:
        hint = f"did you mean {', '.join(similar)}?"
    else:
        hint = f"choose among {', '.join(registry)}"
    raise RenderError(f"unknown sound class '{name}': {hint}")
