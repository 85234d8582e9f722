"""The building blocks of impacts and machines against closed forms."""

import numpy as np
import pytest
from measures import RATE, strongest_frequency

from procedural_audio.sources.impacts_noise import (
    countable_annotations,
    firing_pulses,
    grain_cloud,
    noise_burst,
    poisson_onsets,
    wavetable_tone,
)
from procedural_audio.synth import RenderContext


def context(duration=1.0, seed=0):
    return RenderContext(np.random.default_rng(seed), RATE, duration)


@pytest.mark.parametrize(("frequency", "tilt"), [(97.0, 0.5), (440.0, 1.0), (3100.0, 0.3)])
def test_wavetable_tone_equals_the_sum_of_its_harmonics(frequency, tilt):
    n = np.arange(1, RATE + 1)
    orders = np.arange(1, int(7400 / frequency) + 1)
    sines = [k**-tilt * np.sin(2 * np.pi * k * frequency * n / RATE) for k in orders]
    exact = np.sum(sines, axis=0)
    exact /= np.sqrt(np.sum(orders ** (-2 * tilt)) / 2)
    error = wavetable_tone(np.full(RATE, frequency), RATE, tilt) - exact
    assert np.sqrt(np.mean(error**2)) < 10 ** (-55 / 20)


def test_wavetable_tone_has_no_power_above_its_top():
    tone = wavetable_tone(np.linspace(300.0, 900.0, RATE), RATE, 0.2, top_hz=4000.0)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(RATE))) ** 2
    assert spectrum[4100:].sum() < 1e-5 * spectrum.sum()


def test_noise_burst_halves_every_half_life():
    bursts = [noise_burst(context(seed=seed), 0.2, 500, 6000, 0.02) ** 2 for seed in range(60)]
    power = np.mean(bursts, axis=0)
    early = power[800:1120].mean()
    late = power[1440:1760].mean()  # 40 ms later: two half-lives, a quarter of the level
    assert np.sqrt(late / early) == pytest.approx(0.25, rel=0.15)


def test_firing_pulses_have_the_rate_of_the_curve_and_repeat_their_gains():
    pulses = firing_pulses(np.full(RATE, 20.0), RATE, 10.0, np.array([1.0, 0.5]))
    peaks = pulses.reshape(20, -1).max(axis=1)
    np.testing.assert_allclose(peaks[:10], np.tile([1.0, 0.5], 5), rtol=0.01)
    even = firing_pulses(np.full(RATE, 20.0), RATE, 3.0, np.ones(1))
    assert strongest_frequency(even - even.mean()) == pytest.approx(20.0, rel=0.02)


def test_grain_cloud_mixes_each_grain_at_its_onset():
    grains = [np.array([1.0, -1.0])]
    onsets = np.array([0.0, 0.5, 2.0])
    cloud = grain_cloud(context(), grains, onsets, np.array([1.0, 3.0, 9.0]), RATE)
    assert np.flatnonzero(cloud).tolist() == [0, 1, 8000, 8001] and cloud[8000] == 3.0


def test_poisson_onsets_have_the_given_density():
    counts = [len(poisson_onsets(context(seed=seed), 40.0, 0.25, 1.0)) for seed in range(200)]
    assert np.mean(counts) == pytest.approx(30.0, rel=0.06)
    assert np.var(counts) == pytest.approx(30.0, rel=0.35)


def test_fast_rhythms_have_no_count():
    assert "count" not in countable_annotations([0.0, 0.15, 0.3], 1 / 0.15)
    assert countable_annotations([0.0, 0.5, 1.0], 2.0)["count"] == 3
