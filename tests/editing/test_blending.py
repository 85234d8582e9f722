"""Levels and crossfades of generated audio in its source."""

import numpy as np
import pytest
from clips import FADE, RATE, bandpass

from latentaudio.audio.ops import bandpass_gains
from latentaudio.editing.blending import (
    blend_into_source,
    match_boundary_levels,
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


def test_the_gain_at_a_boundary_is_9_db_at_most(stationary):
    source, generated = stationary
    matched = match_boundary_levels(source, 1e-3 * generated, [(1.0, 2.0)], RATE)
    gain = matched[0, RATE : 2 * RATE] / (1e-3 * generated[0, RATE : 2 * RATE])
    assert 20 * np.log10(gain.max()) == pytest.approx(9.0, abs=0.01)


def test_audio_that_is_not_stationary_keeps_its_level(stationary):
    source, generated = stationary
    bursts = generated * (np.arange(4 * RATE) % 4000 < 1000)
    matched = match_boundary_levels(0.1 * source, 0.01 * bursts, [(1.0, 3.0)], RATE)
    np.testing.assert_array_equal(matched, 0.01 * bursts)
