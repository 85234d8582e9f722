"""Scenes of two toy kinds whose sound is known in closed form: a pinging sine and steady noise."""

from dataclasses import replace

import numpy as np
import pytest

from procedural_audio.registry import get_registry
from procedural_audio.scene import render_scene
from procedural_audio.sound_class import SoundClass, Take

RATE = 16000
HERTZ = 1000.0


def ping(stage):
    t = stage.clock(stage.seconds)
    start = 0.2
    return Take(
        3.0 * np.sin(2 * np.pi * HERTZ * t) * (t >= start) * np.exp(-(t - start) * 8),
        {"count": 1, "onsets": (start,)},
    )


def hiss(stage):
    return Take(0.01 * stage.white(stage.seconds), {})


PING = SoundClass("ping", "effects", ("ping",), ("pinging",), ping, indoors=False)
HISS = SoundClass(
    "hiss", "effects", ("~hiss",), ("hissing",), hiss, sustained=True, indoors=False, far=False
)
TOYS = (PING, HISS)


def scenes(count, seconds=5.12, kinds=TOYS, rate=RATE):
    return [
        render_scene(kinds, np.random.default_rng([11, n]), rate, seconds) for n in range(count)
    ]


def test_shape_type_and_limits():
    for seconds in (0.6, 1.28, 2.5):
        for samples, scene in scenes(20, seconds):
            assert (
                samples.dtype == np.float32
                and samples.shape == (round(seconds * RATE),)
                and scene.duration == seconds
            )
            assert np.isfinite(samples).all() and 0.05 < np.abs(samples).max() <= 1.0
            assert samples[0] == samples[-1] == 0.0


def test_same_dice_same_scene():
    (one, first), (two, second) = (
        render_scene(TOYS, np.random.default_rng(3), RATE, 3.0) for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)
    assert first == second


def test_relations_kinds_and_loudness_in_their_shares():
    made = [scene for _, scene in scenes(1200, 2.56, rate=4000)]
    shares = {r: np.mean([s.relation == r for s in made]) for r in ("alone", "then", "while")}
    assert shares == pytest.approx({"alone": 0.72, "then": 0.18, "while": 0.1}, abs=0.05)
    single = [s.events[0] for s in made if s.relation == "alone"]
    assert np.mean([e.sound_class is PING for e in single]) == pytest.approx(0.5, abs=0.07)
    assert {e.loudness for e in single} == {"quiet", "normal", "loud"}


def test_kinds_are_only_placed_where_they_allow():
    for _, scene in scenes(300, 2.56, rate=4000):
        for event in scene.events:
            assert event.room == "none" and (event.sound_class is PING or event.distance != "far")
    heard = {
        (s.events[0].room, s.events[0].distance)
        for _, s in scenes(300, 1.0, (replace(PING, indoors=True),), 4000)
    }
    rooms, distances = ("none", "small room", "large hall", "cathedral"), ("near", "mid", "far")
    assert heard == {(room, distance) for room in rooms for distance in distances} - {
        ("small room", "far")
    }


def test_level_keeps_the_promise_of_loudness():
    peaks = {"quiet": 0.12, "normal": 0.4, "loud": 0.9}
    for samples, scene in scenes(80):
        if scene.relation == "alone" and scene.events[0].sound_class is PING:
            event = scene.events[0]
            expected = peaks[event.loudness] * (0.6 if event.distance == "far" else 1.0)
            assert np.abs(samples).max() == pytest.approx(expected, rel=0.02)


def test_then_puts_each_kind_in_its_half_and_moves_the_onsets():
    seen = 0
    for samples, scene in scenes(120):
        if scene.relation != "then":
            continue
        seen += 1
        first, second = scene.events
        assert first.stop_s <= second.start_s + 0.5 and 2.0 < second.start_s < 3.3
        bell = first if first.sound_class is PING else second
        onset = bell.annotations["onsets"][0]
        tone = np.convolve(
            samples * np.exp(-2j * np.pi * HERTZ * np.arange(len(samples)) / RATE),
            np.ones(160) / 160,
            "same",
        )
        before, after = (np.abs(tone[int((onset + d) * RATE)]) for d in (-0.05, 0.03))
        assert after > 3 * before
        assert bell.start_s == pytest.approx(onset, abs=0.02)
    assert seen > 8


def test_short_clips_never_hold_a_sequence():
    assert all(scene.relation != "then" for _, scene in scenes(100, 2.4, rate=4000))


def test_while_lets_both_be_heard():
    seen = 0
    for samples, scene in scenes(120):
        if scene.relation != "while":
            continue
        seen += 1
        assert [e.sound_class.name for e in scene.events] == ["ping", "hiss"]
        onset = scene.events[0].annotations["onsets"][0]
        struck = samples[round(onset * RATE) : round((onset + 0.1) * RATE)]
        steady = samples[round(3.0 * RATE) : round(4.0 * RATE)]
        ratio = 20 * np.log10(np.std(struck) / np.std(steady))
        assert (
            3 < ratio < 16
        )  # 4 to 10 dB over the whole ping, whose first tenth of a second stands above its average
    assert seen > 8


def test_the_lead_is_always_heard():
    for n in range(40):
        _, scene = render_scene(TOYS, np.random.default_rng(n), RATE, 5.12, lead=HISS)
        assert HISS in [event.sound_class for event in scene.events]


def test_silence_and_nan_are_refused():
    for samples in (np.zeros(RATE), np.full(RATE, np.nan)):
        broken = SoundClass(
            "broken", "effects", ("x",), ("y",), lambda stage, samples=samples: Take(samples, {})
        )
        with pytest.raises(AssertionError, match="broken"):
            render_scene([broken], np.random.default_rng(0), RATE, 1.0)


@pytest.mark.parametrize("name", list(get_registry()))
def test_every_real_kind_makes_a_sound_scene(name):
    for n, seconds in enumerate((0.6, 1.28, 5.12)):
        samples, scene = render_scene(
            [get_registry()[name]], np.random.default_rng([n, 5]), RATE, seconds
        )
        assert len(samples) == round(seconds * RATE) and np.isfinite(samples).all()
        assert 0.03 < np.abs(samples).max() <= 1.0
        event = scene.events[0]
        assert 0 <= event.start_s < event.stop_s <= seconds
        onsets = event.annotations.get("onsets", ())
        assert len(onsets) in (0, event.annotations.get("count", len(onsets))) and all(
            0 <= onset < seconds for onset in onsets
        )
