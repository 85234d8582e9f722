"""Scenes of two simple classes, a decaying sine and steady noise, and of every real class."""

from dataclasses import replace

import numpy as np
import pytest

from procedural_audio.registry import get_registry
from procedural_audio.scene import render_scene
from procedural_audio.sound_class import SoundClass, Take, effect_class

RATE = 16000
PING_HZ = 1000.0


def render_ping(ctx):
    t = ctx.time_axis(ctx.duration)
    start = 0.2
    decay = (t >= start) * np.exp(-(t - start) * 8)
    samples = 3.0 * np.sin(2 * np.pi * PING_HZ * t) * decay
    return Take(samples, {"count": 1, "onsets": (start,)})


def render_noise(ctx):
    return Take(0.01 * ctx.white_noise(ctx.duration), {})


PING = effect_class("ping", render_ping, ("ping",), ("pinging",), can_be_indoors=False)
NOISE = effect_class(
    "noise",
    render_noise,
    ("~noise",),
    ("hissing",),
    is_sustained=True,
    can_be_indoors=False,
    can_be_far=False,
)
CLASSES = (PING, NOISE)


def scenes(count, duration=5.12, classes=CLASSES, sample_rate=RATE):
    rendered = []
    for seed in range(count):
        rng = np.random.default_rng([11, seed])
        rendered.append(render_scene(classes, rng, sample_rate, duration))
    return rendered


def test_samples_have_the_stated_shape_type_and_range():
    for duration in (0.6, 1.28, 2.5):
        for samples, scene in scenes(20, duration):
            assert samples.dtype == np.float32
            assert samples.shape == (round(duration * RATE),)
            assert scene.duration == duration
            assert np.isfinite(samples).all() and 0.05 < np.abs(samples).max() <= 1.0
            assert samples[0] == samples[-1] == 0.0


def test_equal_seeds_give_equal_scenes():
    first_samples, first = render_scene(CLASSES, np.random.default_rng(3), RATE, 3.0)
    second_samples, second = render_scene(CLASSES, np.random.default_rng(3), RATE, 3.0)
    np.testing.assert_array_equal(first_samples, second_samples)
    assert first == second


def test_relations_classes_and_loudness_have_their_probabilities():
    drawn = [scene for _, scene in scenes(1200, 2.56, sample_rate=4000)]
    frequency = {}
    for relation in ("alone", "then", "while"):
        frequency[relation] = np.mean([scene.relation == relation for scene in drawn])
    assert frequency == pytest.approx({"alone": 0.72, "then": 0.18, "while": 0.1}, abs=0.05)
    single = [scene.events[0] for scene in drawn if scene.relation == "alone"]
    assert np.mean([event.sound_class is PING for event in single]) == pytest.approx(0.5, abs=0.07)
    assert {event.loudness for event in single} == {"quiet", "normal", "loud"}


def test_rooms_and_distances_are_those_that_the_class_allows():
    for _, scene in scenes(300, 2.56, sample_rate=4000):
        for event in scene.events:
            assert event.room == "none"
            assert event.sound_class is PING or event.distance != "far"
    indoor_ping = (replace(PING, can_be_indoors=True),)
    drawn = set()
    for _, scene in scenes(300, 1.0, indoor_ping, 4000):
        drawn.add((scene.events[0].room, scene.events[0].distance))
    rooms = ("none", "small room", "large hall", "cathedral")
    expected = {(room, distance) for room in rooms for distance in ("near", "mid", "far")}
    assert drawn == expected - {("small room", "far")}


def test_peak_level_matches_the_loudness():
    peaks = {"quiet": 0.12, "normal": 0.4, "loud": 0.9}
    for samples, scene in scenes(80):
        event = scene.events[0]
        if scene.relation == "alone" and event.sound_class is PING:
            expected = peaks[event.loudness] * (0.6 if event.distance == "far" else 1.0)
            assert np.abs(samples).max() == pytest.approx(expected, rel=0.02)


def test_a_sequence_gives_each_class_half_of_the_clip_and_moves_the_onsets():
    num_checked = 0
    for samples, scene in scenes(120):
        if scene.relation != "then":
            continue
        num_checked += 1
        first, second = scene.events
        assert first.stop_s <= second.start_s + 0.5 and 2.0 < second.start_s < 3.3
        ping = first if first.sound_class is PING else second
        onset = ping.annotations["onsets"][0]
        carrier = np.exp(-2j * np.pi * PING_HZ * np.arange(len(samples)) / RATE)
        ping_level = np.abs(np.convolve(samples * carrier, np.ones(160) / 160, "same"))
        before = ping_level[int((onset - 0.05) * RATE)]
        after = ping_level[int((onset + 0.03) * RATE)]
        assert after > 3 * before
        assert ping.start_s == pytest.approx(onset, abs=0.02)
    assert num_checked > 8


def test_short_clips_hold_no_sequence():
    assert all(scene.relation != "then" for _, scene in scenes(100, 2.4, sample_rate=4000))


def test_an_event_over_a_sustained_sound_is_4_to_10_db_louder():
    num_checked = 0
    for samples, scene in scenes(120):
        if scene.relation != "while":
            continue
        num_checked += 1
        assert [event.sound_class.name for event in scene.events] == ["ping", "noise"]
        onset = scene.events[0].annotations["onsets"][0]
        ping = samples[round(onset * RATE) : round((onset + 0.1) * RATE)]
        steady = samples[round(3.0 * RATE) : round(4.0 * RATE)]
        ratio = 20 * np.log10(np.std(ping) / np.std(steady))
        # 4 to 10 dB hold for the whole ping, whose first 0.1 s is above its average.
        assert 3 < ratio < 16
    assert num_checked > 8


def test_the_scene_holds_its_main_class():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        _, scene = render_scene(CLASSES, rng, RATE, 5.12, main_class=NOISE)
        assert NOISE in [event.sound_class for event in scene.events]


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.full(RATE, np.nan)])
def test_silence_and_nan_raise_an_error_with_the_class_name(samples):
    broken = SoundClass("broken", "effects", ("x",), ("y",), lambda ctx: Take(samples, {}))
    with pytest.raises(AssertionError, match="broken"):
        render_scene([broken], np.random.default_rng(0), RATE, 1.0)


@pytest.mark.parametrize("name", list(get_registry()))
def test_every_class_renders_a_valid_scene(name):
    for seed, duration in enumerate((0.6, 1.28, 5.12)):
        rng = np.random.default_rng([seed, 5])
        samples, scene = render_scene([get_registry()[name]], rng, RATE, duration)
        assert len(samples) == round(duration * RATE) and np.isfinite(samples).all()
        assert 0.03 < np.abs(samples).max() <= 1.0
        event = scene.events[0]
        assert 0 <= event.start_s < event.stop_s <= duration
        onsets = event.annotations.get("onsets", ())
        assert len(onsets) in (0, event.annotations.get("count", len(onsets)))
        assert all(0 <= onset < duration for onset in onsets)
