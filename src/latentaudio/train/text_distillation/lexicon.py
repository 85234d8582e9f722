"""English for sounds beyond the corpus grammar: sources, their synonyms, what they do, and sentences made of them.

Knows words (`lexicon.txt`). Refuses to know samples, tokens and networks.

The corpus grammar speaks of what the renderer can play; people ask for anything. These sentences teach the text encoders that a
hound is a dog and a downpour is rain: each comes with its plain twin, the same sentence with the source's plainest name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from procedural_audio.captions import verbalize
from procedural_audio.captions.grammar import belongs

_ALONE = (
    "{thing} {doing}", "{thing} {doing}", "{thing} {does}", "{bare}", "{thing}", "{bare} {doing}", "{doing} {bare}",
    "the sound of {thing}", "the sound of {thing} {doing}", "the {doing} of {thing}", "sound of {bare}",
    "i want to hear {thing} {doing}", "{thing} that {does}", "{bare} sound effect", "{bare} noise",
    "the noise {thing} makes", "please make {thing} {doing}", "imagine {thing} {doing}", "{bare} sounds",
    "listen to {thing} {doing}", "{thing} is {doing}", "some {bare} {doing}", "my {bare} {does}",
)  # fmt: skip
_TWO = (
    "{a} and {b}", "{a}, then {b}", "{a} followed by {b}", "{a} while {b}", "after {a}, {b}", "{a} with {b} behind it",
    "{a} plus {b}", "first {a} and later {b}", "{a} before {b}", "{a} during {b}", "{a} as {b} goes on",
    "{a}. afterwards {b}.",
)  # fmt: skip
_CLAUSES = ("{thing} {doing}", "{thing} {does}", "{bare} {doing}", "{thing}")
_WORDS = (
    "{w}", "{w}", "the sound of {w}", "a {w}", "{w} sound", "{w} {doing}", "{adjective} {w}", "{w} and {v}", "a {w} {doing}",
    "the {w} is {adjective}", "{w} in the distance", "sounds like {w}", "{w} {v}", "{adjective} {w} {doing}",
    "a {w} near the {v}",
)  # fmt: skip
_MANNER = (
    "slowly", "quickly", "rapidly", "softly", "quietly", "loudly", "very loudly", "gently", "suddenly", "repeatedly",
    "steadily", "again and again", "getting louder", "getting quieter", "fading away", "speeding up", "in the distance",
    "far away", "nearby", "close up", "from afar", "in a small room", "in a large hall", "in a cathedral", "in a cave",
    "outside", "indoors", "at night", "in the morning", "with an echo", "with long reverb", "through a wall",
    "in the street", "in a forest", "in a tunnel", "for a long time", "briefly", "without pause",
)  # fmt: skip
NUMBERS = (
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


@dataclass(frozen=True)
class Source:
    """A source of sound: noun phrases (the first is the plain name; "~" means no article), base verbs, adjectives."""

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A sentence and its plain twin: the same words with each source called by its plainest name."""

    text: str
    plain: str


@cache
def sources() -> tuple[Source, ...]:
    """Every source of the lexicon, in file order."""
    table = (
        resources.files("latentaudio.train.text_distillation")
        .joinpath("lexicon.txt")
        .read_text(encoding="utf-8")
    )
    rows = [row.split(":") for row in table.splitlines() if row and not row.startswith("#")]
    return tuple(
        Source(*(tuple(word.strip() for word in cell.split(",")) for cell in row)) for row in rows
    )


def words() -> list[str]:
    """Every single word the sentences can contain, each once, in lexicon order."""
    texts = [*_MANNER, *_ALONE, *_TWO, *_WORDS, *NUMBERS]
    for source in sources():
        texts += [
            *source.nouns,
            *source.adjectives,
            *source.verbs,
            *map(doing, source.verbs),
            *map(does, source.verbs),
        ]
    return list(
        dict.fromkeys(
            re.findall(r"[a-z]+", " ".join(re.sub(r"\{\w+\}", " ", text) for text in texts))
        )
    )


