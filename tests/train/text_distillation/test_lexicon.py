"""The lexicon's English: inflections against a hand-made table, sentences against their plain twins and the held-out split."""

import re
from itertools import islice

import pytest

from latentaudio.train.text_distillation import lexicon
from procedural_audio.captions.grammar import belongs


@pytest.mark.parametrize(
    ("verb", "doing", "does"),
    [
        ("bark", "barking", "barks"), ("ring", "ringing", "rings"), ("hum", "humming", "hums"),
        ("chime", "chiming", "chimes"), ("slam shut", "slamming shut", "slams shut"), ("crash", "crashing", "crashes"),
        ("buzz", "buzzing", "buzzes"), ("moo", "mooing", "moos"), ("cry", "crying", "cries"), ("play", "playing", "plays"),
        ("go off", "going off", "goes off"), ("break", "breaking", "breaks"), ("whir", "whirring", "whirs"),
        ("quack", "quacking", "quacks"), ("hiss", "hissing", "hisses"), ("flow", "flowing", "flows"),
        ("open", "opening", "opens"), ("rattle", "rattling", "rattles"), ("strum", "strumming", "strums"),
    ],
)  # fmt: skip
def test_inflection(verb, doing, does):
    assert (lexicon.doing(verb), lexicon.does(verb)) == (doing, does)


def test_every_source_is_whole_and_broad():
    table = lexicon.sources()
    assert len(table) > 200
    assert len({noun for source in table for noun in source.nouns}) > 1500
    assert all(
        cell for source in table for cell in (*source.nouns, *source.verbs, *source.adjectives)
    )
    hound = next(source for source in table if "hound" in source.nouns)
    assert hound.nouns[0] == "dog"


def test_sentences_repeat_by_seed_and_never_belong_to_the_held_out_split():
    first, again, other = (list(islice(lexicon.sentences(seed), 300)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert {belongs(line.text) for line in first} == {"train"}


def test_a_plain_twin_says_the_same_of_the_plain_name():
    pairs = {
        (noun.lstrip("~"), source.nouns[0].lstrip("~"))
        for source in lexicon.sources()
        for noun in source.nouns
    }
    twins = [line for line in islice(lexicon.sentences(3), 400) if line.text != line.plain]
    assert len(twins) > 200
    for line in twins:
        text, plain = line.text.lower(), line.plain.lower()
        assert any(noun in text and name in plain for noun, name in pairs)
        assert re.findall(r"[\d.]+ ?hz", text) == re.findall(r"[\d.]+ ?hz", plain)


def test_everyday_texts_name_every_word_in_turn():
    vocabulary = ["anvil", "bishop", "cloud"]
    lines = list(islice(lexicon.everyday(5, vocabulary), 9))
    assert all(word in line.text for word, line in zip(vocabulary * 3, lines, strict=True))
