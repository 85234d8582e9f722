"""One clip: a sound alone, one sound and then another, or one sound while another goes on.

Knows kinds, space and time. Refuses to know the words of a caption and the files a clip ends in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .room import DISTANCES, LOUDNESSES, ROOMS, Distance, Loudness, Room, faded, levelled, spread
from .sound_class import Facts, Kind
from .synth import Array, Stage, add, normalised

Relation: TypeAlias = Literal["alone", "then", "while"]

_RELATIONS: tuple[Relation, ...] = ("alone", "then", "while")
SHARES = (0.72, 0.18, 0.1)
"""How often one sound is alone, is followed by another, passes while another goes on."""
_THEN_SECONDS = 2.5  # shorter clips leave neither of two sounds the time to be recognised
_SEAM_S = 0.03
_FRAME_S = 0.01
_HEARD = 0.02  # a frame counts as sound above this share (-34 dB) of the loudest frame


@dataclass(frozen=True)
class Event:
    """One sound of a scene: its kind, the facts true of this take (onsets in clip time), when it is heard, and from where."""

    kind: Kind
    facts: Facts
    start_s: float
    stop_s: float
    distance: Distance = "mid"
    room: Room = "none"
    loudness: Loudness = "normal"


@dataclass(frozen=True)
class Scene:
    """What happens in a clip of `seconds`. "then": events in order. "while": first the passing event, second what goes on."""

    events: tuple[Event, ...]
    relation: Relation
    seconds: float


def play(
    kinds: Sequence[Kind],
    rng: np.random.Generator,
    rate: int,
    seconds: float,
    lead: Kind | None = None,
    shares: Sequence[float] = SHARES,
) -> tuple[NDArray[np.float32], Scene]:
    """Invent and render one clip: samples `[T]` float32, |x| <= 1, T = round(seconds * rate), and the scene that is true of it.

    `lead` is the kind that must be heard (otherwise drawn evenly from `kinds`); a partner is drawn evenly from those that fit.
    shares: see `SHARES`.
    """
    lead = lead or kinds[int(rng.integers(len(kinds)))]
    relation = _RELATIONS[int(rng.choice(3, p=shares))]
    partners = [kind for kind in kinds if _fits(lead, kind, relation, seconds)]
    cast: tuple[Kind, ...] = (lead,)
    if partners:
        cast = _ordered(rng, relation, lead, partners[int(rng.integers(len(partners)))])
    else:
        relation = "alone"
    room = _drawn_room(rng, all(kind.indoors for kind in cast))
    perform = {"alone": _alone, "then": _then, "while": _while}[relation]
    canvas, events = perform(cast, rng, rate, seconds, room)
    peak = float(np.max(np.abs(canvas)))
    canvas = faded(canvas * min(1.0, 0.98 / peak), rate)
    return canvas.astype(np.float32), Scene(events, relation, seconds)


def _fits(lead: Kind, other: Kind, relation: Relation, seconds: float) -> bool:
    """Whether the two can share a clip: anything may follow anything; only a passing event is heard over a sustained one."""
    if relation == "alone" or other.name == lead.name:
        return False
    return seconds >= _THEN_SECONDS if relation == "then" else lead.sustained != other.sustained


def _ordered(
    rng: np.random.Generator, relation: Relation, lead: Kind, partner: Kind
) -> tuple[Kind, ...]:
    if relation == "while":
        return (partner, lead) if lead.sustained else (lead, partner)
    return (lead, partner) if rng.random() < 0.5 else (partner, lead)


def _alone(
    cast: tuple[Kind, ...], rng: np.random.Generator, rate: int, seconds: float, room: Room
) -> tuple[Array, tuple[Event, ...]]:
    sound, event = _placed(cast[0], rng, rate, seconds, room, 0.0, seconds)
    return sound, (event,)


def _then(
    cast: tuple[Kind, ...], rng: np.random.Generator, rate: int, seconds: float, room: Room
) -> tuple[Array, tuple[Event, ...]]:
    """Each takes about half the clip; the room's echo of the first rings into the second."""
    cut = round(seconds * float(rng.uniform(0.48, 0.52)) * rate) / rate
    first, before = _placed(cast[0], rng, rate, seconds, room, 0.0, cut)
    second, after = _placed(cast[1], rng, rate, seconds, room, cut, seconds)
    return first + second, (before, after)


