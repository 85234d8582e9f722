"""Captions are true, grammatical where that can be checked, and in two disjoint splits."""

import re
from dataclasses import replace

import librosa
import numpy as np
import pytest

from procedural_audio.captions import grammar, verbalize
from procedural_audio.captions.handwritten import handwritten_captions
from procedural_audio.captions.ood_prompts import (
    has_novel_wording,
    ood_prompts,
    second_ood_prompts,
)
from procedural_audio.errors import RenderError
from procedural_audio.registry import get_classes, get_registry
from procedural_audio.scene import Event, Scene, render_scene
from procedural_audio.sound_class import effect_class

BELL = effect_class(
    "bell",
    lambda ctx: None,
    ("bell", "iron bell", "ship's bell"),
    ("ringing", "tolling", "sounding"),
)
RAIN = effect_class(
    "rain",
    lambda ctx: None,
    ("~rain", "~raindrops", "downpour"),
    ("falling", "pouring down"),
    is_sustained=True,
)
NUMBERS = {word: n for n, word in enumerate(verbalize.NUMBER_WORDS)} | {"once": 1, "twice": 2}
HANDWRITTEN = {text for captions in handwritten_captions().values() for text in captions}


def event(sound_class=BELL, **annotations):
    place = {}
    for key in ("distance", "room", "loudness"):
        if key in annotations:
            place[key] = annotations.pop(key)
    return Event(sound_class, annotations, 0.0, 5.0, **place)


def alone(**properties):
    return Scene((event(**properties),), "alone", 5.0)


BELL_THEN_RAIN = Scene((event(), event(RAIN)), "then", 5.0)
BELL_WHILE_RAIN = Scene((event(), event(RAIN)), "while", 5.0)


def grammar_captions(scene, split="train", count=300):
    """Captions from frames; handwritten ones are left out."""
    rng = np.random.default_rng(0)
    captions = []
    while len(captions) < count:
        text = grammar.describe(scene, rng, split)
        if text not in HANDWRITTEN:
            captions.append(text)
    return captions


def number(word):
    return float(NUMBERS.get(word, word))


def test_a_count_and_a_slow_rate_do_not_read_as_one_phrase():
    both = []
    for text in grammar_captions(alone(count=3, rate_hz=0.4), count=1000):
        if re.search(r"every \S+ seconds", text) and "times" in text:
            both.append(text)
    assert len(both) > 300
    # "three times every two and a half seconds" would be false.
    assert not [text for text in both if re.search(r"times,? every \S+ seconds", text)]


@pytest.mark.parametrize("pitch", [41.7, 63.0, 110.0, 261.9, 440.0, 452.0, 987.3, 1234.5, 4021.0])
def test_a_stated_pitch_is_true(pitch):
    captions = grammar_captions(alone(pitch_hz=pitch))
    stated = [text for text in captions if re.search(r"hertz|Hz|tuned|note", text)]
    assert len(stated) > 150
    num_notes = 0
    for text in stated:
        note = re.search(r"\b([A-G][#b]?\d)\b", text)
        num_notes += bool(note)
        if match := re.search(r"([\d.]+) (?:hertz|Hz)", text):
            assert abs(float(match[1]) / pitch - 1) <= 0.01
        elif note:
            assert abs(1200 * np.log2(pitch / librosa.note_to_hz(note[1]))) <= 20.0
    nearest = librosa.midi_to_hz(round(librosa.hz_to_midi(pitch)))
    assert bool(num_notes) == (abs(1200 * np.log2(pitch / nearest)) <= 20.0)


@pytest.mark.parametrize("rate_hz", [0.21, 0.5, 0.667, 1.0, 1.46, 2.0, 2.5, 7.3, 12.9, 19.9])
def test_a_stated_rate_is_true(rate_hz):
    num_stated = 0
    for text in grammar_captions(alone(rate_hz=rate_hz)):
        if match := re.search(r"(?:(once|twice)|(\S+) times) (?:per|a|every) second", text):
            assert abs(number(match[1] or match[2]) / rate_hz - 1) <= 0.03
            num_stated += 1
        elif match := re.search(r"every (\S+) seconds", text):
            assert abs(1 / number(match[1]) / rate_hz - 1) <= 0.03
            num_stated += 1
        elif "slow" in text:
            assert rate_hz < 1
        elif re.search("quick|rapid", text):
            assert rate_hz > 5
    assert num_stated > 120


@pytest.mark.parametrize("bpm", [61.4, 90.0, 118.7, 173.2])
def test_a_stated_tempo_is_true(bpm):
    stated = []
    for text in grammar_captions(alone(bpm=bpm)):
        if match := re.search(r"(\d+) (?:bpm|beats per minute)", text):
            stated.append(float(match[1]))
    assert len(stated) > 150
    assert all(abs(each / bpm - 1) <= 0.01 for each in stated)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 14])
def test_a_stated_count_is_exact(count):
    stated = []
    for text in grammar_captions(alone(count=count)):
        if match := re.search(r"\b(once|twice)\b|(\S+) times?\b", text):
            stated.append(number(match[1] or match[2]))
    assert len(stated) > 150 and set(stated) == {count}


