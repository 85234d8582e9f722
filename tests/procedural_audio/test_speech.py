"""Speech checked by ear: librosa's tracker tells men from women; sentences repeat whatever was said before them."""

import sys

import librosa
import numpy as np
import pytest

from procedural_audio.captions.sentences import SENTENCES
from procedural_audio.sources import speech
from procedural_audio.sources.speech import KINDS, Speaker, synthesize
from procedural_audio.synth import Stage

RATE = 16000
SENTENCE = "The train to the city leaves at nine."
needs_espeak = pytest.mark.skipif(not speech.is_available(), reason="espeak-ng is not installed")


def voice_hz(x):
    """Median pitch of the loud half of the frames."""
    track = librosa.yin(x, fmin=60, fmax=420, sr=RATE, frame_length=1024)
    level = librosa.feature.rms(y=x, frame_length=1024, hop_length=256)[0][: len(track)]
    return float(np.median(track[level > 0.3 * level.max()]))


def test_it_is_left_out_where_the_synthesiser_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    assert not speech.is_available()


def test_there_are_many_different_sentences():
    assert len(set(SENTENCES)) == len(SENTENCES) >= 80


@needs_espeak
def test_the_same_words_sound_the_same_whatever_was_said_before():
    speaker = Speaker("en-us+f2", 160, 50, 50)
    first = synthesize(SENTENCE, speaker, RATE)
    for k in range(3):
        synthesize(SENTENCES[k], Speaker("en-gb-scotland+m3", 250, 60, 20 + k), RATE)
        np.testing.assert_array_equal(first, synthesize(SENTENCE, speaker, RATE))


@needs_espeak
def test_a_faster_speaker_takes_less_time_and_a_higher_one_is_higher():
    plain = synthesize(SENTENCE, Speaker("en-us+m3", 160, 40, 50), RATE)
    fast = synthesize(SENTENCE, Speaker("en-us+m3", 240, 40, 50), RATE)
    high = synthesize(SENTENCE, Speaker("en-us+m3", 160, 70, 50), RATE)
    assert len(plain) / len(fast) == pytest.approx(1.5, rel=0.15)
    assert voice_hz(high) > 1.2 * voice_hz(plain)


@needs_espeak
def test_every_rate_hears_the_same_sentence():
    low, high = (
        synthesize(SENTENCE, Speaker("en-gb-x-rp+f1", 150, 50, 50), rate) for rate in (RATE, 48000)
    )
    folded = librosa.resample(high, orig_sr=48000, target_sr=RATE)[: len(low)]
    assert np.corrcoef(low[: len(folded)], folded)[0, 1] > 0.99


@needs_espeak
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("seconds", [0.6, 2.0, 10.24])
def test_a_take_is_whole_soon_heard_and_the_same_again(kind, seconds):
    for seed in range(3):
        first, again = (
            kind.play(Stage(np.random.default_rng(seed), RATE, seconds)) for _ in range(2)
        )
        x = first.samples
        assert x.shape == (round(seconds * RATE),) and np.isfinite(x).all()
        np.testing.assert_array_equal(x, again.samples)
        assert np.flatnonzero(np.abs(x) > 0.02)[0] / RATE <= 0.6
        assert np.flatnonzero(np.abs(x) > 0.02)[-1] / RATE >= 0.35


@needs_espeak
def test_men_are_lower_than_women_and_words_for_a_voice_are_true():
    pitches = {"male speech": [], "female speech": []}
    named = {kind.name: kind for kind in KINDS}
    for name, heard in pitches.items():
        for seed in range(12):
            take = named[name].render(Stage(np.random.default_rng(seed), RATE, 3.0))
            hertz = voice_hz(take.samples)
            heard.append(hertz)
            low, high = (100, 105) if name == "male speech" else (205, 225)
            assert hertz < low or "in a deep voice" not in take.annotations["manner"]
            assert hertz > high or "in a high voice" not in take.annotations["manner"]
    assert max(pitches["male speech"]) < min(pitches["female speech"])