def _while(
    cast: tuple[Kind, ...], rng: np.random.Generator, rate: int, seconds: float, room: Room
) -> tuple[Array, tuple[Event, ...]]:
    """The event stands 4 to 10 dB above what goes on, measured where each sounds, so that both are heard."""
    front, event = _placed(cast[0], rng, rate, seconds, room, 0.0, seconds, balanced=True)
    back, steady = _placed(cast[1], rng, rate, seconds, room, 0.0, seconds, balanced=True)
    ratio = 10 ** (-float(rng.uniform(4, 10)) / 20)
    back = back * (ratio * _active_rms(front, rate) / _active_rms(back, rate))
    return normalised(front + back, float(rng.uniform(0.4, 0.7))), (event, steady)


def _placed(
    kind: Kind,
    rng: np.random.Generator,
    rate: int,
    seconds: float,
    room: Room,
    start: float,
    stop: float,
    balanced: bool = False,
) -> tuple[Array, Event]:
    """One kind played from `start` to `stop` on a canvas of `seconds`; `balanced` leaves the level to the caller."""
    offset, size = round(start * rate), round(seconds * rate)
    take = kind.play(Stage(rng, rate, round((stop - start) * rate) / rate))
    far = kind.far and room != "small room"  # nothing is far away in a small room
    distance = DISTANCES[int(rng.choice(3, p=(0.12, 0.76, 0.12) if far else (0.15, 0.85, 0.0)))]
    odds = (0.25, 0.75, 0.0) if distance == "far" else (0.15, 0.7, 0.15)  # far away nothing is loud
    loudness = "normal" if balanced else LOUDNESSES[int(rng.choice(3, p=odds))]
    peak = float(np.max(np.abs(take.samples)))
    assert np.isfinite(peak) and peak > 1e-6, (
        f"{kind.name} played silence or numbers that are not finite"
    )
    dry = faded(take.samples, rate, _SEAM_S if stop < seconds else 0.0)
    sound = levelled(spread(dry, rate, rng, distance, room, size - offset), distance, loudness)
    canvas = np.zeros(size)
    add(canvas, sound, offset)
    facts = take.facts.copy()
    if "onsets" in facts:
        facts["onsets"] = tuple(round(onset + start, 4) for onset in facts["onsets"])
    heard, ended = _heard(sound, rate)
    return canvas, Event(kind, facts, start + heard, start + ended, distance, room, loudness)


def _drawn_room(rng: np.random.Generator, allowed: bool) -> Room:
    room = ROOMS[int(rng.choice(4, p=(0.82, 0.06, 0.06, 0.06)))]
    return room if allowed else "none"


def _frames(x: Array, rate: int) -> Array:
    """Level of each 10 ms, root mean square."""
    hop = max(1, round(_FRAME_S * rate))
    return np.asarray(np.sqrt(np.mean(x[: len(x) // hop * hop].reshape(-1, hop) ** 2, axis=1)))


def _active_rms(x: Array, rate: int) -> float:
    """Level while the sound sounds: frames within 20 dB of the loudest."""
    frames = _frames(x, rate)
    return float(np.sqrt(np.mean(frames[frames > 0.1 * frames.max()] ** 2)))


def _heard(x: Array, rate: int) -> tuple[float, float]:
    """First and last moment in seconds at which the sound is audible."""
    frames = _frames(x, rate)
    loud = np.flatnonzero(frames > _HEARD * frames.max())
    return round(float(loud[0]) * _FRAME_S, 2), round(
        min(float(loud[-1] + 1) * _FRAME_S, len(x) / rate), 2
    )
