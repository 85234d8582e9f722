"""Levels and crossfades of generated audio in its source."""

import numpy as np
import pytest
import scipy.signal
from clips import FADE, RATE, bandpass

from latentaudio.audio.ops import bandpass_gains
from latentaudio.editing.blending import (
    blend_into_source,
    match_boundary_levels,
    match_boundary_spectra,
    match_level_below_cutoff,
)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32)


@pytest.mark.parametrize(("level", "gain"), [(0.5, 2.0), (3.0, 1 / 3), (0.01, 4.0), (100.0, 0.25)])
def test_levels_match_in_the_octave_below_the_cutoff(noise, level, gain):
    tilted = bandpass(noise, 0, 1000) + 0.3 * noise
    matched = match_level_below_cutoff(tilted, level * tilted, 3000.0, RATE)
    np.testing.assert_allclose(matched, gain * level * tilted, rtol=1e-3, atol=1e-5)


def test_frequencies_above_the_cutoff_do_not_change_the_level(noise):
    t = np.arange(RATE) / RATE
    above = np.sin(2 * np.pi * 5000 * t).astype(np.float32)[None]
    matched = match_level_below_cutoff(noise + above, 0.5 * noise, 3000.0, RATE)
    np.testing.assert_allclose(matched, noise, rtol=0.02, atol=1e-5)


def test_silence_stays_silent(noise):
    silent = np.zeros_like(noise)
    matched = match_level_below_cutoff(noise, silent, 3000.0, RATE)
    np.testing.assert_array_equal(matched, silent)


def test_generated_audio_is_turned_down_before_it_clips():
    source = np.full((1, RATE), 0.8, np.float32)
    generated = np.full((1, RATE), 0.4, np.float32)
    source[0, 10] = 1.0
    blended = blend_into_source(source, generated, [(0.5, 1.0)], None, RATE)
    np.testing.assert_array_equal(blended[:, RATE // 2 :], generated[:, RATE // 2 :])
    kept = slice(0, RATE // 2 - FADE)
    np.testing.assert_array_equal(blended[:, kept], source[:, kept])


def test_a_generated_band_is_halved_at_most_and_the_sum_clipped():
    t = np.arange(RATE) / RATE
    low = 0.8 * np.sin(2 * np.pi * 100 * t).astype(np.float32)[None]
    high = 0.8 * np.sin(2 * np.pi * 5000 * t).astype(np.float32)[None]
    gains = bandpass_gains([(4000.0, 8000.0)], RATE)
    blended = blend_into_source(low, high, [(0.0, 1.0)], gains, RATE)
    assert np.abs(blended).max() == 1.0
    assert 0.3 < np.abs(bandpass(blended, 4000, 8000)).max() < 0.45


@pytest.fixture(scope="module")
def stationary():
    """A source and generated audio [1, 4 s], both noise; the source halves its level at 2 s."""
    rng = np.random.default_rng(0)
    source = rng.standard_normal((1, 4 * RATE)).astype(np.float32)
    generated = rng.standard_normal((1, 4 * RATE)).astype(np.float32)
    source[:, 2 * RATE :] *= 0.5
    return source, generated


def test_the_gain_falls_evenly_from_one_boundary_to_the_other(stationary):
    source, generated = stationary
    matched = match_boundary_levels(0.1 * source, 0.05 * generated, [(1.0, 3.0)], RATE)
    gain = matched[0] / (0.05 * generated[0])
    assert 20 * np.log10(gain[RATE]) == pytest.approx(6.02, abs=0.5)
    assert 20 * np.log10(gain[3 * RATE - 1]) == pytest.approx(0.0, abs=0.5)
    decibels = 20 * np.log10(gain[RATE : 3 * RATE])
    line = np.linspace(decibels[0], decibels[-1], 2 * RATE)
    np.testing.assert_allclose(decibels, line, atol=0.01)
    np.testing.assert_array_equal(gain[: RATE - FADE], 1.0)


def test_the_gain_at_a_boundary_is_18_db_at_most(stationary):
    source, generated = stationary
    matched = match_boundary_levels(source, 1e-3 * generated, [(1.0, 2.0)], RATE)
    gain = matched[0, RATE : 2 * RATE] / (1e-3 * generated[0, RATE : 2 * RATE])
    assert 20 * np.log10(gain.max()) == pytest.approx(18.0, abs=0.01)


def bursts_of(generated):
    return generated * (np.arange(4 * RATE) % 4000 < 1000)


def test_an_event_that_is_louder_than_the_source_keeps_its_level(stationary):
    source, generated = stationary
    bursts = bursts_of(generated)
    matched = match_boundary_levels(0.01 * source, 0.1 * bursts, [(1.0, 3.0)], RATE)
    np.testing.assert_array_equal(matched, (0.1 * bursts).astype(np.float32))


def test_generated_audio_that_is_too_quiet_is_raised(stationary):
    source, generated = stationary
    bursts = bursts_of(generated)
    matched = match_boundary_levels(0.1 * source, 0.03 * bursts, [(1.0, 3.0)], RATE)
    level = np.sqrt(np.mean(matched[0, RATE : RATE + RATE // 2] ** 2))
    assert level == pytest.approx(0.1, rel=0.1)


def test_a_source_that_is_not_stationary_changes_no_level(stationary):
    source, generated = stationary
    matched = match_boundary_levels(bursts_of(source), 0.01 * generated, [(1.0, 3.0)], RATE)
    np.testing.assert_array_equal(matched, (0.01 * generated).astype(np.float32))


def test_the_color_of_noise_is_matched_at_both_ends(stationary):
    source, generated = stationary
    red, blue = (scipy.signal.lfilter([1.0], [1.0, pole], source) for pole in (-0.7, 0.7))
    colored = np.concatenate([red[:, : 2 * RATE], blue[:, 2 * RATE :]], axis=1) * 0.05
    matched = match_boundary_spectra(colored, 0.05 * generated, [(1.0, 3.0)], RATE)
    np.testing.assert_array_equal(matched[:, : RATE - FADE], (0.05 * generated)[:, : RATE - FADE])
    for inside, outside in ((RATE, RATE // 2), (3 * RATE - 8000, 3 * RATE)):
        pieces = (matched[0, inside : inside + 8000], colored[0, outside : outside + 8000])
        before = 0.05 * generated[0, inside : inside + 8000]
        distances = [log_spectral_distance(piece, pieces[1]) for piece in (pieces[0], before)]
        assert distances[0] < 0.5 * distances[1]


def log_spectral_distance(first, second):
    """Mean difference in dB of 16 bands."""
    levels = []
    for samples in (first, second):
        power = scipy.signal.welch(samples, RATE, nperseg=512)[1][1:]
        levels.append(10 * np.log10(power.reshape(16, -1).mean(axis=1)))
    return np.abs(levels[0] - levels[1]).mean()
