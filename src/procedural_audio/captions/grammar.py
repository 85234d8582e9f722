"""The caption grammar: many English sentences for a scene, all of them true.

Captions come in two disjoint splits, "train" and "test". A hash of its normalized text puts one
sentence in eight into "test" and the others into "train". The splits also share no sentence frame.
So no caption of one split can occur in the other, whatever the seeds.

A sound alone is sometimes described by a handwritten caption (`handwritten`), in training only.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Literal, TypeAlias

import numpy as np

from ..errors import RenderError
from ..room import Distance, Loudness, Room
from ..scene import Event, Relation, Scene
from ..sound_class import Annotations
from . import ranges, verbalize
from .handwritten import handwritten_captions
from .verbalize import pick

Split: TypeAlias = Literal["train", "test"]

_TEST_FRACTION = 8  # one sentence in eight belongs to the test split
_MAX_ATTEMPTS = 2000
# For training captions of a sound alone.
_HANDWRITTEN_PROBABILITY = 0.2
_SHORT_PROBABILITY = 0.2
# Probabilities that a property is named.
_PROPERTY_PROBABILITY = 0.8
_NUMBER_PROBABILITY = 0.9
_OUTDOORS_PROBABILITY = 0.15
_REGISTER_PROBABILITY = 0.35
_PACE_PROBABILITY = 0.35
_SHORT_ADJECTIVE_PROBABILITY = 0.8  # register and pace in short sentences
_DURATION_PROBABILITY = 0.06  # for sounds that go on
# Style of a sentence: plain lower case, capital letter with full stop, capital letter alone.
_PLAIN_STYLE = 0.35
_FULL_STOP_STYLE = 0.85

# a and b are the clauses of the first and the second event (see `_Clause`). A frame that names
# a.place can be used only if the clause has a place.
FRAMES: dict[Split, dict[Relation, tuple[str, ...]]] = {
    "train": {
        "alone": (
            "{a.subject} {a.predicate}",
            "{a.subject} {a.predicate}",
            "{a.subject} {a.be} {a.predicate}",
            "{a.bare_subject} {a.predicate}",
            "the sound of {a.subject} {a.predicate}",
            "a recording of {a.subject} {a.predicate}",
            "there {a.be} {a.subject} {a.predicate}",
            "you can hear {a.subject} {a.predicate}",
            "{a.subject} can be heard {a.predicate}",
            "{a.place}, {a.subject} {a.be} {a.action}",
            "{a.place} there {a.be} {a.subject} {a.action}",
            "{a.subject} {a.place}, {a.action}",
        ),
        "then": (
            "{a.subject} {a.predicate}, followed by {b.subject} {b.predicate}",
            "{a.subject} {a.predicate} and then {b.subject} {b.predicate}",
            "{a.subject} {a.predicate}, then {b.subject} {b.predicate}",
            "first {a.subject} {a.predicate}, then {b.subject} {b.predicate}",
            "{a.subject} {a.predicate}, and after that {b.subject} {b.predicate}",
            "{a.subject} {a.predicate} before {b.subject} {b.predicate}",
            "{b.subject} {b.predicate} after {a.subject} {a.predicate}",
            "{a.bare_subject} {a.predicate}, then {b.bare_subject} {b.predicate}",
            "after {a.subject} {a.predicate}, {b.subject} {b.predicate}",
            "after {a.subject} {a.predicate} there {b.be} {b.subject} {b.predicate}",
            "after {a.subject} {a.predicate} you can hear {b.subject} {b.predicate}",
            "after {a.subject} {a.predicate} follows {b.subject} {b.predicate}",
            "{a.subject} {a.predicate}; next, {b.subject} {b.predicate}",
            "{a.subject} {a.predicate}, next up {b.be} {b.subject} {b.predicate}",
            "{a.subject} {a.predicate}; then comes {b.subject} {b.predicate}",
            "{a.subject} {a.predicate}; a moment later {b.subject} {b.predicate}",
            "once {a.subject} {a.predicate} {a.be} over, {b.subject} {b.predicate}",
            "{b.subject} {b.predicate}, but first {a.subject} {a.predicate}",
            "{a.subject} {a.predicate} to begin with, {b.subject} {b.predicate} to end with",
            "{a.subject} {a.predicate} comes first, {b.subject} {b.predicate} comes second",
            "in the beginning {a.subject} {a.predicate}, later {b.subject} {b.predicate}",
            "{a.subject} {a.predicate} until {b.subject} {b.be} {b.predicate}",
            "before {b.subject} {b.predicate}, {a.subject} {a.predicate}",
            "before {b.subject} {b.be} {b.predicate}, {a.subject} {a.be} {a.predicate}",
        ),
        "while": (
            "{a.subject} {a.predicate} while {b.subject} {b.be} {b.predicate}",
            "{a.subject} {a.be} {a.predicate} while {b.subject} {b.be} {b.predicate}",
            "{a.subject} {a.predicate} with {b.subject} {b.predicate} in the background",
            "{a.subject} {a.predicate} over the sound of {b.subject} {b.predicate}",
            "{b.subject} {b.predicate} while {a.subject} {a.be} {a.predicate}",
            "{b.subject} {b.predicate} and {a.subject} {a.predicate} over it",
            "{a.subject} {a.predicate}, {b.subject} {b.predicate} in the background",
            "{a.bare_subject} {a.predicate} and {b.bare_subject} {b.predicate} at the same time",
        ),
    },
    "test": {
        "alone": (
            "we hear {a.subject} {a.predicate}",
            "a clip of {a.subject} {a.predicate}",
            "someone recorded {a.subject} {a.predicate}",
            "audio of {a.subject} {a.predicate}",
            "what you hear is {a.subject} {a.predicate}",
            "a sound effect of {a.subject} {a.predicate}",
            "this is {a.subject} {a.predicate}",
            "{a.place} we hear {a.subject} {a.action}",
            "in this clip {a.subject} {a.be} {a.predicate}",
            "the noise of {a.subject} {a.predicate}",
        ),
        "then": (
            "we hear {a.subject} {a.predicate}, followed by {b.subject} {b.predicate}",
            "{a.subject} {a.predicate} at first and then {b.subject} {b.predicate}",
            "{a.subject} {a.predicate}; next comes {b.subject} {b.predicate}",
            "after {a.subject} {a.predicate} comes {b.subject} {b.predicate}",
            "a clip of {a.subject} {a.predicate} before {b.subject} {b.be} {b.predicate}",
        ),
        "while": (
            "we hear {a.subject} {a.predicate} while {b.subject} {b.be} {b.predicate}",
            "{b.subject} {b.be} {b.predicate} as {a.subject} {a.be} {a.predicate}",
            "{a.subject} {a.predicate} against a background of {b.subject} {b.predicate}",
            "with {b.subject} {b.predicate} in the background, {a.subject} {a.be} {a.predicate}",
            "{a.subject} {a.predicate} on top of {b.subject} {b.predicate}",
        ),
    },
}

_OUTDOOR_PHRASES = ("outdoors", "outside", "in the open air")
_ROOM_PHRASES: dict[Room, tuple[str, ...]] = {
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
_DISTANCE_PHRASES: dict[Distance, tuple[str, ...]] = {
    "near": ("close up", "nearby", "very close", "right next to the microphone"),
    "mid": (),
    "far": ("in the distance", "far away", "from afar", "a long way off"),
}
_LOUD_ADJECTIVES: dict[Loudness, tuple[str, ...]] = {
    "quiet": ("quiet", "soft", "faint"),
    "normal": (),
    "loud": ("loud", "very loud"),
}
_LOUD_ADVERBS: dict[Loudness, tuple[str, ...]] = {
    "quiet": ("quietly", "softly"),
    "normal": (),
    "loud": ("loudly", "very loudly"),
}


@dataclass(frozen=True)
class _Clause:
    """One event in words, for a sentence frame.

    subject: noun phrase with article. bare_subject: without. be: "is" or "are". action: the verb
    with manner and numbers. place: room and distance, or "".
    """

    subject: str
    bare_subject: str
    be: str
    action: str
    place: str

    @property
    def predicate(self) -> str:
        """The action, then the place."""
        return f"{self.action} {self.place}".rstrip()


def normalize_sentence(sentence: str) -> str:
    """Return a sentence without case, punctuation and extra spaces: the text that is hashed."""
    return " ".join(re.sub(r"[^\w#.\- ]+", " ", sentence.lower()).rstrip(". ").split())


def split_of(sentence: str) -> Split:
    """Return the split of a sentence, by a hash of its text: the same on every machine."""
    digest = blake2b(normalize_sentence(sentence).encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % _TEST_FRACTION == 0 else "train"


def describe(scene: Scene, rng: np.random.Generator, split: Split) -> str:
    """Write a caption of a scene. It omits properties at random; all it states is true.

    Args:
        scene: The scene.
        rng: Source of the wording.
        split: "train" or "test".

    Returns:
        A sentence that belongs to the split.

    Raises:
        RenderError: The sound classes have too few words for a sentence of this split.
    """
    for _ in range(_MAX_ATTEMPTS):
        sentence = _draw_sentence(scene, rng, split)
        if sentence and split_of(sentence) == split:
            return sentence
    names = ", ".join(event.sound_class.name for event in scene.events)
    raise RenderError(
        f"no {split} caption found for {names}: give the sound class more nouns or actions"
    )


def _draw_sentence(scene: Scene, rng: np.random.Generator, split: Split) -> str:
    """Draw a handwritten caption or fill a frame; "" if the frame needs a place and has none."""
    is_alone = scene.relation == "alone"
    if split == "train" and is_alone and rng.random() < _HANDWRITTEN_PROBABILITY:
        return pick(rng, handwritten_captions()[scene.events[0].sound_class.name])
    if split == "train" and is_alone and rng.random() < _SHORT_PROBABILITY:
        return draw_short_sentence(scene.events[0], rng)
    # Two events in the same room: the second clause names it.
    is_same_room = len({event.room for event in scene.events}) == 1 and len(scene.events) == 2
    clauses: list[_Clause] = []
    for index, event in enumerate(scene.events):
        clauses.append(_draw_clause(event, rng, names_room=index == 1 or not is_same_room))
    frame = pick(rng, FRAMES[split][scene.relation])
    if "{a.place}" in frame and not clauses[0].place:
        return ""
    sentence = frame.format(a=clauses[0], b=clauses[-1])
    style = rng.random()
    if style < _PLAIN_STYLE:
        return sentence
    capitalized = sentence[0].upper() + sentence[1:]
    return capitalized + ("." if style < _FULL_STOP_STYLE else "")


def draw_short_sentence(event: Event, rng: np.random.Generator) -> str:
    """Name a sound and what it is like, without numbers: "slow footsteps", "fast knocking"."""
    noun, verb = _draw_noun_and_verb(event, rng)
    adjectives = [
        *_draw_loudness(event, rng),
        *_draw_pace(event, rng, _SHORT_ADJECTIVE_PROBABILITY),
        *_draw_register(event, rng, _SHORT_ADJECTIVE_PROBABILITY),
    ]
    adjectives = _without_repetition(adjectives, noun, verb)
    subject, bare_subject = _noun_phrase(noun, adjectives)
    sentences = [f"{subject} {verb}"]
    ambiguous = _ambiguous_phrases()
    if noun.lstrip("~") not in ambiguous:
        sentences += [subject, bare_subject]
    if verb not in ambiguous and not verb.startswith("being "):
        sentences.append(" ".join([*adjectives, verb]))
    return pick(rng, sentences)


def _draw_noun_and_verb(event: Event, rng: np.random.Generator) -> tuple[str, str]:
    return pick(rng, event.sound_class.nouns), pick(rng, event.sound_class.actions)


def _without_repetition(adjectives: list[str], noun: str, verb: str) -> list[str]:
    """Leave out adjectives that the noun or the verb says, too."""
    used_words = set(f"{noun} {verb}".lower().replace("~", "").split())
    return [word for word in adjectives if not used_words & set(word.split())]


@cache
def _ambiguous_phrases() -> frozenset[str]:
    """Nouns and verbs of several sound classes: "sounding" alone says nothing."""
    from ..registry import get_registry  # imports this module's package

    counts = Counter[str]()
    for sound_class in get_registry().values():
        phrases = (*sound_class.nouns, *sound_class.actions)
        counts.update({phrase.lstrip("~") for phrase in phrases})
    return frozenset(phrase for phrase, count in counts.items() if count > 1)


def _noun_phrase(noun: str, adjectives: list[str]) -> tuple[str, str]:
    """Return the noun with its adjectives, with and without article."""
    bare = " ".join([*adjectives, noun.lstrip("~")])
    return (bare if noun.startswith("~") else f"{verbalize.indefinite_article(bare)} {bare}"), bare


def _draw_clause(event: Event, rng: np.random.Generator, names_room: bool) -> _Clause:
    """Put an event into words. Without `names_room` the other clause names the room."""
    noun, verb = _draw_noun_and_verb(event, rng)
    loudness_as_adjective = rng.random() < 0.6
    adjectives = _draw_adjectives(event, rng, loudness_as_adjective)
    action = _draw_action(verb, event, rng, loudness_as_adjective)
    adjectives = _without_repetition(adjectives, noun, verb)
    subject, bare_subject = _noun_phrase(noun, adjectives)
    duration = _draw_duration(event, rng)
    if duration:
        subject = bare_subject = f"{duration} of {subject}"
    place = _draw_place(event, rng) if names_room else []
    if event.distance != "mid" and rng.random() < _PROPERTY_PROBABILITY:
        place.append(pick(rng, _DISTANCE_PHRASES[event.distance]))
    if rng.random() < 0.3:
        place.reverse()
    return _Clause(subject, bare_subject, _is_or_are(noun), action, " ".join(place))


def _draw_duration(event: Event, rng: np.random.Generator) -> str | None:
    """Draw the duration of a sound that goes on, "five seconds", or mostly None."""
    is_named = event.sound_class.is_sustained and rng.random() < _DURATION_PROBABILITY
    return verbalize.duration_phrase(event.stop_s - event.start_s, rng) if is_named else None


def _draw_place(event: Event, rng: np.random.Generator) -> list[str]:
    """Name the room, or sometimes the open air for a sound that is far or never indoors."""
    if event.room != "none":
        is_named = rng.random() < _PROPERTY_PROBABILITY
        return [pick(rng, _ROOM_PHRASES[event.room])] if is_named else []
    is_outdoors = event.distance == "far" or not event.sound_class.can_be_indoors
    if is_outdoors and rng.random() < _OUTDOORS_PROBABILITY:
        return [pick(rng, _OUTDOOR_PHRASES)]
    return []


def _is_or_are(noun: str) -> str:
    """Return "are" for a plural ("~footsteps on gravel", "~people"), else "is" ("~rain")."""
    head = re.split(r" (?:of|on|in|from|at|with|through|against) ", noun)[0]
    is_plural = noun.startswith("~") and re.search(r"([^s]s|people|children|men)$", head)
    return "are" if is_plural else "is"


def _draw_adjectives(
    event: Event, rng: np.random.Generator, loudness_as_adjective: bool
) -> list[str]:
    """Draw adjectives in their order: loudness, pace, qualities of the source, register."""
    words = _draw_loudness(event, rng) if loudness_as_adjective else []
    words += _draw_pace(event, rng, _PACE_PROBABILITY)
    qualities: list[str] = []
    for word in event.annotations.get("qualities", ()):
        if rng.random() < _PROPERTY_PROBABILITY:
            qualities.append(word)
    words += qualities[:2]
    words += _draw_register(event, rng, _REGISTER_PROBABILITY)
    return list(dict.fromkeys(words))


def _draw_loudness(event: Event, rng: np.random.Generator) -> list[str]:
    """Draw an adjective of the loudness, or none."""
    if event.loudness == "normal" or rng.random() >= _PROPERTY_PROBABILITY:
        return []
    return [pick(rng, _LOUD_ADJECTIVES[event.loudness])]


def _draw_pace(event: Event, rng: np.random.Generator, probability: float) -> list[str]:
    """Draw "slow" or "fast", or none."""
    pace = ranges.pace_third(event.sound_class.name, event.annotations)
    if pace is None or event.sound_class.family == "speech" or rng.random() >= probability:
        return []
    return ["slow" if pace == "lowest" else "fast"]


def _draw_register(event: Event, rng: np.random.Generator, probability: float) -> list[str]:
    """Draw an adjective of the pitch, or none."""
    annotations = event.annotations
    name = event.sound_class.name
    if "pitch_hz" not in annotations or rng.random() >= probability:
        return []
    if name in ranges.PITCH_RANGES_HZ:
        third = ranges.pitch_third(name, annotations)
        register = verbalize.relative_register_adjective(third, rng) if third else None
    else:
        register = verbalize.register_adjective(annotations["pitch_hz"], rng)
    return [register] if register else []


def _draw_action(
    verb: str, event: Event, rng: np.random.Generator, loudness_as_adjective: bool
) -> str:
    """Join the verb, its manner and the numbers in random order, sometimes with commas."""
    annotations = event.annotations
    manner: list[str] = []
    for word in annotations.get("manner", ()):
        if rng.random() < _PROPERTY_PROBABILITY:
            manner.append(word)
    manner = manner[:2]
    names_loudness = bool(re.search(r"loud|quiet|soft", " ".join([verb, *manner])))
    wants_loudness = not loudness_as_adjective and event.loudness != "normal"
    if not names_loudness and wants_loudness and rng.random() < _PROPERTY_PROBABILITY:
        manner.append(pick(rng, _LOUD_ADVERBS[event.loudness]))
    if len(manner) == 2 and " " not in manner[0] + manner[1]:
        manner = [" and ".join(manner)]
    numbers = _draw_numbers(annotations, rng)
    rng.shuffle(numbers)
    separator = ", " if rng.random() < 0.15 else " "
    new_phrases = [phrase for phrase in numbers if phrase not in manner]
    return separator.join([" ".join([verb, *manner]), *new_phrases])


def _draw_numbers(annotations: Annotations, rng: np.random.Generator) -> list[str]:
    """Draw the phrases for count, tempo or rate, and pitch."""
    phrases: list[str] = []
    if "count" in annotations and rng.random() < _NUMBER_PROBABILITY:
        phrases.append(verbalize.count_phrase(annotations["count"], rng))
    if "bpm" in annotations and rng.random() < _NUMBER_PROBABILITY:
        phrases.append(verbalize.tempo_phrase(annotations["bpm"], rng))
    elif "rate_hz" in annotations and rng.random() < _NUMBER_PROBABILITY:
        rate = verbalize.rate_phrase(annotations["rate_hz"], rng)
        # "three times every two seconds" would mean three in two seconds.
        phrases.append(f"once {rate}" if phrases and rate.startswith("every ") else rate)
    if "pitch_hz" in annotations and rng.random() < _NUMBER_PROBABILITY:
        phrases.append(verbalize.pitch_phrase(annotations["pitch_hz"], rng))
    return phrases
