"""The parts of blows and machines against closed forms."""

import numpy as np
import pytest
from measures import RATE, strongest

from procedural_audio.sources.impacts_noise import burst, pulses, reed, rhythm, scattered, shower
from procedural_audio.synth import Stage


def stage(seconds=1.0, seed=0):
    return Stage(np.random.default_rng(seed), RATE, seconds)


@pytest.mark.parametrize(("hertz", "tilt"), [(97.0, 0.5), (440.0, 1.0), (3100.0, 0.3)])
def test_a_reed_is_the_sum_of_its_harmonics(hertz, tilt):
    n = np.arange(1, RATE + 1)
    orders = np.arange(1, int(7400 / hertz) + 1)
    exact = np.sum([k**-tilt * np.sin(2 * np.pi * k * hertz * n / RATE) for k in orders], axis=0)
    exact /= np.sqrt(np.sum(orders ** (-2 * tilt)) / 2)
    error = reed(np.full(RATE, hertz), RATE, tilt) - exact
    assert np.sqrt(np.mean(error**2)) < 10 ** (-55 / 20)


def test_a_reed_never_passes_its_top():
    spectrum = (
        np.abs(
            np.fft.rfft(
                reed(np.linspace(300.0, 900.0, RATE), RATE, 0.2, top=4000.0) * np.hanning(RATE)
            )
        )
        ** 2
    )
    assert spectrum[4100:].sum() < 1e-5 * spectrum.sum()


def test_a_burst_halves_as_often_as_it_says():
    x = np.mean([burst(stage(seed=seed), 0.2, 500, 6000, 0.02) ** 2 for seed in range(60)], axis=0)
    early, late = (
        x[800:1120].mean(),
        x[1440:1760].mean(),
    )  # 40 ms apart: two half-lives, a quarter in level
    assert np.sqrt(late / early) == pytest.approx(0.25, rel=0.15)


def test_pulses_come_at_the_rate_of_the_curve_and_take_their_gains_in_turn():
    x = pulses(np.full(RATE, 20.0), RATE, 10.0, np.array([1.0, 0.5]))
    peaks = x.reshape(20, -1).max(axis=1)
    np.testing.assert_allclose(peaks[:10], np.tile([1.0, 0.5], 5), rtol=0.01)
    even = pulses(np.full(RATE, 20.0), RATE, 3.0, np.ones(1))
    assert strongest(even - even.mean()) == pytest.approx(20.0, rel=0.02)


def test_a_shower_puts_each_grain_in_its_place():
    x = shower(
        stage(), [np.array([1.0, -1.0])], np.array([0.0, 0.5, 2.0]), np.array([1.0, 3.0, 9.0]), RATE
    )
    assert np.flatnonzero(x).tolist() == [0, 1, 8000, 8001] and x[8000] == 3.0


def test_scattered_moments_are_as_dense_as_asked():
    counts = [len(scattered(stage(seed=seed), 40.0, 0.25, 1.0)) for seed in range(200)]
    assert np.mean(counts) == pytest.approx(30.0, rel=0.06) and np.var(counts) == pytest.approx(
        30.0, rel=0.35
    )


def test_a_rhythm_too_quick_to_count_is_not_counted():
    assert "count" not in rhythm([0.0, 0.15, 0.3], 1 / 0.15)
    assert rhythm([0.0, 0.5, 1.0], 2.0)["count"] == 3
