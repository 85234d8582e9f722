"""The seam detector finds seams and few others; envelopes and correlations have closed forms."""

import numpy as np
import pytest

from latentaudio.evaluate.mini.seams import envelope, envelope_correlation, is_seam_detected

RATE = 16000
N = 4 * RATE
T = np.arange(N) / RATE
MIDDLE = N // 2


def noise(seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(N)


def test_a_click_is_detected():
    clip = np.sin(2 * np.pi * 220 * T) + 0.01 * noise()
    assert not is_seam_detected(clip, MIDDLE)
    clip[MIDDLE:] += 0.2
    assert is_seam_detected(clip, MIDDLE)
    assert not is_seam_detected(clip, MIDDLE + RATE // 2)


def test_a_periodic_sine_has_no_seam_and_another_one_has():
    periodic = np.sin(2 * np.pi * 220 * T)  # 880 full periods
    assert not is_seam_detected(np.roll(periodic, MIDDLE), MIDDLE)
    assert is_seam_detected(np.roll(np.sin(2 * np.pi * 220.1 * T), MIDDLE), MIDDLE)


@pytest.mark.parametrize("fade", [0, 320])
def test_changes_of_level_and_of_spectrum_are_detected(fade):
    before = 1.0 - np.clip((np.arange(N) - MIDDLE + fade / 2) / max(fade, 1), 0, 1)
    dull = np.convolve(noise(1), np.ones(8) / np.sqrt(8), "same")
    for after in (2.0 * noise(1), dull):
        assert is_seam_detected(before * noise() + (1 - before) * after, MIDDLE)


def test_continuous_noise_has_few_false_positives():
    detections = []
    for seed in range(8):
        for k in range(8):
            detections.append(is_seam_detected(noise(seed), RATE + 3000 * k))
    assert np.mean(detections) <= 0.1


def test_the_envelope_of_a_constant_is_its_level():
    np.testing.assert_allclose(envelope(np.full(RATE, -0.5)), np.full(25, 0.5))


def test_envelope_correlations_are_those_of_closed_forms():
    swell = noise() * np.exp(np.sin(2 * np.pi * T))
    opposite = noise(1) * np.exp(-np.sin(2 * np.pi * T))
    assert envelope_correlation(swell, swell) == pytest.approx(1.0)
    assert envelope_correlation(swell, 0.5 * swell) == pytest.approx(1.0, abs=0.01)
    assert envelope_correlation(swell, opposite) < -0.95
    assert abs(envelope_correlation(noise(2), noise(3))) < 0.3
    assert envelope_correlation(np.ones(RATE), swell[:RATE]) == 0.0
