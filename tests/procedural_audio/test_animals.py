"""Animals, measured from samples: pitch by a tracker, calls counted, rates from their gaps."""

import time

import librosa
import numpy as np
import pytest

from procedural_audio.sources import animals, birds_insects
from procedural_audio.synth import RenderContext

RATE = 16000
CLASSES = animals.CLASSES + birds_insects.CLASSES
BY_NAME = {each.name: each for each in CLASSES}
COUNTED = ("dog", "cat", "cow", "sheep", "wolf", "duck", "rooster", "crow", "owl")

every_class = pytest.mark.parametrize("sound_class", CLASSES, ids=lambda each: each.name)


def render(name, seed, duration=5.12, sample_rate=RATE):
    ctx = RenderContext(np.random.default_rng([5, seed]), sample_rate, duration)
    return BY_NAME[name].render(ctx)


def render_class(sound_class, seed, duration, sample_rate=RATE):
    return sound_class.render(RenderContext(np.random.default_rng(seed), sample_rate, duration))


def sound_starts(x, sample_rate=RATE, floor=0.03, silence=0.03):
    """Start of every sound that follows at least `silence` seconds below `floor` of the peak."""
    loud = np.flatnonzero(np.abs(x) > floor * np.abs(x).max())
    starts = np.r_[0, np.flatnonzero(np.diff(loud) > silence * sample_rate) + 1]
    return loud[starts] / sample_rate


@every_class
@pytest.mark.parametrize("duration", [0.6, 2.0, 10.24])
def test_takes_start_soon_and_equal_seeds_give_equal_takes(sound_class, duration):
    for seed in range(4):
        x = render_class(sound_class, seed, duration).samples
        assert x.shape == (round(duration * RATE),) and np.isfinite(x).all()
        np.testing.assert_array_equal(x, render_class(sound_class, seed, duration).samples)
        start = sound_starts(x)[0]
        assert start <= 0.35
        assert start <= max(0.15 * duration, 0.07) + 0.05 or duration > 2


@pytest.mark.parametrize("name", COUNTED)
def test_calls_have_the_annotated_count_and_onsets(name):
    for seed in range(12):
        take = render(name, seed)
        # A moo swells from a closed mouth, others start at once.
        silence, tolerance = (0.2, 0.3) if name == "cow" else (0.03, 0.05)
        starts = sound_starts(take.samples, silence=silence)
        assert len(starts) == take.annotations["count"]
        np.testing.assert_allclose(starts, take.annotations["onsets"], atol=tolerance)


@pytest.mark.parametrize("name", ["frog", "cricket"])
def test_steady_calls_have_the_annotated_rate(name):
    for seed in range(8):
        take = render(name, seed)
        starts = sound_starts(take.samples, silence=0.03)
        assert len(starts) == len(take.annotations["onsets"])
        assert take.annotations.get("count", len(starts)) == len(starts)
        assert np.diff(starts) == pytest.approx(1 / take.annotations["rate_hz"], rel=0.02)


def test_a_gallop_repeats_at_its_stride():
    for seed in range(6):
        take = render("horse", seed)
        level = np.abs(take.samples[: len(take.samples) // 80 * 80]).reshape(-1, 80).mean(1)
        level -= level.mean()
        autocorrelation = np.correlate(level, level, "full")[len(level) - 1 :]
        stride = round(200 / take.annotations["rate_hz"])
        window = autocorrelation[round(0.75 * stride) : round(1.25 * stride)]
        assert abs(window.argmax() + round(0.75 * stride) - stride) <= 2


@pytest.mark.parametrize("name", ["owl", "wolf", "bee"])
def test_a_pitch_tracker_finds_the_annotated_pitch(name):
    annotated = []
    for seed in range(8):
        take = render(name, seed)
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
        # The wings of a bee are unsteady: their pitch is the median of the flight.
        loudest, tolerance = (0.1, 0.4) if name == "bee" else (0.6, 0.25)
        pitch = np.median(track[level > loudest * level.max()])
        assert abs(12 * np.log2(pitch / take.annotations["pitch_hz"])) < tolerance
        annotated.append(take.annotations["pitch_hz"])
    assert max(annotated) / min(annotated) > 1.6


@pytest.mark.parametrize(
    "name", ["dog", "cat", "cow", "sheep", "duck", "rooster", "crow", "frog", "bird"]
)
def test_large_animals_sound_darker_than_small_ones(name):
    brightness = {"large": [], "small": []}
    for seed in range(60):
        take = render(name, seed, 2.0)
        qualities = take.annotations.get("qualities", ())
        words = {"small" if word == "young" else word for word in qualities}
        for word in brightness.keys() & words:
            power = np.abs(np.fft.rfft(take.samples)) ** 2
            brightness[word].append(float(np.cumsum(power).searchsorted(power.sum() / 2)))
    assert len(brightness["large"]) >= 5 and len(brightness["small"]) >= 5
    assert np.median(brightness["small"]) > 1.08 * np.median(brightness["large"])


def log_mel(x):
    mel = librosa.feature.melspectrogram(
        y=x / np.abs(x).max(), sr=RATE, n_fft=1024, hop_length=512, n_mels=32, fmax=7000
    )
    return np.log(mel + 1e-4).ravel()


@every_class
def test_one_seed_sounds_the_same_at_16_and_48_khz(sound_class):
    for seed in range(3):
        low = render_class(sound_class, seed, 2.0, 16000)
        high = render_class(sound_class, seed, 2.0, 48000)
        assert low.annotations == high.annotations
        resampled = librosa.resample(
            high.samples, orig_sr=48000, target_sr=RATE, res_type="soxr_hq"
        )
        assert np.corrcoef(log_mel(low.samples), log_mel(resampled))[0, 1] > 0.95


@every_class
def test_rendering_is_fifty_times_faster_than_real_time(sound_class):
    cpu_s = []
    for seed in range(3):
        start = time.process_time()
        render_class(sound_class, seed, 5.12)
        cpu_s.append(time.process_time() - start)
    assert min(cpu_s) < 5.12 / 50
