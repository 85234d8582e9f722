"""Words for low and high, slow and fast: the ranges hold, and only outer thirds have a word."""

import numpy as np
import pytest

from procedural_audio.captions import ranges, verbalize
from procedural_audio.captions.grammar import describe
from procedural_audio.registry import get_registry
from procedural_audio.scene import Event, Scene
from procedural_audio.synth import RenderContext


def annotations(name, num_takes=8, duration=2.5):
    for seed in range(num_takes):
        ctx = RenderContext(np.random.default_rng([11, seed]), 16000, duration)
        yield get_registry()[name].render(ctx).annotations


@pytest.mark.parametrize("name", list(ranges.PITCH_RANGES_HZ))
def test_pitches_lie_in_the_range_of_their_class(name):
    low, high = ranges.PITCH_RANGES_HZ[name]
    pitches = [each["pitch_hz"] for each in annotations(name) if "pitch_hz" in each]
    assert all(0.99 * low <= pitch <= 1.01 * high for pitch in pitches)


@pytest.mark.parametrize("name", list(ranges.RATE_RANGES_HZ))
def test_rates_lie_in_the_range_of_their_class(name):
    low, high = ranges.RATE_RANGES_HZ[name]
    rates = [each["rate_hz"] for each in annotations(name) if "rate_hz" in each]
    # A short clip raises the lowest rates, so that it holds two events.
    assert all(0.75 * low <= rate <= 1.3 * high for rate in rates)


@pytest.mark.parametrize(
    ("name", "properties", "word", "opposite"),
    [
        ("bell", {"pitch_hz": 240.0}, "low|deep", "high"),
        ("bell", {"pitch_hz": 1100.0}, "high", "low|deep"),
        ("heartbeat", {"bpm": 55.0}, "slow", "fast"),
        ("heartbeat", {"bpm": 170.0}, "fast", "slow"),
        ("clock", {"rate_hz": 1.0}, "slow", "fast"),
        ("clock", {"rate_hz": 5.0}, "fast", "slow"),
        ("keyboard", {"manner": ("rapidly",)}, "fast", "slow"),
    ],
)
def test_a_caption_says_the_word_of_an_outer_third_and_never_its_opposite(
    name, properties, word, opposite
):
    scene = Scene((Event(get_registry()[name], properties, 0.0, 5.0),), "alone", 5.0)
    texts = [describe(scene, np.random.default_rng(seed), "test").lower() for seed in range(200)]
    words = [" ".join(text.split()) for text in texts]
    said = [any(f" {each} " in text for each in word.split("|")) for text in words]
    assert np.mean(said) > 0.15
    assert not any(f" {each} " in text for each in opposite.split("|") for text in words)


def test_a_cat_that_meows_with_long_pauses_is_no_slow_cat():
    properties = {"rate_hz": 0.5, "manner": ("with long pauses",)}
    assert ranges.pace_third("cat", properties) is None
    assert ranges.pace_third("helicopter", {"rate_hz": 16.0}) is None


def test_the_middle_third_has_no_word():
    assert ranges.third_of(500.0, (220.0, 1200.0)) is None
    assert ranges.third_of(230.0, (220.0, 1200.0)) == "lowest"
    assert ranges.third_of(1100.0, (220.0, 1200.0)) == "highest"


@pytest.mark.parametrize(
    ("seconds", "phrase"),
    [
        (5.12, "five seconds"),
        (2.56, "two and a half seconds"),
        (1.5, "one and a half seconds"),
        (10.24, "ten seconds"),
        (1.28, None),
        (0.4, None),
    ],
)
def test_a_duration_is_said_only_if_it_is_near_half_seconds(seconds, phrase):
    assert verbalize.duration_phrase(seconds, np.random.default_rng(0)) == phrase


def test_a_sound_that_goes_on_is_sometimes_given_its_duration():
    scene = Scene((Event(get_registry()["rain"], {}, 0.0, 5.0),), "alone", 5.0)
    texts = [describe(scene, np.random.default_rng(seed), "train") for seed in range(300)]
    assert any("ive seconds of " in text for text in texts)
