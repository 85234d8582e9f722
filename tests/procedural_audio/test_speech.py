"""Speech, measured from samples: pitches of men and women, and independence of sentences."""

import sys

import librosa
import numpy as np
import pytest

from procedural_audio.captions.sentences import SENTENCES
from procedural_audio.sources import speech
from procedural_audio.sources.speech import CLASSES, Speaker, synthesize
from procedural_audio.synth import RenderContext

RATE = 16000
SENTENCE = "The train to the city leaves at nine."
needs_espeak = pytest.mark.skipif(not speech.is_available(), reason="espeak-ng is not installed")


def render(sound_class, seed, duration):
    return sound_class.render(RenderContext(np.random.default_rng(seed), RATE, duration))


def median_pitch(x):
    """Median pitch in Hz of the loud frames."""
    track = librosa.yin(x, fmin=60, fmax=420, sr=RATE, frame_length=1024)
    level = librosa.feature.rms(y=x, frame_length=1024, hop_length=256)[0][: len(track)]
    return float(np.median(track[level > 0.3 * level.max()]))


def test_speech_is_unavailable_without_the_synthesizer(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    assert not speech.is_available()


def test_there_are_many_different_sentences():
    assert len(set(SENTENCES)) == len(SENTENCES) >= 80


@needs_espeak
def test_a_sentence_does_not_depend_on_those_before_it():
    speaker = Speaker("en-us+f2", 160, 50, 50)
    first = synthesize(SENTENCE, speaker, RATE)
    for k in range(3):
        synthesize(SENTENCES[k], Speaker("en-gb-scotland+m3", 250, 60, 20 + k), RATE)
        np.testing.assert_array_equal(first, synthesize(SENTENCE, speaker, RATE))


@needs_espeak
def test_speed_shortens_a_sentence_and_pitch_raises_it():
    plain = synthesize(SENTENCE, Speaker("en-us+m3", 160, 40, 50), RATE)
    fast = synthesize(SENTENCE, Speaker("en-us+m3", 240, 40, 50), RATE)
    high = synthesize(SENTENCE, Speaker("en-us+m3", 160, 70, 50), RATE)
    assert len(plain) / len(fast) == pytest.approx(1.5, rel=0.15)
    assert median_pitch(high) > 1.2 * median_pitch(plain)


@needs_espeak
def test_a_sentence_is_the_same_at_every_sample_rate():
    speaker = Speaker("en-gb-x-rp+f1", 150, 50, 50)
    low = synthesize(SENTENCE, speaker, RATE)
    high = synthesize(SENTENCE, speaker, 48000)
    resampled = librosa.resample(high, orig_sr=48000, target_sr=RATE)[: len(low)]
    assert np.corrcoef(low[: len(resampled)], resampled)[0, 1] > 0.99


@needs_espeak
@pytest.mark.parametrize("sound_class", CLASSES, ids=lambda each: each.name)
@pytest.mark.parametrize("duration", [0.6, 2.0, 10.24])
def test_takes_start_soon_and_equal_seeds_give_equal_takes(sound_class, duration):
    for seed in range(3):
        x = render(sound_class, seed, duration).samples
        assert x.shape == (round(duration * RATE),) and np.isfinite(x).all()
        np.testing.assert_array_equal(x, render(sound_class, seed, duration).samples)
        audible = np.flatnonzero(np.abs(x) > 0.02)
        assert audible[0] / RATE <= 0.6
        assert audible[-1] / RATE >= 0.35


@needs_espeak
def test_men_are_lower_than_women_and_annotated_registers_are_true():
    pitches = {"male speech": [], "female speech": []}
    by_name = {each.name: each for each in CLASSES}
    for name, class_pitches in pitches.items():
        for seed in range(12):
            take = render(by_name[name], seed, 3.0)
            pitch = median_pitch(take.samples)
            class_pitches.append(pitch)
            low, high = (100, 105) if name == "male speech" else (205, 225)
            assert pitch < low or "in a deep voice" not in take.annotations["manner"]
            assert pitch > high or "in a high voice" not in take.annotations["manner"]
    assert max(pitches["male speech"]) < min(pitches["female speech"])
