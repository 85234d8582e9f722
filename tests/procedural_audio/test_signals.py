"""Signals checked by ear: pitches, counts, rates and tempi measured from the sound itself."""

import numpy as np
import pytest
from measures import (
    RATE,
    centroid,
    cents,
    envelope_rate,
    level,
    onsets,
    play,
    stretches,
    strongest,
    track,
)

from procedural_audio.sources.alarms_signals import KINDS

NAMED = {kind.name: kind for kind in KINDS}


@pytest.mark.parametrize("name", ["alarm", "tone", "whistle", "doorbell"])
def test_the_claimed_pitch_is_the_strongest_line(name):
    claimed = 0
    for seed in range(14):
        take = play(NAMED[name], seed)
        if "pitch_hz" in take.annotations:
            claimed += 1
            assert abs(cents(strongest(take.samples), take.annotations["pitch_hz"])) < 25
    assert claimed >= 3


@pytest.mark.parametrize("name", ["horn", "foghorn"])
def test_a_tracker_hears_the_claimed_pitch(name):
    for seed in range(10):
        take = play(NAMED[name], seed, 2.56)
        if "pitch_hz" in take.annotations:
            pitch = take.annotations["pitch_hz"]
            assert abs(cents(np.median(track(take.samples, 0.55 * pitch, 1.9 * pitch)), pitch)) < 25


@pytest.mark.parametrize("name", ["horn", "foghorn", "whistle", "phone"])
def test_blasts_and_rings_are_as_many_as_claimed(name):
    for seed in range(10):
        take = play(NAMED[name], seed)
        np.testing.assert_allclose(
            stretches(take.samples, 0.06, 0.04), take.annotations["onsets"], atol=0.03
        )


@pytest.mark.parametrize("name", ["laser", "gunshot", "arcade", "camera"])
def test_shots_are_as_many_as_claimed_and_begin_where_claimed(name):
    for seed in range(10):
        take = play(NAMED[name], seed)
        shortest = min([1.0, *np.diff(take.annotations["onsets"])])
        found = onsets(take.samples, rise=1.8, rest=0.9 * shortest)
        np.testing.assert_allclose(found, take.annotations["onsets"], atol=0.03)


def test_beeps_keep_the_claimed_rate():
    for seed in range(8):
        take = play(NAMED["alarm"], seed)
        rate_hz = take.annotations["rate_hz"]
        assert envelope_rate(take.samples, rate_hz) == pytest.approx(rate_hz, rel=0.02)
        assert len(onsets(take.samples, rest=0.1)) == len(take.annotations["onsets"])


def test_a_siren_sweeps_at_the_claimed_rate():
    """The pitch track agrees with itself one claimed period later and disagrees half a period later."""
    checked = 0
    for seed in range(12):
        take = play(NAMED["siren"], seed)
        if "rate_hz" in take.annotations and take.annotations["rate_hz"] < 3:
            checked += 1
            hertz = np.log(track(take.samples, 330, 2100, 1024))
            period = round(RATE / 256 / take.annotations["rate_hz"])
            swing = hertz - hertz.mean()
            assert np.corrcoef(swing[:-period], swing[period:])[0, 1] > 0.8
            assert np.corrcoef(swing[: -(period // 2)], swing[period // 2 :])[0, 1] < -0.5
    assert checked >= 4


def test_a_zap_falls():
    for seed in range(6):
        take = play(NAMED["laser"], seed)
        start = round(take.annotations["onsets"][0] * RATE)
        assert centroid(take.samples[start : start + 400]) > 1.4 * centroid(
            take.samples[start + 800 : start + 1600]
        )


def test_an_explosion_darkens_as_it_rolls():
    for seed in range(6):
        x = play(NAMED["explosion"], seed).samples
        start = round(onsets(x)[0] * RATE)
        assert centroid(x[start : start + 800]) > 1.5 * centroid(x[start + 4000 : start + 12000])
        assert level(x[start : start + 1600]).mean() > 5 * level(x[-8000:]).mean()


def test_a_heart_beats_at_its_tempo():
    for seed in range(8):
        take = play(NAMED["heartbeat"], seed, 8.0)
        assert envelope_rate(
            take.samples, take.annotations["bpm"] / 60, smooth=0.04
        ) * 60 == pytest.approx(take.annotations["bpm"], rel=0.02)
        assert centroid(take.samples) < 200


def test_a_pure_tone_is_pure():
    for seed in range(8):
        take = play(NAMED["tone"], seed)
        spectrum = np.abs(np.fft.rfft(take.samples * np.hanning(len(take.samples)))) ** 2
        k = round(take.annotations["pitch_hz"] * len(take.samples) / RATE)
        rest = 1 - spectrum[k - 4 : k + 5].sum() / spectrum.sum()
        assert (rest < 1e-4) == (take.annotations["qualities"] == ("pure",))
