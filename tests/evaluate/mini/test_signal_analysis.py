"""Signal analysis against signals with closed forms, and against the renderer's annotations."""

import numpy as np
import pytest

from latentaudio.evaluate.mini import signal_analysis
from latentaudio.evaluate.mini.attributes import ATTRIBUTE_CHECKS
from latentaudio.evaluate.mini.prompts import RATE, attribute_prompts, class_prompts

RNG = np.random.default_rng(0)
T = np.arange(3 * RATE) / RATE


def semitones(measured_hz, true_hz):
    return abs(12 * np.log2(measured_hz / true_hz))


def clicks(times, duration=4.0):
    """Short bursts of noise at known times over faint noise."""
    out = 0.001 * RNG.standard_normal(round(duration * RATE))
    for time in times:
        start = round(time * RATE)
        out[start : start + 800] += RNG.standard_normal(800) * np.exp(-np.arange(800) / 150)
    return out


def harmonics(hertz, first):
    """A harmonic sound from partial `first` to 6."""
    return sum(np.sin(2 * np.pi * k * hertz * T) / k for k in range(first, 7))


@pytest.mark.parametrize("hertz", [55.0, 123.4, 440.0, 987.7])
@pytest.mark.parametrize("first", [1, 2])
def test_the_fundamental_is_found_even_if_it_is_missing(hertz, first):
    measured = signal_analysis.fundamental(harmonics(hertz, first), RATE)
    assert semitones(measured, hertz) < 0.1


@pytest.mark.parametrize("hertz", [163.0, 1234.5, 4111.0])
def test_the_strongest_partial_is_found_between_the_bins(hertz):
    strongest = np.sin(2 * np.pi * hertz * T)
    weaker = 0.5 * np.sin(2 * np.pi * 0.5 * hertz * T)
    clip = strongest + weaker + 0.1 * RNG.standard_normal(len(T))
    assert signal_analysis.strongest_partial(clip, RATE) == pytest.approx(hertz, rel=5e-4)


@pytest.mark.parametrize("rate_hz", [0.7, 1.9, 4.4, 12.0])
def test_the_period_of_clicks_is_their_distance_and_no_multiple_of_it(rate_hz):
    period = signal_analysis.period(clicks(np.arange(0.1, 3.9, 1 / rate_hz)), RATE)
    assert 1 / period == pytest.approx(rate_hz, rel=0.02)


def test_a_gliding_sound_without_onsets_has_a_period():
    hertz = 700 * 2 ** (0.5 * np.sin(2 * np.pi * 1.3 * T))
    siren = np.sin(2 * np.pi * np.cumsum(hertz) / RATE)
    period = signal_analysis.period(siren, RATE, use_onsets=False)
    assert 1 / period == pytest.approx(1.3, rel=0.05)


def test_silence_satisfies_no_check():
    silence = np.zeros(4 * RATE, np.float32)
    assert np.isnan(signal_analysis.period(silence, RATE))
    assert signal_analysis.onsets(silence, RATE) == []
    assert signal_analysis.partials(silence, RATE) == []
    annotations = {"pitch_hz": 440.0, "rate_hz": 2.0, "count": 1}
    for check in ATTRIBUTE_CHECKS.values():
        for name in check.class_names:
            assert not check.is_satisfied(silence, RATE, name, annotations)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_onsets_are_counted_and_located(count):
    times = 0.3 + 0.4 * np.arange(count)
    onsets = signal_analysis.onsets(clicks(times), RATE)
    assert len(onsets) == count
    assert np.abs(np.array(onsets) - times).max() < 0.03


def test_a_beating_tone_has_one_onset():
    beating = np.sin(2 * np.pi * 600 * T) * (1 + 0.9 * np.sin(2 * np.pi * 20 * T)) * (T > 0.5)
    assert len(signal_analysis.onsets(beating, RATE)) == 1


