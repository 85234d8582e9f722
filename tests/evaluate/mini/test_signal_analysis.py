"""Signal analysis against sounds whose truth is known in closed form, and against the renderer's facts."""

import numpy as np
import pytest

from latentaudio.evaluate.mini import signal_analysis
from latentaudio.evaluate.mini.attributes import QUESTIONS
from latentaudio.evaluate.mini.prompts import RATE, of_every_kind, spelling_out

DICE = np.random.default_rng(0)
T = np.arange(3 * RATE) / RATE


def semitones(heard_hz, true_hz):
    return abs(12 * np.log2(heard_hz / true_hz))


def clicks(times, seconds=4.0):
    """Short bursts of noise at known moments over a faint hiss."""
    out = 0.001 * DICE.standard_normal(round(seconds * RATE))
    for time in times:
        start = round(time * RATE)
        out[start : start + 800] += DICE.standard_normal(800) * np.exp(-np.arange(800) / 150)
    return out


@pytest.mark.parametrize("hertz", [55.0, 123.4, 440.0, 987.7])
def test_a_harmonic_sound_has_its_fundamental_even_where_that_is_missing(hertz):
    full = sum(np.sin(2 * np.pi * k * hertz * T) / k for k in range(1, 7))
    assert semitones(signal_analysis.fundamental(full, RATE), hertz) < 0.1
    bodiless = sum(np.sin(2 * np.pi * k * hertz * T) / k for k in range(2, 7))
    assert semitones(signal_analysis.fundamental(bodiless, RATE), hertz) < 0.1


@pytest.mark.parametrize("hertz", [163.0, 1234.5, 4111.0])
def test_the_strongest_partial_is_found_between_the_bins(hertz):
    sound = (
        np.sin(2 * np.pi * hertz * T)
        + 0.5 * np.sin(2 * np.pi * 0.5 * hertz * T)
        + 0.1 * DICE.standard_normal(len(T))
    )
    assert signal_analysis.strongest_partial(sound, RATE) == pytest.approx(hertz, rel=5e-4)


@pytest.mark.parametrize("rate_hz", [0.7, 1.9, 4.4, 12.0])
def test_the_period_of_clicks_is_their_distance_and_no_multiple_of_it(rate_hz):
    assert 1 / signal_analysis.period(
        clicks(np.arange(0.1, 3.9, 1 / rate_hz)), RATE
    ) == pytest.approx(rate_hz, rel=0.02)


def test_a_gliding_sound_has_a_period_without_any_onset():
    hertz = 700 * 2 ** (0.5 * np.sin(2 * np.pi * 1.3 * T))
    siren = np.sin(2 * np.pi * np.cumsum(hertz) / RATE)
    assert 1 / signal_analysis.period(siren, RATE, rises=False) == pytest.approx(1.3, rel=0.05)


def test_silence_keeps_no_promise():
    silence = np.zeros(4 * RATE, np.float32)
    assert (
        np.isnan(signal_analysis.period(silence, RATE))
        and signal_analysis.onsets(silence, RATE) == []
        and signal_analysis.partials(silence, RATE) == []
    )
    facts = {"pitch_hz": 440.0, "rate_hz": 2.0, "count": 1}
    assert not any(
        q.right(silence, RATE, kind, facts) for q in QUESTIONS.values() for kind in q.kinds
    )


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_onsets_are_counted_and_placed(count):
    times = 0.3 + 0.4 * np.arange(count)
    found = signal_analysis.onsets(clicks(times), RATE)
    assert len(found) == count
    assert np.abs(np.array(found) - times).max() < 0.03


def test_a_beating_tone_begins_once():
    beating = np.sin(2 * np.pi * 600 * T) * (1 + 0.9 * np.sin(2 * np.pi * 20 * T)) * (T > 0.5)
    assert len(signal_analysis.onsets(beating, RATE)) == 1


def bell(wobble):
    out = np.zeros(len(T))
    for ratio, gain in ((1.0, 1.0), (1.5, 0.5), (2.4, 0.4)):
        hertz = 400 * ratio * (1 + wobble * np.sin(2 * np.pi * 3 * T))
        out += gain * np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * 0.5 ** (T / 0.6)
    return out * (T > 0.01)


def test_partials_are_found_with_their_drift_and_their_fall():
    found = signal_analysis.partials(bell(0.0), RATE)
    assert sorted(hz for hz, *_ in found) == pytest.approx([400, 600, 960], rel=0.01)
    assert max(drift for _, drift, _ in found) < 0.001
    assert min(fall for *_, fall in found) > 10
    assert max(drift for _, drift, _ in signal_analysis.partials(bell(0.02), RATE)) > 0.01


def test_noise_is_no_bell():
    assert not QUESTIONS["bell"].right(DICE.standard_normal(len(T)), RATE, "bell", {})


def test_order_is_heard_and_reversing_the_sound_reverses_it():
    hiss = DICE.standard_normal(2 * RATE)
    hum = np.sin(2 * np.pi * 200 * T[: 2 * RATE])
    templates = signal_analysis.template([hiss], RATE), signal_analysis.template([hum], RATE)
    both = np.concatenate([hiss, hum])
    assert signal_analysis.comes_first(both, RATE, *templates)
    assert not signal_analysis.comes_first(both[::-1], RATE, *templates)
    assert not signal_analysis.comes_first(np.concatenate([hiss, hiss]), RATE, *templates)


@pytest.mark.parametrize("name", list(QUESTIONS))
def test_the_analyser_agrees_with_the_renderer_and_noise_does_not(name):
    question = QUESTIONS[name]
    asked = list(spelling_out(question, 24 if name != "bell" else 8, 3, 4.0))
    assert {kind for a in asked for kind in a.kinds} <= set(question.kinds)
    assert np.mean([question.right(a.truth, RATE, a.kinds[0], a.facts) for a in asked]) >= 0.9
    noise = DICE.standard_normal(4 * RATE)
    assert np.mean([question.right(noise, RATE, a.kinds[0], a.facts) for a in asked]) <= 0.3


def test_prompts_are_held_out_and_the_same_every_time():
    from procedural_audio.captions.grammar import belongs

    first, again = (list(of_every_kind(6, 5, 1.28)) for _ in range(2))
    assert [a.prompt for a in first] == [a.prompt for a in again]
    assert all(np.array_equal(a.truth, b.truth) for a, b in zip(first, again, strict=True))
    assert {belongs(a.prompt) for a in first} == {"test"}
    assert len({a.kinds for a in first}) == 6


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        (
            "pitch",
            ["at 440 Hz", "a bell tuned to A4", "a bell on the note C#5", "on Eb3"],
            ["a high bell", "on the hour"],
        ),
        (
            "count",
            ["it barks twice", "3 times", "one time", "fires once over it"],
            ["three times per second", "once every 2 seconds"],
        ),
        (
            "rate",
            ["three times per second", "once a second", "every 2.5 seconds", "at 90 bpm"],
            ["three times", "slowly"],
        ),
    ],
)
def test_the_words_that_spell_out_a_fact_are_recognised(name, yes, no):
    spelled = QUESTIONS[name].spelled
    assert all(spelled.search(text) for text in yes)
    assert not any(spelled.search(text) for text in no)
