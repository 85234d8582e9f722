"""Weather and water, measured from samples: brightness, kurtosis, swell, decay, rates."""

import time

import librosa
import numpy as np
import pytest
from measures import centroid
from scipy.stats import kurtosis

from procedural_audio.sources import animals, birds_insects
from procedural_audio.sources.nature import CLASSES
from procedural_audio.synth import RenderContext

RATE = 16000
BY_NAME = {each.name: each for each in CLASSES}

every_class = pytest.mark.parametrize("sound_class", CLASSES, ids=lambda each: each.name)


def render(name, seed, duration=5.12):
    return BY_NAME[name].render(RenderContext(np.random.default_rng([6, seed]), RATE, duration))


def render_class(sound_class, seed, duration, sample_rate=RATE):
    return sound_class.render(RenderContext(np.random.default_rng(seed), sample_rate, duration))


def log_mel(x, bands=64):
    x = 0.1 * x / np.sqrt(np.mean(x**2))
    mel = librosa.feature.melspectrogram(
        y=x, sr=RATE, n_fft=1024, hop_length=256, n_mels=bands, power=1.0
    )
    return np.log(mel + 1e-3)


def medians_by_word(name, words, measure, num_seeds=24, key="qualities"):
    """Median of a measure over the takes that are annotated with each word."""
    takes = [render(name, seed, 3.0) for seed in range(num_seeds)]
    medians = []
    for word in words:
        group = [measure(t.samples) for t in takes if word in t.annotations.get(key, ())]
        assert len(group) >= 3
        medians.append(float(np.median(group)))
    return medians


@every_class
@pytest.mark.parametrize("duration", [0.6, 2.0, 10.24])
def test_takes_start_soon_and_equal_seeds_give_equal_takes(sound_class, duration):
    for seed in range(3):
        x = render_class(sound_class, seed, duration).samples
        assert x.shape == (round(duration * RATE),) and np.isfinite(x).all()
        np.testing.assert_array_equal(x, render_class(sound_class, seed, duration).samples)
        assert np.flatnonzero(np.abs(x) > 0.01 * np.abs(x).max())[0] <= 0.6 * RATE


@every_class
def test_one_seed_has_the_same_spectrum_at_16_and_48_khz(sound_class):
    for seed in range(3):
        low = render_class(sound_class, seed, 4.0, 16000)
        high = render_class(sound_class, seed, 4.0, 48000)
        assert low.annotations == high.annotations
        resampled = librosa.resample(
            high.samples, orig_sr=48000, target_sr=RATE, res_type="soxr_hq"
        )
        mels = [log_mel(x, 24)[2:-2].mean(1) for x in (low.samples, resampled)]
        assert np.abs(mels[0] - mels[1]).mean() < 0.25  # nepers: 2 dB


def test_drops_have_the_annotated_onsets_and_rate():
    for seed in range(10):
        take = render("drip", seed)
        onsets = np.array(take.annotations["onsets"])
        level = np.abs(take.samples)
        for onset in onsets:  # silence, then a drop
            start = round(onset * RATE)
            assert level[start : start + 320].max() > 0.3 * level.max()
            assert level[max(0, start - 80) : start].max(initial=0) < 0.1 * level.max()
        period = 1 / take.annotations["rate_hz"]
        assert np.diff(onsets) == pytest.approx(period)
        assert onsets[-1] + period > 5.12 - 0.5


def test_single_drops_stand_out_in_light_rain():
    heavy, light = medians_by_word("rain", ("heavy", "light"), kurtosis)
    assert light > 2 * heavy


def test_strong_wind_is_brighter_than_gentle_wind():
    strong, gentle = medians_by_word("wind", ("strong", "gentle"), centroid)
    assert strong > 1.1 * gentle


def test_wind_with_a_whistle_has_a_line_in_its_spectrum():
    def line_strength(x):
        frames = np.abs(librosa.stft(x, n_fft=2048))[40:200]
        return float(np.median(frames.max(0) / np.median(frames, 0)))

    with_whistle = []
    without_whistle = []
    for seed in range(16):
        take = render("wind", seed)
        group = with_whistle if take.annotations["manner"] else without_whistle
        group.append(line_strength(take.samples))
    assert len(with_whistle) >= 3
    assert min(with_whistle) > np.median(without_whistle)


