"""Machines, measured from samples: rates by the envelope, pitches by line or tracker."""

import numpy as np
import pytest
from measures import (
    RATE,
    cents,
    envelope_rate,
    level,
    onsets,
    pitch_track,
    render,
)
from scipy.signal import find_peaks

from procedural_audio.sources import machines, vehicles

BY_NAME = {each.name: each for each in machines.CLASSES + vehicles.CLASSES}


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
def test_repetitions_have_the_annotated_rate(name, smooth):
    num_annotated = 0
    for seed in range(10):
        take = render(BY_NAME[name], seed)
        if "rate_hz" in take.annotations:
            num_annotated += 1
            rate_hz = take.annotations["rate_hz"]
            assert envelope_rate(take.samples, rate_hz, smooth) == pytest.approx(rate_hz, rel=0.02)
    assert num_annotated >= 3


@pytest.mark.parametrize("name", ["vacuum", "fan", "drill"])
def test_a_line_stands_out_at_the_annotated_pitch(name):
    for seed in range(6):
        take = render(BY_NAME[name], seed, 2.56)
        pitch = take.annotations["pitch_hz"]
        x = take.samples[RATE // 2 : 2 * RATE]
        spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
        hertz = np.arange(len(spectrum)) * RATE / len(x)
        band = (hertz > 0.8 * pitch) & (hertz < 1.25 * pitch)
        line = hertz[band][spectrum[band].argmax()]
        assert abs(cents(line, pitch)) < 30
        assert spectrum[band].max() > 5 * np.median(spectrum[band])


def test_a_pitch_tracker_finds_the_pitch_of_a_propeller():
    for seed in range(6):
        take = render(BY_NAME["propeller"], seed, 2.56)
        pitch = take.annotations["pitch_hz"]
        track = pitch_track(take.samples, 0.6 * pitch, 1.9 * pitch)
        assert abs(cents(np.median(track), pitch)) < 30


def test_clock_ticks_have_the_annotated_onsets():
    for seed in range(8):
        take = render(BY_NAME["clock"], seed)
        measured = onsets(take.samples, rest=0.08)
        np.testing.assert_allclose(measured, take.annotations["onsets"], atol=0.01)


def test_a_parked_car_revs_as_often_as_annotated():
    for seed in range(12):
        take = render(BY_NAME["revving"], seed)
        smooth = np.convolve(level(take.samples), np.hanning(41) / 20, "same")
        peaks, _ = find_peaks(np.r_[0, smooth, 0], prominence=0.3 * smooth.max(), distance=40)
        assert len(peaks) == take.annotations["count"]


def test_a_motorcycle_speeds_up_within_a_gear():
    for seed in range(16):
        take = render(BY_NAME["motorcycle"], seed)
        if take.annotations["manner"] == ("speeding up",):
            half = RATE * 2
            early = np.median(pitch_track(take.samples[:half], 20, 600, 4096))
            late = np.median(pitch_track(take.samples[-half:-8000], 20, 600, 4096))
            assert late > 1.15 * early
            break
    else:
        pytest.fail("no seed rides in one gear")


def test_a_jet_is_loudest_while_it_passes():
    for seed in range(6):
        loudness = level(render(BY_NAME["airplane"], seed).samples, hop=1600)
        peak = np.argmax(np.convolve(loudness, np.ones(9), "same"))
        assert 0.25 * len(loudness) < peak < 0.8 * len(loudness)
        ends = max(loudness[:8].mean(), loudness[-8:].mean())
        assert loudness[peak - 4 : peak + 5].mean() > 1.4 * ends