@pytest.mark.parametrize(
    ("pattern", "frequency"),
    [
        ("times", 0.9),
        ("wooden", 0.8),
        ("wildly", 0.8),
        ("cathedral|cave", 0.8),
        ("far|afar|way off", 0.6),
    ],
)
def test_properties_are_stated_with_their_probability(pattern, frequency):
    scene = alone(
        count=3, qualities=("wooden",), manner=("wildly",), room="cathedral", distance="far"
    )
    captions = grammar_captions(scene, "test", count=2000)  # none is short
    stated = [bool(re.search(pattern, text)) for text in captions]
    assert np.mean(stated) == pytest.approx(frequency, abs=0.07)


@pytest.mark.parametrize(
    ("article", "phrases"),
    [
        (
            "a",
            "bell/unicorn/euro/one-man band/ukulele/hall/fork/utensil/user/cat",
        ),
        (
            "an",
            "owl/hour bell/honest man/8-bit tune/unidentified noise/umbrella/elk/11th",
        ),
    ],
)
def test_the_article_follows_the_first_sound(article, phrases):
    for phrase in phrases.split("/"):
        assert verbalize.indefinite_article(phrase) == article, phrase


def test_mass_and_plural_nouns_have_no_article_and_the_right_verb():
    text = " ".join(grammar_captions(alone(sound_class=RAIN), count=600)).lower()
    assert "rain is " in text and "raindrops are " in text and "a downpour is " in text
    assert not re.search(r"\ban? rain|rain are|raindrops is|~", text)


@pytest.mark.parametrize("split", ["train", "test"])
def test_captions_of_two_events_state_their_order(split):
    for text in grammar_captions(BELL_THEN_RAIN, split, 200):
        bell = re.search("bell", text, re.I).start()
        rain = re.search("rain|downpour", text, re.I).start()
        reversing = r"(?<!^)(?<!and )after (?!that)|^before |, but first "
        is_reversed = bool(re.search(reversing, text.lower()))
        assert (bell < rain) != is_reversed


def test_captions_of_simultaneous_events_state_it():
    captions = grammar_captions(BELL_WHILE_RAIN, "train", 300)
    for words in ("while", "background"):
        assert any(words in text for text in captions)


def test_splits_are_disjoint_and_both_have_many_captions():
    scenes = [
        alone(pitch_hz=440.0, count=2, room="large hall"),
        BELL_WHILE_RAIN,
        alone(sound_class=RAIN),
    ]
    texts = {"train": set(), "test": set()}
    for split, split_texts in texts.items():
        for scene in scenes:
            split_texts |= {
                grammar.normalize_sentence(text) for text in grammar_captions(scene, split)
            }
        assert all(grammar.split_of(text) == split for text in split_texts)
    assert len(texts["train"]) > 400 and len(texts["test"]) > 150
    assert not texts["train"] & texts["test"]
    for relation in ("alone", "then", "while"):
        assert not set(grammar.FRAMES["train"][relation]) & set(grammar.FRAMES["test"][relation])


def test_the_split_ignores_case_and_punctuation_and_is_fixed():
    variants = ("A dog barking, twice.", "a dog barking twice", " a dog  barking twice")
    assert len({grammar.split_of(text) for text in variants}) == 1
    sentences = [f"sentence number {n}" for n in range(4000)]
    test_fraction = np.mean([grammar.split_of(text) == "test" for text in sentences])
    assert test_fraction == pytest.approx(1 / 8, abs=0.02)
    # The digests of GNU coreutils agree: printf 'sentence number 1' | b2sum -l 64
    in_test = [n for n in range(20) if grammar.split_of(f"sentence number {n}") == "test"]
    assert in_test == [1, 8, 10, 12]


def test_a_class_with_too_few_words_is_an_error():
    mute = replace(BELL, name="mute", nouns=("bell",), actions=("pealing",))
    message = "no test caption found for mute: give the sound class more nouns"
    with pytest.raises(RenderError, match=message):
        grammar_captions(alone(sound_class=mute), "test", 1)


