"""Distance, reverberation and level, measured on impulses and noise.

Decay times by Schroeder integration, spectra, peaks, and the ends of clips.
"""

import numpy as np
import pytest
from measures import centroid
from scipy.signal import butter, sosfilt

from procedural_audio import room

RATE = 16000


def noise(seconds=1.0, seed=0):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def place(x, seed, distance, place_name, num_samples):
    rng = np.random.default_rng(seed)
    return room.place_in_room(x, RATE, rng, distance, place_name, num_samples)


def decay_time(response):
    """60 dB decay time from the backward-integrated energy between -5 and -25 dB (ISO 3382)."""
    level = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2))
    inside = np.flatnonzero((level < -5) & (level > -25))
    return -60 / (np.polyfit(inside / RATE, level[inside], 1)[0])


@pytest.mark.parametrize("seconds", [0.3, 1.5, 4.0])
def test_impulse_response_has_the_given_decay_time_and_high_frequencies_decay_faster(seconds):
    response = room.impulse_response(np.random.default_rng(1), RATE, seconds, 10 * RATE)
    assert np.sum(response**2) == pytest.approx(1.0)
    middle = sosfilt(butter(4, (300, 900), "bandpass", fs=RATE, output="sos"), response)
    treble = sosfilt(butter(4, 4500, "highpass", fs=RATE, output="sos"), response)
    assert decay_time(middle) == pytest.approx(seconds, rel=0.12)
    assert decay_time(treble) == pytest.approx(0.4 * seconds, rel=0.12)


def test_larger_rooms_leave_more_energy_in_the_tail():
    click = np.zeros(RATE // 10)
    click[0] = 1.0
    tails = {}
    for name in room.ROOMS:
        wet = place(click, 2, "mid", name, 3 * RATE)
        assert wet[0] == pytest.approx(1.0)
        tails[name] = float(np.sum(wet[RATE // 2 :] ** 2))
    assert tails["none"] == 0.0
    assert tails["cathedral"] > 3 * tails["large hall"] > 100 * tails["small room"]


def test_distance_reduces_high_frequencies_and_adds_reverberation():
    x = noise()
    placed = {each: place(x, 3, each, "none", len(x)) for each in room.DISTANCES}
    np.testing.assert_array_equal(placed["mid"], x)
    assert centroid(placed["far"]) < 0.75 * centroid(x)
    # "near" has more bass and as much treble.
    assert centroid(placed["near"]) < centroid(x)
    is_high = np.fft.rfftfreq(len(x), 1 / RATE) > 4000
    treble = {each: np.abs(np.fft.rfft(y))[is_high].mean() for each, y in placed.items()}
    assert treble["near"] == pytest.approx(treble["mid"], rel=0.05)
    assert treble["far"] < 0.7 * treble["mid"]
    click = np.eye(1, RATE)[0]
    wet_to_dry = {}
    for distance in room.DISTANCES:
        wet = place(click, 3, distance, "large hall", 2 * RATE)
        wet_to_dry[distance] = np.sum(wet[RATE // 50 :] ** 2) / np.sum(wet[: RATE // 50] ** 2)
    assert wet_to_dry["near"] < wet_to_dry["mid"] < wet_to_dry["far"]


def test_equal_seeds_give_equal_rooms():
    first = place(noise(), 5, "far", "cathedral", 20000)
    second = place(noise(), 5, "far", "cathedral", 20000)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("loudness", "peak"), [("quiet", 0.12), ("normal", 0.4), ("loud", 0.9)])
def test_loudness_sets_the_peak_level(loudness, peak):
    x = noise() * 37.0
    assert np.abs(room.set_peak_level(x, "mid", loudness)).max() == pytest.approx(peak)
    assert np.abs(room.set_peak_level(x, "far", loudness)).max() == pytest.approx(0.6 * peak)


def test_fades_change_only_the_ends():
    x = noise(0.5)
    y = room.fade_ends(x, RATE)
    ramp = round(0.005 * RATE)
    assert y[0] == y[-1] == 0.0
    np.testing.assert_array_equal(y[ramp:-ramp], x[ramp:-ramp])
    assert np.all(np.abs(y[:ramp]) <= np.abs(x[:ramp]))
    assert len(room.fade_ends(noise(0.001), RATE)) == 16
