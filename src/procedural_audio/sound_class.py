"""The data types of one sound class: its words, its render function and its annotations.

The classes themselves are functions in `sources/` and `music/`, each with a row in the `CLASSES`
table of its module. `registry` collects these tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

from .synth import Array, RenderContext

Family: TypeAlias = Literal["effects", "music", "speech"]
Source: TypeAlias = Literal["synthesis", "soundfont", "espeak-ng", "flite"]
"""Where the samples of a take come from."""


class Annotations(TypedDict, total=False):
    """Properties of one take that a listener can check. Captions may name any of them.

    A render function reports only the properties that are true of its take.

    Attributes:
        pitch_hz: Fundamental frequency as perceived.
        count: Number of separate events, exact.
        rate_hz: Events per second of a steady repetition, below about 20 Hz.
        bpm: Musical tempo in beats per minute.
        qualities: Adjectives for the source ("wooden", "small", "minor"). They stand before the
            noun.
        manner: Adverbs or phrases ("slowly", "with a long echo"). They stand after the verb.
        onsets: Start times of the counted events, in seconds.
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
    """One rendering of a sound class.

    Attributes:
        samples: Samples `[T]` at any level. `scene` sets the level later.
        annotations: Properties of this take.
        source: Where the samples come from.
    """

    samples: Array
    annotations: Annotations
    source: Source = "synthesis"


@dataclass(frozen=True)
class SoundClass:
    """One class of sound.

    Attributes:
        name: Unique name, the label in metadata.
        family: Effects, music or speech.
        nouns: Singular noun phrases without article ("church bell"). A leading "~" marks a mass
            or plural noun that takes no article ("~rain", "~footsteps").
        actions: Present participles with their complements ("ringing", "slamming shut").
        render: Renders one take of the duration that the context states.
        is_sustained: The sound fills the clip (rain). Otherwise it is an event (a bark).
        can_be_indoors: The sound may be placed in a room with reverberation.
        can_be_far: The sound may be placed at a distance.
    """

    name: str
    family: Family
    nouns: tuple[str, ...]
    actions: tuple[str, ...]
    render: Callable[[RenderContext], Take]
    is_sustained: bool = False
    can_be_indoors: bool = True
    can_be_far: bool = True


def effect_class(
    name: str,
    render: Callable[[RenderContext], Take],
    nouns: tuple[str, ...],
    actions: tuple[str, ...],
    is_sustained: bool = False,
    can_be_indoors: bool = True,
    can_be_far: bool = True,
) -> SoundClass:
    """Build a class of the family "effects". The arguments are those of `SoundClass`."""
    return SoundClass(
        name, "effects", nouns, actions, render, is_sustained, can_be_indoors, can_be_far
    )
