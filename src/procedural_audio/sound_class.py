"""What a kind of sound is: its words, its sound-making function and the facts that function reports.

Knows the shape of the table. Refuses to know any single kind (they live in `animals`, `nature`, `impacts`, `machines`,
`signals`, `music` and `speech`), grammar, rooms and files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

from .synth import Array, Stage

Family: TypeAlias = Literal["effects", "music", "speech"]


class Facts(TypedDict, total=False):
    """What the ear can check in a take. A caption may name any of them; a kind reports the ones that are true of it.

    pitch_hz: heard fundamental. count: separate events, exact. rate_hz: events per second of a steady repetition below
    about 20 Hz. bpm: musical tempo. qualities: adjectives that describe how the source was made ("wooden", "small",
    "heavy", "minor") and that fit before the noun. manner: adverbs or phrases that fit after the verb ("slowly", "with a
    long echo"). onsets: seconds at which counted events begin.
    """

    pitch_hz: float
    count: int
    rate_hz: float
    bpm: float
    qualities: tuple[str, ...]
    manner: tuple[str, ...]
    onsets: tuple[float, ...]


@dataclass(frozen=True)
class Take:
    """One performance: samples `[T]` (any level; the scene sets it) and the facts that are true of it."""

    samples: Array
    facts: Facts


@dataclass(frozen=True)
class Kind:
    """One kind of sound.

    nouns: noun phrases without article, singular ("church bell"); a leading "~" marks a mass or plural noun that takes no
    article ("~rain", "~footsteps"). actions: what it does, as a present participle with anything that belongs to it
    ("ringing", "slamming shut"). sustained: fills the whole clip (rain) rather than happening in it (a bark).
    indoors: may be placed in a room with reverberation. far: may be placed at a distance.
    """

    name: str
    family: Family
    nouns: tuple[str, ...]
    actions: tuple[str, ...]
    play: Callable[[Stage], Take]
    sustained: bool = False
    indoors: bool = True
    far: bool = True