def bell(wobble):
    out = np.zeros(len(T))
    for ratio, gain in ((1.0, 1.0), (1.5, 0.5), (2.4, 0.4)):
        hertz = 400 * ratio * (1 + wobble * np.sin(2 * np.pi * 3 * T))
        out += gain * np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * 0.5 ** (T / 0.6)
    return out * (T > 0.01)


def test_partials_are_found_with_their_drift_and_their_decay():
    partials = signal_analysis.partials(bell(0.0), RATE)
    frequencies = sorted(partial.frequency_hz for partial in partials)
    assert frequencies == pytest.approx([400, 600, 960], rel=0.01)
    assert max(partial.drift for partial in partials) < 0.001
    assert min(partial.decay_db for partial in partials) > 10
    wobbling = signal_analysis.partials(bell(0.02), RATE)
    assert max(partial.drift for partial in wobbling) > 0.01


def test_noise_is_not_a_stable_bell():
    noise = RNG.standard_normal(len(T))
    assert not ATTRIBUTE_CHECKS["bell"].is_satisfied(noise, RATE, "bell", {})


def test_the_order_of_two_sounds_is_found_and_reverses_with_the_clip():
    noise = RNG.standard_normal(2 * RATE)
    hum = np.sin(2 * np.pi * 200 * T[: 2 * RATE])
    of_noise = signal_analysis.fit_template([noise], RATE)
    of_hum = signal_analysis.fit_template([hum], RATE)
    both = np.concatenate([noise, hum])
    assert signal_analysis.comes_first(both, RATE, of_noise, of_hum)
    assert not signal_analysis.comes_first(both[::-1], RATE, of_noise, of_hum)
    assert not signal_analysis.comes_first(np.concatenate([noise, noise]), RATE, of_noise, of_hum)


@pytest.mark.parametrize("name", list(ATTRIBUTE_CHECKS))
def test_checks_agree_with_the_renderer_and_not_with_noise(name):
    check = ATTRIBUTE_CHECKS[name]
    prompts = list(attribute_prompts(check, 24 if name != "bell" else 8, 3, 4.0))
    noise = RNG.standard_normal(4 * RATE)
    on_truth = []
    on_noise = []
    for prompt in prompts:
        [class_name] = prompt.class_names
        assert class_name in check.class_names
        arguments = (RATE, class_name, prompt.annotations)
        on_truth.append(check.is_satisfied(prompt.ground_truth, *arguments))
        on_noise.append(check.is_satisfied(noise, *arguments))
    assert np.mean(on_truth) >= 0.9
    assert np.mean(on_noise) <= 0.3


def test_prompts_are_held_out_and_reproducible():
    from procedural_audio.captions.grammar import split_of

    first = list(class_prompts(6, 5, 1.28))
    second = list(class_prompts(6, 5, 1.28))
    assert [prompt.prompt for prompt in first] == [prompt.prompt for prompt in second]
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.ground_truth, b.ground_truth)
    assert {split_of(prompt.prompt) for prompt in first} == {"test"}
    assert len({prompt.class_names for prompt in first}) == 6


STATED = [
    ("pitch", "at 440 Hz", True), ("pitch", "a bell tuned to A4", True),
    ("pitch", "a bell on the note C#5", True), ("pitch", "on Eb3", True),
    ("pitch", "a high bell", False), ("pitch", "on the hour", False),
    ("count", "it barks twice", True), ("count", "3 times", True), ("count", "one time", True),
    ("count", "fires once over it", True),
    ("count", "three times per second", False), ("count", "once every 2 seconds", False),
    ("rate", "three times per second", True), ("rate", "once a second", True),
    ("rate", "every 2.5 seconds", True), ("rate", "at 90 bpm", True),
    ("rate", "three times", False), ("rate", "slowly", False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "is_stated"), STATED)
def test_words_that_state_an_attribute_are_recognized(name, text, is_stated):
    assert bool(ATTRIBUTE_CHECKS[name].pattern.search(text)) is is_stated
