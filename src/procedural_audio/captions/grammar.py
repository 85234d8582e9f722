"""Captions: what is true of a scene, said in many ways of plain English.

Knows words, word order and the two disjoint languages of captions, "train" and "test". Refuses to know samples and files.
A sentence belongs to "test" when a hash of its normalised text says so (one in eight) and to "train" otherwise; besides, no
sentence frame is shared. So no caption of one split can occur in the other, whatever the seeds. A sound alone is described, now
and then and in training only, by a free wording (`wordings`) that no frame could make.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

import numpy as np

from latentaudio.errors import UsageError

from ..room import Distance, Loudness, Room
from ..scene import Event, Relation, Scene
from ..sound_class import Facts
from . import verbalize
from .handwritten import wordings
from .verbalize import pick

Split: TypeAlias = Literal["train", "test"]

_TEST_SHARE = 8  # one sentence in so many
_DRAWS = 2000
_NAMED, _NUMBER_NAMED, _OUTDOORS_NAMED = 0.8, 0.9, 0.15
_FREE = 0.2  # of the training captions of a sound alone

# a, b: the clauses of the first and second event. thing: noun phrase with article. bare: without. be: is/are. doing: participle
# and all that follows. act: the same without place and distance, which then stand as `where` (frames that use it need one).
FRAMES: dict[Split, dict[Relation, tuple[str, ...]]] = {
    "train": {
        "alone": (
            "{a.thing} {a.doing}",
            "{a.thing} {a.doing}",
            "{a.thing} {a.be} {a.doing}",
            "{a.bare} {a.doing}",
            "the sound of {a.thing} {a.doing}",
            "a recording of {a.thing} {a.doing}",
            "there {a.be} {a.thing} {a.doing}",
            "you can hear {a.thing} {a.doing}",
            "{a.thing} can be heard {a.doing}",
            "{a.where}, {a.thing} {a.be} {a.act}",
            "{a.where} there {a.be} {a.thing} {a.act}",
            "{a.thing} {a.where}, {a.act}",
        ),
        "then": (
            "{a.thing} {a.doing}, followed by {b.thing} {b.doing}",
            "{a.thing} {a.doing} and then {b.thing} {b.doing}",
            "{a.thing} {a.doing}, then {b.thing} {b.doing}",
            "first {a.thing} {a.doing}, then {b.thing} {b.doing}",
            "{a.thing} {a.doing}, and after that {b.thing} {b.doing}",
            "{a.thing} {a.doing} before {b.thing} {b.doing}",
            "{b.thing} {b.doing} after {a.thing} {a.doing}",
            "{a.bare} {a.doing}, then {b.bare} {b.doing}",
        ),
        "while": (
            "{a.thing} {a.doing} while {b.thing} {b.be} {b.doing}",
            "{a.thing} {a.be} {a.doing} while {b.thing} {b.be} {b.doing}",
            "{a.thing} {a.doing} with {b.thing} {b.doing} in the background",
            "{a.thing} {a.doing} over the sound of {b.thing} {b.doing}",
            "{b.thing} {b.doing} while {a.thing} {a.be} {a.doing}",
            "{b.thing} {b.doing} and {a.thing} {a.doing} over it",
            "{a.thing} {a.doing}, {b.thing} {b.doing} in the background",
            "{a.bare} {a.doing} and {b.bare} {b.doing} at the same time",
        ),
    },
    "test": {
        "alone": (
            "we hear {a.thing} {a.doing}",
            "a clip of {a.thing} {a.doing}",
            "someone recorded {a.thing} {a.doing}",
            "audio of {a.thing} {a.doing}",
            "what you hear is {a.thing} {a.doing}",
            "a sound effect of {a.thing} {a.doing}",
            "this is {a.thing} {a.doing}",
            "{a.where} we hear {a.thing} {a.act}",
            "in this clip {a.thing} {a.be} {a.doing}",
            "the noise of {a.thing} {a.doing}",
        ),
        "then": (
            "we hear {a.thing} {a.doing}, followed by {b.thing} {b.doing}",
            "{a.thing} {a.doing} at first and then {b.thing} {b.doing}",
            "{a.thing} {a.doing}; next comes {b.thing} {b.doing}",
            "after {a.thing} {a.doing} comes {b.thing} {b.doing}",
            "a clip of {a.thing} {a.doing} before {b.thing} {b.be} {b.doing}",
        ),
        "while": (
            "we hear {a.thing} {a.doing} while {b.thing} {b.be} {b.doing}",
            "{b.thing} {b.be} {b.doing} as {a.thing} {a.be} {a.doing}",
            "{a.thing} {a.doing} against a background of {b.thing} {b.doing}",
            "with {b.thing} {b.doing} in the background, {a.thing} {a.be} {a.doing}",
            "{a.thing} {a.doing} on top of {b.thing} {b.doing}",
        ),
    },
}

_OUTDOORS = ("outdoors", "outside", "in the open air")
_PLACES: dict[Room, tuple[str, ...]] = {
    "none": (),
    "small room": ("in a small room", "indoors", "in a little room", "inside a small room"),
    "large hall": ("in a large hall", "in a big hall", "in an echoing hall", "inside a large hall"),
    "cathedral": (
        "in a cathedral",
        "in a cave",
        "in a huge cathedral",
        "with a long echo in a cathedral",
    ),
}
_DISTANCES: dict[Distance, tuple[str, ...]] = {
    "near": ("close up", "nearby", "very close", "right next to the microphone"),
    "mid": (),
    "far": ("in the distance", "far away", "from afar", "a long way off"),
}
_LOUD: dict[Loudness, tuple[str, ...]] = {
    "quiet": ("quiet", "soft", "faint"),
    "normal": (),
    "loud": ("loud", "very loud"),
}
_LOUDLY: dict[Loudness, tuple[str, ...]] = {
    "quiet": ("quietly", "softly"),
    "normal": (),
    "loud": ("loudly", "very loudly"),
}


@dataclass(frozen=True)
class _Clause:
    """One event in words, ready for a frame."""

    thing: str
    bare: str
    be: str
    act: str
    where: str

    @property
    def doing(self) -> str:
        return f"{self.act} {self.where}".rstrip()


def normalise(sentence: str) -> str:
    """The sentence without case, punctuation and surplus spaces: what decides its split."""
    return " ".join(re.sub(r"[^\w#.\- ]+", " ", sentence.lower()).rstrip(". ").split())


def belongs(sentence: str) -> Split:
    """The split a sentence belongs to, by a hash of its normalised text: the same on every machine, for ever."""
    digest = blake2b(normalise(sentence).encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % _TEST_SHARE == 0 else "train"


def describe(scene: Scene, rng: np.random.Generator, split: Split) -> str:
    """A caption of `scene` that belongs to `split`. Facts are left out at random; what is said is true.

    Raises UsageError when the kinds of the scene have so few words that no sentence of the split exists.
    """
    for _ in range(_DRAWS):
        sentence = _sentence(scene, rng, split)
        if sentence and belongs(sentence) == split:
            return sentence
    names = ", ".join(event.kind.name for event in scene.events)
    raise UsageError(f"no {split} caption found for {names}: give the kind more nouns or actions")


def _sentence(scene: Scene, rng: np.random.Generator, split: Split) -> str:
    """A free wording, or a caption from a frame of `split`; "" when the frame drawn needs a place and none is named."""
    if split == "train" and scene.relation == "alone" and rng.random() < _FREE:
        return pick(rng, wordings()[scene.events[0].kind.name])
    shared = len({event.room for event in scene.events}) == 1 and len(scene.events) == 2
    clauses = [
        _clause(event, rng, room=i == 1 or not shared) for i, event in enumerate(scene.events)
    ]
    frame = pick(rng, FRAMES[split][scene.relation])
    if "{a.where}" in frame and not clauses[0].where:
        return ""
    sentence = frame.format(a=clauses[0], b=clauses[-1])
    style = rng.random()
    if style < 0.35:
        return sentence
    return sentence[0].upper() + sentence[1:] + ("." if style < 0.85 else "")


def _clause(event: Event, rng: np.random.Generator, room: bool) -> _Clause:
    """The event in words. `room` False leaves the room for the other clause to name."""
    noun, action = pick(rng, event.kind.nouns), pick(rng, event.kind.actions)
    said = set(f"{noun} {action}".lower().replace("~", "").split())
    loud_first = rng.random() < 0.6
    adjectives, act = _adjectives(event, rng, loud_first), _act(action, event, rng, loud_first)
    adjectives = [word for word in adjectives if not said & set(word.split())]
    bare = " ".join([*adjectives, noun.lstrip("~")])
    thing = bare if noun.startswith("~") else f"{verbalize.article(bare)} {bare}"
    where = _place(event, rng) if room else []
    if event.distance != "mid" and rng.random() < _NAMED:
        where.append(pick(rng, _DISTANCES[event.distance]))
    if rng.random() < 0.3:
        where.reverse()
    return _Clause(thing, bare, _be(noun), act, " ".join(where))


def _place(event: Event, rng: np.random.Generator) -> list[str]:
    """The room, or now and then the open air for what is heard far off or never indoors."""
    if event.room != "none":
        return [pick(rng, _PLACES[event.room])] if rng.random() < _NAMED else []
    open_air = event.distance == "far" or not event.kind.indoors
    return [pick(rng, _OUTDOORS)] if open_air and rng.random() < _OUTDOORS_NAMED else []


def _be(noun: str) -> str:
    """ "are" for a plural noun ("~footsteps on gravel", "~people"), "is" for all others ("~rain", "glass")."""
    head = re.split(r" (?:of|on|in|from|at|with|through|against) ", noun)[0]
    return (
        "are" if noun.startswith("~") and re.search(r"([^s]s|people|children|men)$", head) else "is"
    )


def _adjectives(event: Event, rng: np.random.Generator, loud_first: bool) -> list[str]:
    """Loudness, then how the source is made, then its register; each at random."""
    facts, words = event.facts, []
    if loud_first and event.loudness != "normal" and rng.random() < _NAMED:
        words.append(pick(rng, _LOUD[event.loudness]))
    words += [word for word in facts.get("qualities", ()) if rng.random() < _NAMED][:2]
    if "pitch_hz" in facts and rng.random() < 0.3:
        words += filter(None, [verbalize.register(facts["pitch_hz"], rng)])
    return list(dict.fromkeys(words))


def _act(action: str, event: Event, rng: np.random.Generator, loud_first: bool) -> str:
    """The verb, then manner, then numbers in any order, now and then set off by commas."""
    facts = event.facts
    manner = [word for word in facts.get("manner", ()) if rng.random() < _NAMED][:2]
    silent_on_level = not re.search(r"loud|quiet|soft", " ".join([action, *manner]))
    if silent_on_level and not loud_first and event.loudness != "normal" and rng.random() < _NAMED:
        manner.append(pick(rng, _LOUDLY[event.loudness]))
    if len(manner) == 2 and " " not in manner[0] + manner[1]:
        manner = [" and ".join(manner)]
    numbers = _numbers(facts, rng)
    rng.shuffle(numbers)
    comma = ", " if rng.random() < 0.15 else " "
    return comma.join(
        [" ".join([action, *manner]), *(phrase for phrase in numbers if phrase not in manner)]
    )


def _numbers(facts: Facts, rng: np.random.Generator) -> list[str]:
    phrases = []
    if "count" in facts and rng.random() < _NUMBER_NAMED:
        phrases.append(verbalize.times(facts["count"], rng))
    if "bpm" in facts and rng.random() < _NUMBER_NAMED:
        phrases.append(verbalize.tempo(facts["bpm"], rng))
    elif "rate_hz" in facts and rng.random() < _NUMBER_NAMED:
        rate = verbalize.rate(
            facts["rate_hz"], rng
        )  # "three times every two seconds" would be three in two seconds
        phrases.append(f"once {rate}" if phrases and rate.startswith("every ") else rate)
    if "pitch_hz" in facts and rng.random() < _NUMBER_NAMED:
        phrases.append(verbalize.pitch(facts["pitch_hz"], rng))
    return phrases
