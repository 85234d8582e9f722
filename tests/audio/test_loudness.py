"""Loudness and true peaks against scipy and the test signals of ITU-R BS.1770 and EBU Tech 3341."""

import math

import numpy as np
import pytest
from scipy.signal import freqz, resample_poly

from latentaudio.audio.loudness import (
    k_weighting,
    limit_true_peak,
    loudness,
    normalize_loudness,
)
from latentaudio.audio.ops import fade_edges

RATE = 16000


def tone(hertz: float, rate: int, duration: float, amplitude: float = 0.5) -> np.ndarray:
    times = np.arange(round(duration * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * times)).astype(np.float32)[None]


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_full_scale_tone_has_the_level_of_the_standard(rate):
    """BS.1770: a 0 dBFS, 997 Hz sine on one channel measures -3.01 LUFS."""
    assert loudness(tone(997, rate, 3, 1.0), rate) == pytest.approx(-3.01, abs=0.05)


def test_k_weighting_at_48_khz_equals_the_table_of_the_standard():
    [(b, a), (hb, ha)] = k_weighting(48000)
    assert b == pytest.approx([1.53512485958697, -2.69169618940638, 1.19839281085285], abs=1e-9)
    assert a == pytest.approx([1.0, -1.69065929318241, 0.73248077421585], abs=1e-9)
    assert hb == [1.0, -2.0, 1.0]
    assert ha == pytest.approx([1.0, -1.99004745483398, 0.99007225036621], abs=1e-9)


def test_k_weighting_has_the_same_response_at_16_khz():
    def gain(rate):
        points = [100.0, 500.0, 1000.0, 2000.0, 3000.0]
        return sum(
            20 * np.log10(np.abs(freqz(b, a, points, fs=rate)[1])) for b, a in k_weighting(rate)
        )

    assert gain(16000) == pytest.approx(gain(48000), abs=0.5)


def test_gating_ignores_much_quieter_parts():
    """EBU Tech 3341, case 3 (shortened): -36, -23, -36 dBFS on both channels measures -23 LUFS."""
    parts = [
        tone(1000, 16000, duration, 10 ** (level / 20))
        for duration, level in ((4, -36), (24, -23), (4, -36))
    ]
    stereo = np.repeat(np.concatenate(parts, axis=1), 2, axis=0)
    assert loudness(stereo, 16000) == pytest.approx(-23.0, abs=0.1)


def test_loudness_of_silence_and_of_less_than_a_block():
    assert loudness(np.zeros((1, 16000), np.float32), 16000) == -math.inf
    assert loudness(tone(997, 16000, 0.2, 0.1), 16000) == pytest.approx(-23.01, abs=0.3)


def noise(duration=3.0, level=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal((1, round(duration * RATE)))).astype(np.float32)


def dbtp(samples):
    """True peak in dB, by scipy."""
    return 20 * np.log10(np.abs(resample_poly(samples, 4, 1, axis=-1)).max())


def test_full_scale_tone_normalized_to_minus_23_lufs():
    """BS.1770: a 997 Hz sine of amplitude 1 measures -3.01 LUFS, so -23 LUFS is -19.99 dB."""
    out = normalize_loudness(tone(997, 48000, 3, 1.0), 48000, -23.0, -1.0)
    assert 20 * np.log10(np.abs(out).max()) == pytest.approx(-19.99, abs=0.06)


def test_normalizing_leaves_silence_unchanged():
    silence = np.zeros((1, 800), np.float32)
    assert np.array_equal(normalize_loudness(silence, RATE, -16.0, -1.0), silence)


@pytest.mark.parametrize("peak", [-1.0, -6.0, -20.0])
def test_the_limiter_changes_only_what_exceeds_the_ceiling(peak):
    loud = 0.5 * noise(1.0, 1.0)
    sound = np.concatenate([0.01 * noise(1.0), loud, 0.01 * noise(1.0)], axis=1)
    out = limit_true_peak(sound, RATE, peak)
    assert peak - 0.5 <= dbtp(out) <= peak + 0.1
    np.testing.assert_array_equal(out[:, : RATE - 321], sound[:, : RATE - 321])
    np.testing.assert_array_equal(out[:, 2 * RATE + 321 :], sound[:, 2 * RATE + 321 :])
    assert limit_true_peak(0.01 * sound, RATE, peak).max() == (0.01 * sound).max()


def test_a_peak_between_samples_counts():
    """A sine at a quarter of the rate, sampled 45 degrees off its crests: 3.01 dB too low."""
    sound = np.sin(np.pi / 2 * np.arange(RATE) + np.pi / 4).astype(np.float32)[None]
    out = limit_true_peak(fade_edges(sound, RATE, 0.1), RATE, -6.0)
    middle = np.abs(out[0, 4000:12000]).max()
    assert 20 * np.log10(middle) == pytest.approx(-6.0 - 3.01, abs=0.1)


def test_the_limiter_turns_all_channels_down_alike():
    sound = np.concatenate([noise(level=0.5), noise(level=0.01, seed=1)])
    gains = limit_true_peak(sound, RATE, -12.0) / sound
    np.testing.assert_allclose(gains[0], gains[1], rtol=1e-4)
