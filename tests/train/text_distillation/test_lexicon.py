"""The lexicon: inflections of verbs, and sentences with their canonical forms."""

import re
from itertools import islice

import pytest

from latentaudio.train.text_distillation import lexicon
from procedural_audio.captions.grammar import split_of


@pytest.mark.parametrize(
    ("verb", "participle", "third_person"),
    [
        ("bark", "barking", "barks"),
        ("ring", "ringing", "rings"),
        ("hum", "humming", "hums"),
        ("chime", "chiming", "chimes"),
        ("slam shut", "slamming shut", "slams shut"),
        ("crash", "crashing", "crashes"),
        ("buzz", "buzzing", "buzzes"),
        ("moo", "mooing", "moos"),
        ("cry", "crying", "cries"),
        ("play", "playing", "plays"),
        ("go off", "going off", "goes off"),
        ("break", "breaking", "breaks"),
        ("whir", "whirring", "whirs"),
        ("quack", "quacking", "quacks"),
        ("hiss", "hissing", "hisses"),
        ("flow", "flowing", "flows"),
        ("open", "opening", "opens"),
        ("rattle", "rattling", "rattles"),
        ("strum", "strumming", "strums"),
    ],
)
def test_verbs_are_inflected(verb, participle, third_person):
    assert lexicon.present_participle(verb) == participle
    assert lexicon.third_person(verb) == third_person


def test_the_lexicon_is_complete_and_has_many_nouns():
    sources = lexicon.load_sources()
    assert len(sources) > 200
    nouns = set()
    for source in sources:
        nouns.update(source.nouns)
        assert all((*source.nouns, *source.verbs, *source.adjectives))
    assert len(nouns) > 1500
    hound = next(source for source in sources if "hound" in source.nouns)
    assert hound.nouns[0] == "dog"


def test_sentences_repeat_by_seed_and_are_never_of_the_test_split():
    pairs = list(islice(lexicon.generate_sentences(1), 300))
    assert pairs == list(islice(lexicon.generate_sentences(1), 300))
    assert pairs != list(islice(lexicon.generate_sentences(2), 300))
    assert {split_of(pair.text) for pair in pairs} == {"train"}


def test_a_canonical_caption_differs_in_the_name_of_the_source_alone():
    synonyms = set()
    for source in lexicon.load_sources():
        plain = source.nouns[0].lstrip("~")
        synonyms |= {(noun.lstrip("~"), plain) for noun in source.nouns}
    pairs = islice(lexicon.generate_sentences(3), 400)
    different = [pair for pair in pairs if pair.text != pair.canonical]
    assert len(different) > 200
    for pair in different:
        text = pair.text.lower()
        canonical = pair.canonical.lower()
        assert any(noun in text and plain in canonical for noun, plain in synonyms)
        assert re.findall(r"[\d.]+ ?hz", text) == re.findall(r"[\d.]+ ?hz", canonical)


def test_common_word_texts_name_every_word_in_turn():
    vocabulary = ["anvil", "bishop", "cloud"]
    pairs = list(islice(lexicon.common_word_texts(5, vocabulary), 9))
    assert all(word in pair.text for word, pair in zip(vocabulary * 3, pairs, strict=True))