@pytest.mark.parametrize("name", list(get_registry()))
def test_every_class_has_well_formed_captions_in_both_splits(name):
    sound_class = get_registry()[name]
    _, scene = render_scene([sound_class], np.random.default_rng(7), 16000, 1.28)
    nouns = [noun.lstrip("~").lower() for noun in sound_class.nouns]
    actions = [action.lower() for action in sound_class.actions]
    for split in ("train", "test"):
        captions = grammar_captions(scene, split, 12)
        assert len(set(captions)) > 3
        for caption in captions:
            text = caption.lower()
            has_noun = any(noun in text for noun in nouns)
            has_action = any(action in text for action in actions)
            assert (has_noun or has_action) if split == "train" else (has_noun and has_action)
            assert not re.search(r"\b(\w+) \1\b|~|  | ,|\ba [aeio]", text), caption


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({"rate_hz": 1.2, "count": 3}, "slow"),
        ({"rate_hz": 3.0, "count": 7}, "fast"),
        ({"rate_hz": 1.9}, None),  # neither slow nor fast for footsteps
        ({"pitch_hz": 60.0}, "low|low-pitched|deep"),
        ({"pitch_hz": 3900.0}, "high|high-pitched"),
    ],
)
def test_a_fifth_of_the_training_captions_is_short_and_names_pace_and_register(annotations, words):
    sound_class = get_registry()["footsteps"]
    scene = alone(sound_class=sound_class, **annotations)
    phrases = [*sound_class.nouns, *sound_class.actions]
    phrases = sorted((phrase.lstrip("~") for phrase in phrases), key=len, reverse=True)
    adjectives = r"(?:\ban? )?(?:(slow|fast|low-pitched|low|deep|high-pitched|high) ?)?"
    rest = "|".join(map(re.escape, phrases))
    pattern = re.compile(f"{adjectives}(?:{rest})(?: (?:{rest}))?", re.IGNORECASE)
    matches = []
    for text in grammar_captions(scene, count=3000):
        # Frames without any property look like short sentences, but they are rare.
        if match := pattern.fullmatch(text.rstrip(".")):
            matches.append((match[1] or "").lower())
    assert 0.2 < len(matches) / 3000 < 0.35  # a fifth, and more where there is little to name
    named = [word for word in matches if word]
    assert bool(named) == bool(words)
    if words:
        assert 0.5 < len(named) / len(matches) < 0.9
        assert all(re.fullmatch(words, word) for word in named)


ADJECTIVES = r"(an? )?((very loud|loud|quiet|soft|faint|slow|fast|low|high|deep)\S* )*"


@pytest.mark.parametrize("name", list(get_registry()))
def test_a_short_caption_is_no_phrase_of_another_class(name):
    sound_class = get_registry()[name]
    others = set()
    for each in get_registry().values():
        if each.name != name:
            others.update(phrase.lstrip("~").lower() for phrase in (*each.nouns, *each.actions))
    scene = alone(sound_class=sound_class, rate_hz=1.0, pitch_hz=50.0, loudness="loud")
    for text in grammar_captions(scene, count=200):
        assert re.sub(ADJECTIVES, "", text.lower().rstrip("."), count=1) not in others, text


def test_every_frame_has_a_noun_and_an_action():
    for relations in grammar.FRAMES.values():
        for frames in relations.values():
            for frame in frames:
                assert re.search(r"\{a\.(subject|bare_subject)\}", frame)
                assert re.search(r"\{a\.(predicate|action)\}", frame)


def test_the_grammar_cannot_produce_an_ood_prompt():
    """A caption holds a noun and an action of one class word for word; no prompt holds both.

    A short caption is one of them with adjectives; no prompt is.
    """
    for prompts in (ood_prompts(), second_ood_prompts()):
        assert len(prompts) >= 50
        assert len({name for name, _ in prompts}) >= 50
    prompts = ood_prompts() + second_ood_prompts()
    assert len({grammar.normalize_sentence(text) for _, text in prompts}) == len(prompts)
    for name, prompt in prompts:
        assert name in get_registry()
        text = f" {grammar.normalize_sentence(prompt)} "
        for sound_class in get_registry().values():
            has_words = []
            for words in (sound_class.nouns, sound_class.actions):
                normalized = [grammar.normalize_sentence(word) for word in words]
                has_words.append(any(f" {word} " in text for word in normalized))
                for word in normalized:
                    assert not re.fullmatch(ADJECTIVES + re.escape(word), text.strip()), prompt
            assert not all(has_words), (prompt, sound_class.name)


def test_every_class_has_its_own_handwritten_captions_and_none_is_an_ood_prompt():
    captions = handwritten_captions()
    assert list(captions) == list(get_registry())
    texts = []
    for class_captions in captions.values():
        assert len(class_captions) >= 30
        texts += [grammar.normalize_sentence(text) for text in class_captions]
    assert len(texts) == len(set(texts))
    prompts = ood_prompts() + second_ood_prompts()
    assert not set(texts) & {grammar.normalize_sentence(text) for _, text in prompts}


def test_a_prompt_is_novel_unless_a_handwritten_caption_shares_two_words():
    caption = handwritten_captions()["drip"][0]
    assert not has_novel_wording("drip", f"{caption} again")
    assert has_novel_wording("drip", "qwertz und zuiop")
    for prompts in (ood_prompts(), second_ood_prompts()):
        num_novel = sum(has_novel_wording(name, prompt) for name, prompt in prompts)
        assert 15 <= num_novel < len(prompts)


def test_handwritten_captions_are_for_training_on_a_sound_alone():
    _, scene = render_scene(get_classes(["dog"]), np.random.default_rng(1), 16000, 1.0)
    assert scene.relation == "alone"
    rng = np.random.default_rng(0)
    is_handwritten = [grammar.describe(scene, rng, "train") in HANDWRITTEN for _ in range(400)]
    assert 0.15 < np.mean(is_handwritten) < 0.35
    assert not HANDWRITTEN & {grammar.describe(scene, rng, "test") for _ in range(200)}