def test_waves_swell_and_their_spray_lags_their_body():
    for seed in range(6):
        mel = np.exp(log_mel(render("sea", seed, 10.24).samples))
        window = np.hanning(16) / 8
        body = np.convolve(mel[4:16].mean(0), window, "valid")
        spray = np.convolve(mel[48:64].mean(0), window, "valid")
        assert spray.max() > 3 * spray.min()
        correlations = [np.corrcoef(body[: -lag or None], spray[lag:])[0, 1] for lag in range(40)]
        assert np.argmax(correlations) > 3


def test_thunder_starts_loud_and_sharp_thunder_starts_bright():
    # The rumble rolls, so that a single clip may swell at its end. Rain may go on after it.
    fall = []
    bright_fall = []
    for seed in range(16):
        take = render("thunder", seed)
        third = len(take.samples) // 3
        fall.append(np.mean(take.samples[:third] ** 2) / np.mean(take.samples[-third:] ** 2))
        assert centroid(take.samples[-third:]) < 1600
        if "sharp" in take.annotations["qualities"]:
            bright = np.diff(take.samples)
            bright_fall.append(np.mean(bright[:third] ** 2) / np.mean(bright[-third:] ** 2))
    assert min(fall) > 0.5 and np.median(fall) > 8
    assert len(bright_fall) > 2 and min(bright_fall) > 5


def test_fire_has_peaks_and_wind_has_none():
    # A large fire roars over its crackle.
    assert np.median([kurtosis(render("fire", seed).samples) for seed in range(8)]) > 30
    assert min(kurtosis(render("fire", seed).samples) for seed in range(8)) > 3
    assert max(kurtosis(render("wind", seed).samples) for seed in range(8)) < 8


@pytest.mark.parametrize("name", ["stream", "bubbles"])
def test_large_waters_are_lower_than_small_ones(name):
    large, small = medians_by_word(name, ("large", "small"), centroid)
    assert small > 1.2 * large


def test_hail_on_metal_rings_at_one_pitch():
    def peak_to_mean(x):
        power = np.abs(np.fft.rfft(x)) ** 2
        power = np.convolve(power, np.ones(60), "same")  # 20 Hz wide
        return float(power.max() / power.mean())

    words = ("on metal", "on the ground")
    metal, ground = medians_by_word("hail", words, peak_to_mean, key="manner")
    assert metal > 1.6 * ground


def test_a_simple_classifier_tells_the_classes_apart():
    """Nearest centroid on log-mel statistics, five training takes and four test takes a class."""

    def features(sound_class, seed):
        ctx = RenderContext(np.random.default_rng([7, seed]), RATE, 3.0)
        mel = log_mel(sound_class.render(ctx).samples)
        statistics = [mel.mean(1), mel.std(1), np.percentile(mel, 95, 1), np.diff(mel).std(1)]
        return np.concatenate(statistics)

    classes = (*animals.CLASSES, *birds_insects.CLASSES, *CLASSES)
    train = np.array([[features(each, seed) for seed in range(5)] for each in classes])
    test = np.array([[features(each, seed) for seed in range(5, 9)] for each in classes])
    center, scale = train.mean((0, 1)), train.std((0, 1))
    centroids = ((train - center) / scale).mean(1)
    distance = np.square(((test - center) / scale)[:, :, None] - centroids).sum(-1)
    is_correct = distance.argmin(-1) == np.arange(len(classes))[:, None]
    assert is_correct.mean() > 0.85


@every_class
def test_rendering_is_fifty_times_faster_than_real_time(sound_class):
    cpu_s = []
    for seed in range(3):
        start = time.process_time()
        render_class(sound_class, seed, 5.12)
        cpu_s.append(time.process_time() - start)
    assert min(cpu_s) < 5.12 / 50
