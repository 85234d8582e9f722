"""What every impact, machine and signal promises: it sounds soon, fits, repeats itself, is one at every rate, and is quick."""

import time

import librosa
import numpy as np
import pytest
import soxr
from measures import RATE

from procedural_audio.sources import alarms_signals, impacts, machines
from procedural_audio.synth import Stage

KINDS = impacts.KINDS + machines.KINDS + alarms_signals.KINDS
PITCHED = (
    "bell",
    "glass",
    "drill",
    "vacuum",
    "fan",
    "propeller",
    "alarm",
    "horn",
    "foghorn",
    "whistle",
    "tone",
)
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def take(kind, seed, seconds, rate=RATE):
    return kind.play(Stage(np.random.default_rng(seed), rate, seconds))


@by_kind
@pytest.mark.parametrize("seconds", [0.6, 2.0, 10.24])
def test_every_clip_sounds_soon_holds_its_events_and_repeats_itself(kind, seconds):
    for seed in range(3 if seconds < 10 else 1):
        played, again = take(kind, seed, seconds), take(kind, seed, seconds)
        x, facts = played.samples, played.facts
        assert x.shape == (round(seconds * RATE),) and np.isfinite(x).all()
        np.testing.assert_array_equal(x, again.samples)
        assert np.argmax(np.abs(x) > 0.05 * np.abs(x).max()) / RATE <= 0.35
        if "count" in facts:
            times = np.array(facts["onsets"])
            assert len(times) == facts["count"] and times[0] >= 0.0 and times[-1] < seconds - 0.04
            assert (np.diff(times) >= 0.18).all()
        assert all(
            0 < facts[name] < 7600 for name in ("pitch_hz", "rate_hz", "bpm") if name in facts
        )


def octaves(takes, rate):
    """Power in dB of eight bands up to 7 kHz over several takes, the strongest 0 and none below -40."""
    power = 0.0
    for played in takes:
        x = soxr.resample(played.samples, rate, RATE, quality="VHQ") / np.abs(played.samples).max()
        power += librosa.feature.melspectrogram(y=x, sr=RATE, n_fft=1024, n_mels=8, fmax=7000).sum(
            axis=1
        )
    return np.maximum(10 * np.log10(power / power.max()), -40)


@by_kind
def test_a_seed_is_one_performance_at_every_rate(kind):
    low, high = ([take(kind, seed, 1.5, rate) for seed in range(4)] for rate in (RATE, 48000))
    assert [played.facts for played in low] == [played.facts for played in high]
    assert np.abs(octaves(low, RATE) - octaves(high, 48000)).mean() < 2.5


@by_kind
def test_words_are_plain_and_combine(kind):
    assert 3 <= len(kind.nouns) <= 6 and 3 <= len(kind.actions) <= 6
    assert all(word == word.lower() and word == word.strip() for word in kind.nouns + kind.actions)
    assert all(any(part.endswith("ing") for part in action.split()) for action in kind.actions)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.name in PITCHED], ids=lambda kind: kind.name
)
def test_pitched_kinds_cover_well_over_an_octave(kind):
    pitches = [
        f["pitch_hz"]
        for f in (take(kind, seed, 0.7).facts for seed in range(40))
        if "pitch_hz" in f
    ]
    assert max(pitches) / min(pitches) > 2.3


@by_kind
def test_rendering_is_fifty_times_faster_than_listening(kind):
    spent = []
    for seed in range(3):
        began = time.process_time()
        take(kind, seed, 5.12)
        spent.append(time.process_time() - began)
    assert min(spent) < 5.12 / 50
