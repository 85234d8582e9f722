"""Distance, room and level, measured on impulses and noise: decay times by Schroeder integration, slopes, peaks, ends."""

import numpy as np
import pytest

from procedural_audio import room

RATE = 16000


def noise(seconds=1.0, seed=0):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def centroid(x):
    power = np.abs(np.fft.rfft(x)) ** 2
    return float(np.sum(power * np.fft.rfftfreq(len(x), 1 / RATE)) / power.sum())


def decay_time(response):
    """60 dB decay time from the slope between -5 and -25 dB of the backward-integrated energy (ISO 3382)."""
    level = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2))
    inside = np.flatnonzero((level < -5) & (level > -25))
    return -60 / (np.polyfit(inside / RATE, level[inside], 1)[0])


@pytest.mark.parametrize("seconds", [0.3, 1.5, 4.0])
def test_echoes_decay_as_asked_and_treble_sooner(seconds):
    from scipy.signal import butter, sosfilt

    response = room.echoes(np.random.default_rng(1), RATE, seconds, 10 * RATE)
    assert np.sum(response**2) == pytest.approx(1.0)
    middle = sosfilt(butter(4, (300, 900), "bandpass", fs=RATE, output="sos"), response)
    treble = sosfilt(butter(4, 4500, "highpass", fs=RATE, output="sos"), response)
    assert decay_time(middle) == pytest.approx(seconds, rel=0.12)
    assert decay_time(treble) == pytest.approx(0.4 * seconds, rel=0.12)


def test_rooms_differ_in_the_tail_they_leave():
    click = np.zeros(RATE // 10)
    click[0] = 1.0
    tails = {}
    for room in room.ROOMS:
        wet = room.spread(click, RATE, np.random.default_rng(2), "mid", room, 3 * RATE)
        assert wet[0] == pytest.approx(1.0)
        tails[room] = float(np.sum(wet[RATE // 2 :] ** 2))
    assert tails["none"] == 0.0
    assert tails["cathedral"] > 3 * tails["large hall"] > 100 * tails["small room"]


def test_distance_takes_treble_and_adds_room():
    x = noise()
    heard = {
        d: room.spread(x, RATE, np.random.default_rng(3), d, "none", len(x)) for d in room.DISTANCES
    }
    np.testing.assert_array_equal(heard["mid"], x)
    assert centroid(heard["far"]) < 0.75 * centroid(x)
    assert centroid(heard["near"]) < centroid(x)  # more bass, no less treble:
    high = np.fft.rfftfreq(len(x), 1 / RATE) > 4000
    bright = {d: np.abs(np.fft.rfft(y))[high].mean() for d, y in heard.items()}
    assert (
        bright["near"] == pytest.approx(bright["mid"], rel=0.05)
        and bright["far"] < 0.7 * bright["mid"]
    )
    click = np.eye(1, RATE)[0]
    shares = {}
    for distance in room.DISTANCES:
        wet = room.spread(click, RATE, np.random.default_rng(3), distance, "large hall", 2 * RATE)
        shares[distance] = np.sum(wet[RATE // 50 :] ** 2) / np.sum(wet[: RATE // 50] ** 2)
    assert shares["near"] < shares["mid"] < shares["far"]


def test_same_dice_same_room():
    one, two = (
        room.spread(noise(), RATE, np.random.default_rng(5), "far", "cathedral", 20000)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("loudness", "peak"), [("quiet", 0.12), ("normal", 0.4), ("loud", 0.9)])
def test_levels(loudness, peak):
    x = noise() * 37.0
    assert np.abs(room.levelled(x, "mid", loudness)).max() == pytest.approx(peak)
    assert np.abs(room.levelled(x, "far", loudness)).max() == pytest.approx(0.6 * peak)


def test_ends_are_silent_and_the_middle_untouched():
    x = noise(0.5)
    y = room.faded(x, RATE)
    ramp = round(0.005 * RATE)
    assert y[0] == y[-1] == 0.0
    np.testing.assert_array_equal(y[ramp:-ramp], x[ramp:-ramp])
    assert np.all(np.abs(y[:ramp]) <= np.abs(x[:ramp]))
    assert len(room.faded(noise(0.001), RATE)) == 16
