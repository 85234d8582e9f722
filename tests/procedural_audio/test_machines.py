"""Machines checked by ear: rates by the envelope's agreement with itself, pitches by strongest line or librosa's tracker."""

import numpy as np
import pytest
from measures import RATE, cents, envelope_rate, level, onsets, play, strongest, track
from scipy.signal import find_peaks

from procedural_audio.sources.machines import KINDS

NAMED = {kind.name: kind for kind in KINDS}


@pytest.mark.parametrize(
    ("name", "smooth"),
    [
        ("helicopter", 0),
        ("train", 0),
        ("steam", 0.05),
        ("clock", 0),
        ("sewing", 0),
        ("washer", 0.1),
        ("printer", 0.05),
        ("engine", 0),
    ],
)
def test_what_repeats_does_so_at_the_claimed_rate(name, smooth):
    claimed = 0
    for seed in range(10):
        take = play(NAMED[name], seed)
        if "rate_hz" in take.annotations:
            claimed += 1
            rate_hz = take.annotations["rate_hz"]
            assert envelope_rate(take.samples, rate_hz, smooth) == pytest.approx(rate_hz, rel=0.02)
    assert claimed >= 3


@pytest.mark.parametrize("name", ["vacuum", "fan"])
def test_the_hum_stands_out_of_the_air(name):
    for seed in range(8):
        take = play(NAMED[name], seed)
        assert abs(cents(strongest(take.samples), take.annotations["pitch_hz"])) < 10


@pytest.mark.parametrize("name", ["drill", "propeller"])
def test_a_tracker_hears_the_claimed_pitch(name):
    for seed in range(6):
        take = play(NAMED[name], seed, 2.56)
        pitch = take.annotations["pitch_hz"]
        assert abs(cents(np.median(track(take.samples, 0.6 * pitch, 1.9 * pitch)), pitch)) < 25


def test_ticks_are_counted_where_they_are_claimed():
    for seed in range(8):
        take = play(NAMED["clock"], seed)
        np.testing.assert_allclose(
            onsets(take.samples, rest=0.08), take.annotations["onsets"], atol=0.01
        )


def test_a_parked_car_revs_as_often_as_claimed():
    for seed in range(12):
        take = play(NAMED["revving"], seed)
        smooth = np.convolve(level(take.samples), np.hanning(41) / 20, "same")
        peaks, _ = find_peaks(np.r_[0, smooth, 0], prominence=0.3 * smooth.max(), distance=40)
        assert len(peaks) == take.annotations["count"]


def test_a_motorcycle_speeds_up_within_a_gear():
    for seed in range(16):
        take = play(NAMED["motorcycle"], seed)
        if take.annotations["manner"] == ("speeding up",):
            half = RATE * 2
            early, late = (
                np.median(track(part, 20, 600, 4096))
                for part in (take.samples[:half], take.samples[-half:-8000])
            )
            assert late > 1.15 * early
            break
    else:
        pytest.fail("no seed rides in one gear")


def test_a_jet_is_loudest_in_passing():
    for seed in range(6):
        loud = level(play(NAMED["airplane"], seed).samples, hop=1600)
        peak = np.argmax(np.convolve(loud, np.ones(9), "same"))
        assert 0.25 * len(loud) < peak < 0.8 * len(loud)
        assert loud[peak - 4 : peak + 5].mean() > 1.4 * max(loud[:8].mean(), loud[-8:].mean())
