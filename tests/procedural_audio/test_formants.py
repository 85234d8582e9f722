"""The buzzing source against the closed form of a sum of cosines, formants against an FFT, and calls against the clock."""

import numpy as np
import pytest
from scipy.signal import freqz

from procedural_audio.events import air, aside, chorus, contour, regular, spread, steady, worded
from procedural_audio.sources.formants import buzz, mouth, scaled
from procedural_audio.synth import Stage

RATE = 16000


def test_untilted_buzz_is_the_conjugate_dirichlet_kernel():
    pitch, top = 200.0, 7400.0
    x = buzz(np.full(RATE // 4, pitch), RATE, 0.0, top=top)
    p = 2 * np.pi * pitch * np.arange(1, RATE // 4 + 1) / RATE
    n = int(
        0.9 * top / pitch
    )  # harmonics above fade, so compare what a low-pass below the fade keeps
    closed = (np.cos(p / 2) - np.cos((n + 0.5) * p)) / (2 * np.sin(p / 2) + 1e-30)
    spectra = [np.abs(np.fft.rfft(y))[: int(0.9 * top / 4)] for y in (x, closed)]
    np.testing.assert_allclose(spectra[0] / spectra[0][50], spectra[1] / spectra[1][50], atol=2e-6)


def test_a_gliding_buzz_never_passes_its_top():
    x = buzz(np.geomspace(300, 1500, RATE), RATE, 0.0, top=5000.0)
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    assert spectrum[5100:].sum() < 1e-5 * spectrum.sum()


def test_one_formant_is_the_resonator_scipy_draws():
    impulse = np.zeros(RATE)
    impulse[0] = 1.0
    response = np.abs(np.fft.rfft(mouth(impulse, RATE, ((1000.0, 100.0, 0.5),))))
    r, theta = np.exp(-np.pi * 100 / RATE), 2 * np.pi * 1000 / RATE
    _, drawn = freqz(
        [1.0], [1.0, -2 * r * np.cos(theta), r * r], worN=np.arange(RATE // 2 + 1), fs=RATE
    )
    np.testing.assert_allclose(
        response / response.max(), np.abs(drawn) / np.abs(drawn).max(), atol=1e-6
    )
    assert response.max() == pytest.approx(0.5, rel=0.02)


def test_a_smaller_head_moves_every_formant_up():
    assert [f for f, _, _ in scaled(((500, 80, 1.0), (1500, 90, 0.5)), 1.5)] == [750, 2250]


def test_ordinary_values_come_more_often_than_extremes():
    stage = Stage(np.random.default_rng(0), RATE, 1.0)
    drawn = np.array([stage.draw(2.0, 6.0) for _ in range(8000)])
    assert drawn.min() >= 2.0 and drawn.max() <= 6.0 and np.ptp(drawn) > 3.8
    quarters = np.histogram(drawn, bins=4, range=(2.0, 6.0))[0] / len(drawn)
    np.testing.assert_allclose(
        quarters, [1 / 8, 3 / 8, 3 / 8, 1 / 8], atol=0.02
    )  # the mean of two even draws
    octaves = np.log2([stage.log_draw(100.0, 1600.0) / 100.0 for _ in range(8000)])
    np.testing.assert_allclose(
        np.quantile(octaves, [1 / 8, 1 / 2, 7 / 8]), [1.0, 2.0, 3.0], atol=0.06
    )


def test_calls_keep_an_even_pace_and_say_it():
    named = 0
    for seed in range(40):
        stage = Stage(np.random.default_rng([4, seed]), RATE, 5.12)
        facts = chorus(stage, 0.3, (0.1, 1.2), 7, lambda vary: np.ones(800)).annotations
        gaps = np.diff(facts["onsets"])
        assert ("rate_hz" in facts) == (len(gaps) >= 2)
        if len(gaps) >= 2:
            named += 1
            np.testing.assert_allclose(gaps, 1 / facts["rate_hz"], rtol=1e-9)
    assert named > 10


def test_noise_dice_leave_the_parameters_alone_and_keep_density():
    drawn = []
    for rate in (16000, 48000):
        stage = Stage(np.random.default_rng(3), rate, 2.0)
        hiss = aside(stage)
        noise = air(hiss, 2.0)
        low = np.abs(np.fft.rfft(noise))[: 2 * 4000] ** 2 / rate**2
        drawn.append((stage.draw(0, 1), low.sum()))
    assert drawn[0][0] == drawn[1][0]
    assert drawn[0][1] == pytest.approx(drawn[1][1], rel=0.1)


def test_contour_passes_its_points_and_never_overshoots():
    curve = contour(101, (0, 0), (0.5, 1), (0.6, 1), (1, 0.2))
    assert curve[[0, 50, 60, 100]] == pytest.approx([0, 1, 1, 0.2], abs=1e-9)
    assert curve.min() >= 0 and curve.max() <= 1 + 1e-12


@pytest.mark.parametrize("seconds", [0.6, 1.3, 5.12, 10.24])
def test_calls_fit_and_can_be_counted(seconds):
    counts = set()
    for seed in range(60):
        times = spread(Stage(np.random.default_rng(seed), RATE, seconds), 0.15, (0.08, 0.7), 7)
        counts.add(len(times))
        assert 0.05 <= times[0] <= 0.13 and times[-1] + 0.15 <= seconds
        assert np.all(np.diff(times) >= 0.18)
    assert len(counts) >= (5 if seconds > 5 else 2)


def test_a_steady_series_fills_the_clip_and_says_so():
    times = steady(Stage(np.random.default_rng(0), RATE, 4.0), 2.5, 0.2)
    assert np.diff(times) == pytest.approx(0.4)
    assert 3.4 < times[-1] <= 3.8
    assert regular(times, 2.5)["rate_hz"] == 2.5 and "count" not in regular(times, 2.5)
    assert regular(times[:2], 2.5) == {"onsets": tuple(times[:2]), "count": 2}
    assert regular(times[:5], 4.0)["manner"] == ("rapidly",)


def test_the_middle_of_a_dial_has_no_word():
    assert [worded(share, ("a",), ("b",)) for share in (0.1, 0.5, 0.9)] == [("a",), (), ("b",)]
