"""English sentences about sounds beyond the captions of the corpus.

Captions of the corpus name only what the renderer can render. These sentences teach the text
encoders synonyms: each comes with a canonical caption, the same sentence with the plainest name of
its source ("hound" -> "dog"). The words are in `lexicon.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from procedural_audio.captions import verbalize
from procedural_audio.captions.grammar import split_of

_ONE_SOURCE = (
    "{thing} {doing}",
    "{thing} {doing}",
    "{thing} {does}",
    "{bare}",
    "{thing}",
    "{bare} {doing}",
    "{doing} {bare}",
    "the sound of {thing}",
    "the sound of {thing} {doing}",
    "the {doing} of {thing}",
    "sound of {bare}",
    "i want to hear {thing} {doing}",
    "{thing} that {does}",
    "{bare} sound effect",
    "{bare} noise",
    "the noise {thing} makes",
    "please make {thing} {doing}",
    "imagine {thing} {doing}",
    "{bare} sounds",
    "listen to {thing} {doing}",
    "{thing} is {doing}",
    "some {bare} {doing}",
    "my {bare} {does}",
)
"""Sentences about one source. {thing} has an article, {bare} has none."""
_TWO_SOURCES = (
    "{a} and {b}",
    "{a}, then {b}",
    "{a} followed by {b}",
    "{a} while {b}",
    "after {a}, {b}",
    "{a} with {b} behind it",
    "{a} plus {b}",
    "first {a} and later {b}",
    "{a} before {b}",
    "{a} during {b}",
    "{a} as {b} goes on",
    "{a}. afterwards {b}.",
)
"""Sentences about two sources; {a} and {b} are clauses."""
_CLAUSES = ("{thing} {doing}", "{thing} {does}", "{bare} {doing}", "{thing}")
_COMMON_WORD_TEXTS = (
    "{w}",
    "{w}",
    "the sound of {w}",
    "a {w}",
    "{w} sound",
    "{w} {doing}",
    "{adjective} {w}",
    "{w} and {v}",
    "a {w} {doing}",
    "the {w} is {adjective}",
    "{w} in the distance",
    "sounds like {w}",
    "{w} {v}",
    "{adjective} {w} {doing}",
    "a {w} near the {v}",
)
"""Texts about any words {w} and {v} of a vocabulary."""
_MANNERS = (
    "slowly",
    "quickly",
    "rapidly",
    "softly",
    "quietly",
    "loudly",
    "very loudly",
    "gently",
    "suddenly",
    "repeatedly",
    "steadily",
    "again and again",
    "getting louder",
    "getting quieter",
    "fading away",
    "speeding up",
    "in the distance",
    "far away",
    "nearby",
    "close up",
    "from afar",
    "in a small room",
    "in a large hall",
    "in a cathedral",
    "in a cave",
    "outside",
    "indoors",
    "at night",
    "in the morning",
    "with an echo",
    "with long reverb",
    "through a wall",
    "in the street",
    "in a forest",
    "in a tunnel",
    "for a long time",
    "briefly",
    "without pause",
)
NUMBERS = verbalize.NUMBER_WORDS[1:]
"""The words for 1 to 12."""

_ONE_SOURCE_PROB = 0.78
_SENTENCE_CASE_PROB = 0.3  # a capital and a full stop
_ADJECTIVE_PROB = 0.25
_MANNER_PROB = 0.3


@dataclass(frozen=True)
class SoundSource:
    """A source of sound.

    Attributes:
        nouns: Noun phrases, the plainest name first. A leading "~" marks one without article.
        verbs: Verb phrases in their base form.
        adjectives: Adjectives of the source.
    """

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]


@dataclass(frozen=True)
class CaptionPair:
    """A text and its canonical form.

    Attributes:
        text: The text.
        canonical: The same words with each source called by its plainest name.
    """

    text: str
    canonical: str


@cache
def load_sources() -> tuple[SoundSource, ...]:
    """Return every source of the lexicon, in the order of the file."""
    file = resources.files("latentaudio.train.text_distillation").joinpath("lexicon.txt")
    sources = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            nouns, verbs, adjectives = line.split(":")
            sources.append(SoundSource(_words(nouns), _words(verbs), _words(adjectives)))
    return tuple(sources)


def _words(cell: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in cell.split(","))


def list_words() -> list[str]:
    """Return every single word that the sentences can contain, each once."""
    texts = [*_MANNERS, *_ONE_SOURCE, *_TWO_SOURCES, *_COMMON_WORD_TEXTS, *NUMBERS]
    for source in load_sources():
        texts += [*source.nouns, *source.adjectives, *source.verbs]
        texts += map(present_participle, source.verbs)
        texts += map(third_person, source.verbs)
    # Order matters: a dict keeps it, and the tokenizer's ids depend on it.
    words: dict[str, None] = {}
    for text in texts:
        without_slots = re.sub(r"\{\w+\}", " ", text)
        words.update(dict.fromkeys(re.findall(r"[a-z]+", without_slots)))
    return list(words)


def present_participle(verb: str) -> str:
    """Return the present participle of a verb phrase: "run down" -> "running down".

    Args:
        verb: Verb phrase in its base form.
    """
    first, *rest = verb.split(" ")
    if first.endswith("ie"):
        first = first[:-2] + "y"
    elif re.search(r"[^eoy]e$", first) and first != "be":
        first = first[:-1]
    elif re.fullmatch(r"[^aeiou]*(?:qu)?[aeiou][^aeiouwxy]", first) or first in ("begin", "unzip"):
        first += first[-1]
    return " ".join([first + "ing", *rest])


def third_person(verb: str) -> str:
    """Return the third person of a verb phrase: "crash down" -> "crashes down".

    Args:
        verb: Verb phrase in its base form.
    """
    first, *rest = verb.split(" ")
    if re.search(r"(?:s|x|z|ch|sh|[^o]o)$", first):
        first += "es"
    elif re.search(r"[^aeiou]y$", first):
        first = first[:-1] + "ies"
    else:
        first += "s"
    return " ".join([first, *rest])


def generate_sentences(seed: int) -> Iterator[CaptionPair]:
    """Yield endless sentences about the lexicon's sources, without those of the test split.

    Args:
        seed: Equal seeds give equal sentences.
    """
    rng = np.random.default_rng(seed)
    while True:
        pair = _sentence(rng)
        if split_of(pair.text) == "train":
            yield pair


def common_word_texts(seed: int, vocabulary: Sequence[str]) -> Iterator[CaptionPair]:
    """Yield endless short texts about the words of a vocabulary in turn.

    They give every word a meaning, also those that name no sound. Each text is its own canonical
    form.

    Args:
        seed: Equal seeds give equal texts.
        vocabulary: Words, one per text.
    """
    rng = np.random.default_rng(seed)
    sources = load_sources()
    while True:
        for word in vocabulary:
            source = sources[int(rng.integers(len(sources)))]
            text = verbalize.pick(rng, _COMMON_WORD_TEXTS).format(
                w=word,
                v=vocabulary[int(rng.integers(len(vocabulary)))],
                doing=present_participle(verbalize.pick(rng, source.verbs)),
                adjective=verbalize.pick(rng, source.adjectives),
            )
            yield CaptionPair(text, text)


def _sentence(rng: np.random.Generator) -> CaptionPair:
    if rng.random() < _ONE_SOURCE_PROB:
        pair = _clause(rng, verbalize.pick(rng, _ONE_SOURCE))
    else:
        a = _clause(rng, verbalize.pick(rng, _CLAUSES))
        b = _clause(rng, verbalize.pick(rng, _CLAUSES))
        template = verbalize.pick(rng, _TWO_SOURCES)
        pair = CaptionPair(
            template.format(a=a.text, b=b.text), template.format(a=a.canonical, b=b.canonical)
        )
    if rng.random() < _SENTENCE_CASE_PROB:
        pair = CaptionPair(_sentence_case(pair.text), _sentence_case(pair.canonical))
    return pair


def _sentence_case(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _clause(rng: np.random.Generator, template: str) -> CaptionPair:
    """Return a clause about one source and its canonical form, which differ in the noun alone."""
    sources = load_sources()
    source = sources[int(rng.integers(len(sources)))]
    verb = verbalize.pick(rng, source.verbs)
    has_adjective = rng.random() < _ADJECTIVE_PROB
    adjective = verbalize.pick(rng, source.adjectives) if has_adjective else ""
    quantity = _quantity(rng)
    manner = verbalize.pick(rng, _MANNERS) if rng.random() < _MANNER_PROB else ""
    tail = [phrase for phrase in (quantity, manner) if phrase]
    noun = verbalize.pick(rng, source.nouns)
    return CaptionPair(
        _fill(template, noun, verb, adjective, tail),
        _fill(template, source.nouns[0], verb, adjective, tail),
    )


def _fill(template: str, noun: str, verb: str, adjective: str, tail: list[str]) -> str:
    has_no_article = noun.startswith("~")
    is_plural = has_no_article and noun.endswith("s")
    bare = f"{adjective} {noun.lstrip('~')}".strip()
    text = template.format(
        thing=bare if has_no_article else f"{verbalize.indefinite_article(bare)} {bare}",
        bare=bare,
        doing=present_participle(verb),
        does=verb if is_plural else third_person(verb),
    )
    return " ".join([text, *tail])


def _quantity(rng: np.random.Generator) -> str:
    """Return a pitch, count, rate or tempo in words, or in three of five cases nothing."""
    draw = rng.random()
    if draw < 0.14:
        pitch_hz = _log_uniform(rng, 45, 5000)
        number = verbalize.hertz_number(pitch_hz, rng)
        phrase = verbalize.pitch_phrase(pitch_hz, rng)
        return verbalize.pick(
            rng, (phrase, phrase, f"at {number}hz", f"{number} Hz", f"({number} hertz)")
        )
    if draw < 0.24:
        return verbalize.count_phrase(int(rng.integers(1, 10)), rng)
    if draw < 0.33:
        return verbalize.rate_phrase(_log_uniform(rng, 0.3, 16), rng)
    if draw < 0.4:
        return verbalize.tempo_phrase(_log_uniform(rng, 40, 240), rng)
    return ""


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
