"""The table of kinds: every sound the renderer can make, by name.

Knows which modules hold kinds and in which order. Refuses to know what any of them sounds like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType

from latentaudio.errors import UsageError

from .music import performances
from .sound_class import Kind
from .sources import alarms_signals, animals, impacts, machines, nature, speech


@cache
def table() -> Mapping[str, Kind]:
    """All kinds by name, in a fixed order; speech only where a speech synthesiser is installed."""
    modules = [
        animals,
        nature,
        impacts,
        machines,
        alarms_signals,
        performances,
        *([speech] if speech.available() else []),
    ]
    kinds = [kind for module in modules for kind in module.KINDS]
    named = {kind.name: kind for kind in kinds}
    assert len(named) == len(kinds), "two kinds share a name"
    return MappingProxyType(named)


def find(names: Iterable[str] | None = None) -> tuple[Kind, ...]:
    """The kinds of these names in the order given, or all of them.

    Raises UsageError for an unknown name, with the nearest known ones, and for an empty choice.
    """
    if names is None:
        return tuple(table().values())
    chosen = tuple(_one(name) for name in dict.fromkeys(names))
    if not chosen:
        raise UsageError(
            "no kinds chosen: name at least one, or leave the choice out to render all of them"
        )
    return chosen


def _one(name: str) -> Kind:
    if name in table():
        return table()[name]
    near = get_close_matches(name.lower(), table(), n=4, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"choose among {', '.join(table())}"
    if any(kind.name == name for kind in speech.KINDS):
        hint = "it needs espeak-ng: pip install espeakng-loader"
    raise UsageError(f"unknown kind '{name}': {hint}")
