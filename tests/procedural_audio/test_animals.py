"""Animals checked by ear: pitch by librosa's tracker, calls counted from the sound itself, rates from the gaps between them."""

import time

import librosa
import numpy as np
import pytest

from procedural_audio.sources.animals import KINDS
from procedural_audio.synth import Stage

RATE = 16000
NAMED = {kind.name: kind for kind in KINDS}
COUNTED = ("dog", "cat", "cow", "sheep", "wolf", "duck", "rooster", "crow", "owl")


def play(name, seed, seconds=5.12, rate=RATE):
    return NAMED[name].render(Stage(np.random.default_rng([5, seed]), rate, seconds))


def heard(x, rate=RATE, floor=0.004, silence=0.03):
    """Start of every stretch of sound that follows at least `silence` seconds below `floor` of the peak."""
    loud = np.flatnonzero(np.abs(x) > floor * np.abs(x).max())
    starts = np.r_[0, np.flatnonzero(np.diff(loud) > silence * rate) + 1]
    return loud[starts] / rate


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("seconds", [0.6, 2.0, 10.24])
def test_every_clip_sounds_soon_and_repeats_itself_from_its_seed(kind, seconds):
    for seed in range(4):
        takes = [kind.play(Stage(np.random.default_rng(seed), RATE, seconds)) for _ in range(2)]
        x = takes[0].samples
        assert x.shape == (round(seconds * RATE),) and np.isfinite(x).all()
        np.testing.assert_array_equal(x, takes[1].samples)
        assert heard(x)[0] <= 0.35
        assert heard(x)[0] <= max(0.15 * seconds, 0.07) + 0.05 or seconds > 2


@pytest.mark.parametrize("name", COUNTED)
def test_calls_are_as_many_as_claimed_and_begin_where_claimed(name):
    for seed in range(12):
        take = play(name, seed)
        starts = heard(take.samples)
        assert len(starts) == take.annotations["count"]
        np.testing.assert_allclose(starts, take.annotations["onsets"], atol=0.05)


@pytest.mark.parametrize("name", ["frog", "cricket"])
def test_steady_calls_keep_the_claimed_rate(name):
    for seed in range(8):
        take = play(name, seed)
        starts = heard(take.samples, silence=0.03)
        assert len(starts) == len(take.annotations["onsets"])
        assert take.annotations.get("count", len(starts)) == len(starts)
        assert np.diff(starts) == pytest.approx(1 / take.annotations["rate_hz"], rel=0.02)


def test_a_gallop_repeats_at_its_stride():
    for seed in range(6):
        take = play("horse", seed)
        level = np.abs(take.samples[: len(take.samples) // 80 * 80]).reshape(-1, 80).mean(1)
        level -= level.mean()
        echo = np.correlate(level, level, "full")[len(level) - 1 :]
        stride = round(200 / take.annotations["rate_hz"])
        window = echo[round(0.75 * stride) : round(1.25 * stride)]
        assert abs(window.argmax() + round(0.75 * stride) - stride) <= 2


@pytest.mark.parametrize("name", ["owl", "wolf", "bee"])
def test_pitch_is_what_a_tracker_finds(name):
    claimed = []
    for seed in range(8):
        take = play(name, seed)
        track = librosa.yin(
            take.samples,
            fmin=80,
            fmax=1000,
            sr=RATE,
            frame_length=2048,
            hop_length=256,
            trough_threshold=0.2,
        )
        level = librosa.feature.rms(y=take.samples, frame_length=2048, hop_length=256)[0]
        found = np.median(track[level > 0.6 * level.max()])
        assert abs(12 * np.log2(found / take.annotations["pitch_hz"])) < 0.25
        claimed.append(take.annotations["pitch_hz"])
    assert max(claimed) / min(claimed) > 1.6


@pytest.mark.parametrize(
    "name", ["dog", "cat", "cow", "sheep", "duck", "rooster", "crow", "frog", "bird"]
)
def test_large_animals_sound_darker_than_small_ones(name):
    brightness = {"large": [], "small": []}
    for seed in range(60):
        take = play(name, seed, 2.0)
        words = {
            "small" if word == "young" else word for word in take.annotations.get("qualities", ())
        }
        for word in brightness.keys() & words:
            power = np.abs(np.fft.rfft(take.samples)) ** 2
            brightness[word].append(float(np.cumsum(power).searchsorted(power.sum() / 2)))
    assert len(brightness["large"]) >= 5 and len(brightness["small"]) >= 5
    assert np.median(brightness["small"]) > 1.08 * np.median(brightness["large"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_one_seed_is_one_performance_at_both_rates(kind):
    for seed in range(3):
        low, high = (
            kind.play(Stage(np.random.default_rng(seed), rate, 2.0)) for rate in (16000, 48000)
        )
        assert low.facts == high.facts
        resampled = librosa.resample(
            high.samples, orig_sr=48000, target_sr=RATE, res_type="soxr_hq"
        )
        mels = []
        for x in (low.samples, resampled):
            mel = librosa.feature.melspectrogram(
                y=x / np.abs(x).max(), sr=RATE, n_fft=1024, hop_length=512, n_mels=32, fmax=7000
            )
            mels.append(np.log(mel + 1e-4).ravel())
        assert np.corrcoef(mels)[0, 1] > 0.95


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_fifty_times_faster_than_it_sounds(kind):
    spent = []
    for seed in range(3):
        start = time.process_time()
        kind.play(Stage(np.random.default_rng(seed), RATE, 5.12))
        spent.append(time.process_time() - start)
    assert min(spent) < 5.12 / 50