def doing(verb: str) -> str:
    """The present participle of a verb phrase: "run down" -> "running down"."""
    first, *rest = verb.split(" ")
    if first.endswith("ie"):
        first = first[:-2] + "y"
    elif re.search(r"[^eoy]e$", first) and first != "be":
        first = first[:-1]
    elif re.fullmatch(r"[^aeiou]*(?:qu)?[aeiou][^aeiouwxy]", first) or first in ("begin", "unzip"):
        first += first[-1]
    return " ".join([first + "ing", *rest])


def does(verb: str) -> str:
    """The third person of a verb phrase: "crash down" -> "crashes down"."""
    first, *rest = verb.split(" ")
    if re.search(r"(?:s|x|z|ch|sh|[^o]o)$", first):
        first += "es"
    elif re.search(r"[^aeiou]y$", first):
        first = first[:-1] + "ies"
    else:
        first += "s"
    return " ".join([first, *rest])


def sentences(seed: int) -> Iterator[Line]:
    """Endless sentences about the lexicon's sources, the same for the same seed; none belongs to the held-out split."""
    rng = np.random.default_rng(seed)
    while True:
        line = _sentence(rng)
        if belongs(line.text) == "train":
            yield line


def everyday(seed: int, vocabulary: Sequence[str]) -> Iterator[Line]:
    """Endless short texts about the words of a vocabulary in turn, so that no word is foreign; a text is its own plain twin."""
    rng = np.random.default_rng(seed)
    table = sources()
    while True:
        for word in vocabulary:
            source = table[int(rng.integers(len(table)))]
            text = verbalize.pick(rng, _WORDS).format(
                w=word,
                v=vocabulary[int(rng.integers(len(vocabulary)))],
                doing=doing(verbalize.pick(rng, source.verbs)),
                adjective=verbalize.pick(rng, source.adjectives),
            )
            yield Line(text, text)


def _sentence(rng: np.random.Generator) -> Line:
    if rng.random() < 0.78:
        line = _clause(rng, verbalize.pick(rng, _ALONE))
    else:
        a, b = (_clause(rng, verbalize.pick(rng, _CLAUSES)) for _ in range(2))
        frame = verbalize.pick(rng, _TWO)
        line = Line(frame.format(a=a.text, b=b.text), frame.format(a=a.plain, b=b.plain))
    if rng.random() < 0.3:
        line = Line(*(text[0].upper() + text[1:] + "." for text in (line.text, line.plain)))
    return line


def _clause(rng: np.random.Generator, frame: str) -> Line:
    """One source in words, with its plain twin: same verb, adjectives and tail."""
    table = sources()
    source = table[int(rng.integers(len(table)))]
    verb = verbalize.pick(rng, source.verbs)
    adjective = verbalize.pick(rng, source.adjectives) if rng.random() < 0.25 else ""
    tail = [
        word
        for word in (_quantity(rng), verbalize.pick(rng, _MANNER) if rng.random() < 0.3 else "")
        if word
    ]
    return Line(
        *(
            _worded(frame, noun, verb, adjective, tail)
            for noun in (verbalize.pick(rng, source.nouns), source.nouns[0])
        )
    )


def _worded(frame: str, noun: str, verb: str, adjective: str, tail: list[str]) -> str:
    bare = f"{adjective} {noun.lstrip('~')}".strip()
    many = noun.startswith("~") and noun.endswith("s")
    thing = bare if noun.startswith("~") else f"{verbalize.article(bare)} {bare}"
    text = frame.format(
        thing=thing, bare=bare, doing=doing(verb), does=verb if many else does(verb)
    )
    return " ".join([text, *tail])


def _quantity(rng: np.random.Generator) -> str:
    """A quantity in the corpus's words or in other people's, or nothing."""
    dice = rng.random()
    if dice < 0.14:
        pitch = float(np.exp(rng.uniform(np.log(45), np.log(5000))))
        number = verbalize.hertz(pitch, rng)
        named = verbalize.pitch(pitch, rng)
        return verbalize.pick(
            rng, (named, named, f"at {number}hz", f"{number} Hz", f"({number} hertz)")
        )
    if dice < 0.24:
        return verbalize.times(int(rng.integers(1, 10)), rng)
    if dice < 0.33:
        return verbalize.rate(float(np.exp(rng.uniform(np.log(0.3), np.log(16)))), rng)
    if dice < 0.4:
        return verbalize.tempo(float(np.exp(rng.uniform(np.log(40), np.log(240)))), rng)
    return ""
