"""Weather and water checked by statistics an ear would notice: brightness, crackle, swell, decay, and the drip of a tap."""

import time

import librosa
import numpy as np
import pytest
from scipy.stats import kurtosis

from procedural_audio.sources import animals
from procedural_audio.sources.nature import KINDS
from procedural_audio.synth import Stage

RATE = 16000
NAMED = {kind.name: kind for kind in KINDS}


def play(name, seed, seconds=5.12):
    return NAMED[name].render(Stage(np.random.default_rng([6, seed]), RATE, seconds))


def centroid(x):
    power = np.abs(np.fft.rfft(x)) ** 2
    return float((power * np.fft.rfftfreq(len(x), 1 / RATE)).sum() / power.sum())


def log_mel(x, bands=64):
    x = 0.1 * x / np.sqrt(np.mean(x**2))
    return np.log(
        librosa.feature.melspectrogram(
            y=x, sr=RATE, n_fft=1024, hop_length=256, n_mels=bands, power=1.0
        )
        + 1e-3
    )


def split_by(name, word, other, measure, seeds=24, key="qualities"):
    """Medians of a measure over takes described by `word` and by `other`."""
    takes = [play(name, seed, 3.0) for seed in range(seeds)]
    groups = [
        [measure(t.samples) for t in takes if w in t.annotations.get(key, ())]
        for w in (word, other)
    ]
    assert min(map(len, groups)) >= 3
    return (float(np.median(group)) for group in groups)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("seconds", [0.6, 2.0, 10.24])
def test_every_clip_sounds_soon_and_repeats_itself_from_its_seed(kind, seconds):
    for seed in range(3):
        x, again = (
            kind.play(Stage(np.random.default_rng(seed), RATE, seconds)).samples for _ in range(2)
        )
        assert x.shape == (round(seconds * RATE),) and np.isfinite(x).all()
        np.testing.assert_array_equal(x, again)
        assert np.flatnonzero(np.abs(x) > 0.01 * np.abs(x).max())[0] <= 0.6 * RATE


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_one_seed_has_one_colour_at_both_rates(kind):
    for seed in range(3):
        low, high = (
            kind.play(Stage(np.random.default_rng(seed), rate, 4.0)) for rate in (16000, 48000)
        )
        assert low.facts == high.facts
        resampled = librosa.resample(
            high.samples, orig_sr=48000, target_sr=RATE, res_type="soxr_hq"
        )
        mels = [log_mel(x, 24)[2:-2].mean(1) for x in (low.samples, resampled)]
        assert np.abs(mels[0] - mels[1]).mean() < 0.25  # nepers: 2 dB


def test_drops_fall_at_the_claimed_rate():
    for seed in range(10):
        take = play("drip", seed)
        onsets = np.array(take.annotations["onsets"])
        level = np.abs(take.samples)
        for start in onsets:  # silence, then a drop
            at = round(start * RATE)
            assert level[at : at + 320].max() > 0.3 * level.max()
            assert level[max(0, at - 80) : at].max(initial=0) < 0.1 * level.max()
        assert np.diff(onsets) == pytest.approx(1 / take.annotations["rate_hz"])
        assert onsets[-1] + 1 / take.annotations["rate_hz"] > 5.12 - 0.5


def test_heavy_rain_is_fuller_below_and_light_rain_patters():
    heavy, light = split_by("rain", "heavy", "light", kurtosis)
    assert light > 2 * heavy


def test_strong_wind_is_brighter_than_gentle_wind():
    strong, gentle = split_by("wind", "strong", "gentle", centroid)
    assert strong > 1.1 * gentle


def test_a_whistling_wind_has_a_line_in_its_spectrum():
    def line(x):
        frames = np.abs(librosa.stft(x, n_fft=2048))[40:200]
        return float(np.median(frames.max(0) / np.median(frames, 0)))

    takes = [play("wind", seed) for seed in range(16)]
    whistling = [line(t.samples) for t in takes if t.annotations["manner"]]
    assert len(whistling) >= 3
    assert min(whistling) > np.median(
        [line(t.samples) for t in takes if not t.annotations["manner"]]
    )


def test_waves_swell_and_their_spray_lags_their_body():
    for seed in range(6):
        mel = np.exp(log_mel(play("sea", seed, 10.24).samples))
        smooth = [
            np.convolve(mel[band].mean(0), np.hanning(16) / 8, "valid")
            for band in (slice(4, 16), slice(48, 64))
        ]
        assert smooth[1].max() > 3 * smooth[1].min()
        lags = [np.corrcoef(smooth[0][: -d or None], smooth[1][d:])[0, 1] for d in range(40)]
        assert np.argmax(lags) > 3


def test_thunder_claps_and_then_sinks_low():
    sharp = 0
    for seed in range(16):
        take = play("thunder", seed)
        x = take.samples
        first, last = x[: len(x) // 3], x[-len(x) // 3 :]
        assert np.mean(first**2) > 3 * np.mean(last**2) and centroid(last) < 300
        if "sharp" in take.annotations["qualities"]:
            sharp += 1
            assert centroid(first) > 1.2 * centroid(last)
    assert sharp > 2


def test_fire_crackles_where_wind_blows():
    assert min(kurtosis(play("fire", seed).samples) for seed in range(8)) > 8
    assert max(kurtosis(play("wind", seed).samples) for seed in range(8)) < 8


def test_large_waters_are_lower_than_small_ones():
    for name in ("stream", "bubbles"):
        large, small = split_by(name, "large", "small", centroid)
        assert small > 1.2 * large


def test_hail_on_metal_rings_at_one_pitch():
    def peak_share(x):
        power = np.abs(np.fft.rfft(x)) ** 2
        power = np.convolve(power, np.ones(60), "same")  # 20 Hz wide
        return float(power.max() / power.mean())

    metal, ground = split_by("hail", "on metal", "on the ground", peak_share, key="manner")
    assert metal > 1.6 * ground


def test_kinds_are_told_apart_from_a_few_examples():
    """A nearest-centroid classifier on plain log-mel statistics, five examples a kind, names unheard takes of all kinds."""

    def features(kind, seed):
        mel = log_mel(kind.play(Stage(np.random.default_rng([7, seed]), RATE, 3.0)).samples)
        return np.concatenate(
            [mel.mean(1), mel.std(1), np.percentile(mel, 95, 1), np.diff(mel).std(1)]
        )

    kinds = (*animals.KINDS, *KINDS)
    known = np.array([[features(kind, seed) for seed in range(5)] for kind in kinds])
    unheard = np.array([[features(kind, seed) for seed in range(5, 9)] for kind in kinds])
    centre, scale = known.mean((0, 1)), known.std((0, 1))
    centroids = ((known - centre) / scale).mean(1)
    distance = np.square(((unheard - centre) / scale)[:, :, None] - centroids).sum(-1)
    named = distance.argmin(-1) == np.arange(len(kinds))[:, None]
    assert named.mean() > 0.85


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_fifty_times_faster_than_it_sounds(kind):
    spent = []
    for seed in range(3):
        start = time.process_time()
        kind.play(Stage(np.random.default_rng(seed), RATE, 5.12))
        spent.append(time.process_time() - start)
    assert min(spent) < 5.12 / 50
