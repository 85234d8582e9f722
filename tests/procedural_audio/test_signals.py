"""Alarms and discharges, measured from samples: pitches, counts, rates and tempi."""

import numpy as np
import pytest
from measures import (
    RATE,
    centroid,
    cents,
    envelope_rate,
    level,
    onsets,
    pitch_track,
    render,
    sound_starts,
    strongest_frequency,
)

from procedural_audio.sources import alarms_signals, explosions

BY_NAME = {each.name: each for each in alarms_signals.CLASSES + explosions.CLASSES}


@pytest.mark.parametrize("name", ["alarm", "tone", "whistle", "doorbell"])
def test_the_annotated_pitch_is_the_strongest_line(name):
    num_annotated = 0
    for seed in range(14):
        take = render(BY_NAME[name], seed)
        if "pitch_hz" in take.annotations:
            num_annotated += 1
            pitch = strongest_frequency(take.samples)
            assert abs(cents(pitch, take.annotations["pitch_hz"])) < 25
    assert num_annotated >= 3


@pytest.mark.parametrize("name", ["horn", "foghorn"])
def test_a_pitch_tracker_finds_the_annotated_pitch(name):
    for seed in range(10):
        take = render(BY_NAME[name], seed, 2.56)
        if "pitch_hz" in take.annotations:
            pitch = take.annotations["pitch_hz"]
            track = pitch_track(take.samples, 0.55 * pitch, 1.9 * pitch)
            assert abs(cents(np.median(track), pitch)) < 25


def test_blasts_of_a_foghorn_rise_out_of_their_echo_at_the_annotated_onsets():
    for seed in range(6):
        take = render(BY_NAME["foghorn"], seed)
        loudness = np.convolve(level(take.samples), np.ones(20) / 20, "same")
        for onset in take.annotations["onsets"]:
            before = loudness[max(0, round((onset - 0.06) / 0.005))]
            assert loudness[round((onset + 0.3) / 0.005)] > 1.3 * before


@pytest.mark.parametrize("name", ["horn", "whistle", "phone"])
def test_blasts_and_rings_have_the_annotated_onsets(name):
    for seed in range(10):
        take = render(BY_NAME[name], seed)
        measured = sound_starts(take.samples, 0.06, 0.04)
        np.testing.assert_allclose(measured, take.annotations["onsets"], atol=0.03)


@pytest.mark.parametrize("name", ["laser", "gunshot", "arcade", "camera"])
def test_shots_have_the_annotated_onsets(name):
    for seed in range(10):
        take = render(BY_NAME[name], seed)
        shortest_gap = min([1.0, *np.diff(take.annotations["onsets"])])
        measured = onsets(take.samples, rise=1.8, rest=0.9 * shortest_gap)
        np.testing.assert_allclose(measured, take.annotations["onsets"], atol=0.03)


def test_beeps_have_the_annotated_rate():
    for seed in range(8):
        take = render(BY_NAME["alarm"], seed)
        rate_hz = take.annotations["rate_hz"]
        assert envelope_rate(take.samples, rate_hz) == pytest.approx(rate_hz, rel=0.02)
        assert len(onsets(take.samples, rest=0.1)) == len(take.annotations["onsets"])


def test_a_siren_sweeps_at_the_annotated_rate():
    """The pitch correlates with itself one period later, and negatively half a period later."""
    num_checked = 0
    for seed in range(12):
        take = render(BY_NAME["siren"], seed)
        if "rate_hz" in take.annotations and take.annotations["rate_hz"] < 3:
            num_checked += 1
            log_pitch = np.log(pitch_track(take.samples, 330, 2100, 1024))
            period = round(RATE / 256 / take.annotations["rate_hz"])
            half = period // 2
            sweep = log_pitch - log_pitch.mean()
            assert np.corrcoef(sweep[:-period], sweep[period:])[0, 1] > 0.8
            assert np.corrcoef(sweep[:-half], sweep[half:])[0, 1] < -0.5
    assert num_checked >= 4


def test_the_pitch_of_a_ray_gun_falls():
    for seed in range(6):
        take = render(BY_NAME["laser"], seed)
        start = round(take.annotations["onsets"][0] * RATE)
        early = centroid(take.samples[start : start + 400])
        late = centroid(take.samples[start + 800 : start + 1600])
        assert early > 1.4 * late


def test_an_explosion_gets_darker_and_quieter():
    for seed in range(6):
        x = render(BY_NAME["explosion"], seed).samples
        start = round(onsets(x)[0] * RATE)
        early = x[start : start + 800]
        late = x[start + 4000 : start + 12000]
        assert centroid(early) > 1.5 * centroid(late)
        assert level(x[start : start + 1600]).mean() > 5 * level(x[-8000:]).mean()


def test_a_heart_beats_at_its_tempo():
    for seed in range(8):
        take = render(BY_NAME["heartbeat"], seed, 8.0)
        bpm = take.annotations["bpm"]
        measured = envelope_rate(take.samples, bpm / 60, smooth=0.04) * 60
        assert measured == pytest.approx(bpm, rel=0.02)
        assert centroid(take.samples) < 200


def test_a_pure_tone_has_no_overtones():
    for seed in range(8):
        take = render(BY_NAME["tone"], seed)
        spectrum = np.abs(np.fft.rfft(take.samples * np.hanning(len(take.samples)))) ** 2
        k = round(take.annotations["pitch_hz"] * len(take.samples) / RATE)
        overtones = 1 - spectrum[k - 4 : k + 5].sum() / spectrum.sum()
        assert (overtones < 1e-4) == (take.annotations["qualities"] == ("pure",))
