"""Pulse trains against closed forms, formants against an FFT, and the timing of calls."""

import numpy as np
import pytest
from scipy.signal import freqz

from procedural_audio.events import (
    breakpoint_curve,
    counted_onsets,
    descriptor,
    noise_context,
    periodic_annotations,
    periodic_onsets,
    repeat_calls,
    white_noise_per_hz,
)
from procedural_audio.sources.formants import formant_filter, pulse_train, scale_formants
from procedural_audio.synth import RenderContext

RATE = 16000


def context(seed, duration, sample_rate=RATE):
    return RenderContext(np.random.default_rng(seed), sample_rate, duration)


def test_pulse_train_without_tilt_is_the_conjugate_dirichlet_kernel():
    pitch, top = 200.0, 7400.0
    x = pulse_train(np.full(RATE // 4, pitch), RATE, 0.0, top_hz=top)
    p = 2 * np.pi * pitch * np.arange(1, RATE // 4 + 1) / RATE
    # Harmonics above 0.9 top fade, so only the spectrum below is compared.
    n = int(0.9 * top / pitch)
    closed_form = (np.cos(p / 2) - np.cos((n + 0.5) * p)) / (2 * np.sin(p / 2) + 1e-30)
    spectra = [np.abs(np.fft.rfft(y))[: int(0.9 * top / 4)] for y in (x, closed_form)]
    np.testing.assert_allclose(spectra[0] / spectra[0][50], spectra[1] / spectra[1][50], atol=2e-6)


def test_a_gliding_pulse_train_has_no_power_above_its_top():
    x = pulse_train(np.geomspace(300, 1500, RATE), RATE, 0.0, top_hz=5000.0)
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    assert spectrum[5100:].sum() < 1e-5 * spectrum.sum()


def test_one_formant_has_the_response_of_a_two_pole_resonator():
    impulse = np.zeros(RATE)
    impulse[0] = 1.0
    response = np.abs(np.fft.rfft(formant_filter(impulse, RATE, ((1000.0, 100.0, 0.5),))))
    r, theta = np.exp(-np.pi * 100 / RATE), 2 * np.pi * 1000 / RATE
    poles = [1.0, -2 * r * np.cos(theta), r * r]
    _, expected = freqz([1.0], poles, worN=np.arange(RATE // 2 + 1), fs=RATE)
    expected = np.abs(expected)
    np.testing.assert_allclose(response / response.max(), expected / expected.max(), atol=1e-6)
    assert response.max() == pytest.approx(0.5, rel=0.02)


def test_a_smaller_head_has_higher_formants():
    formants = scale_formants(((500, 80, 1.0), (1500, 90, 0.5)), 1.5)
    assert [center for center, _, _ in formants] == [750, 2250]


def test_parameters_are_triangular():
    ctx = context(0, 1.0)
    drawn = np.array([ctx.triangular(2.0, 6.0) for _ in range(8000)])
    assert drawn.min() >= 2.0 and drawn.max() <= 6.0 and np.ptp(drawn) > 3.8
    quarters = np.histogram(drawn, bins=4, range=(2.0, 6.0))[0] / len(drawn)
    np.testing.assert_allclose(quarters, [1 / 8, 3 / 8, 3 / 8, 1 / 8], atol=0.02)
    octaves = np.log2([ctx.log_triangular(100.0, 1600.0) / 100.0 for _ in range(8000)])
    quantiles = np.quantile(octaves, [1 / 8, 1 / 2, 7 / 8])
    np.testing.assert_allclose(quantiles, [1.0, 2.0, 3.0], atol=0.06)


def test_calls_are_evenly_spaced_and_their_rate_is_annotated():
    num_with_rate = 0
    for seed in range(40):
        ctx = context([4, seed], 5.12)
        take = repeat_calls(ctx, 0.3, (0.1, 1.2), 7, lambda pitch_factor: np.ones(800))
        gaps = np.diff(take.annotations["onsets"])
        assert ("rate_hz" in take.annotations) == (len(gaps) >= 2)
        if len(gaps) >= 2:
            num_with_rate += 1
            np.testing.assert_allclose(gaps, 1 / take.annotations["rate_hz"], rtol=1e-9)
    assert num_with_rate > 10


def test_noise_draws_do_not_shift_parameters_and_noise_density_is_independent_of_the_rate():
    parameters = []
    low_power = []
    for sample_rate in (16000, 48000):
        ctx = context(3, 2.0, sample_rate)
        noise = white_noise_per_hz(noise_context(ctx), 2.0)
        spectrum = np.abs(np.fft.rfft(noise))[: 2 * 4000] ** 2 / sample_rate**2
        parameters.append(ctx.triangular(0, 1))
        low_power.append(spectrum.sum())
    assert parameters[0] == parameters[1]
    assert low_power[0] == pytest.approx(low_power[1], rel=0.1)


def test_breakpoint_curve_passes_its_points_and_never_overshoots():
    curve = breakpoint_curve(101, (0, 0), (0.5, 1), (0.6, 1), (1, 0.2))
    assert curve[[0, 50, 60, 100]] == pytest.approx([0, 1, 1, 0.2], abs=1e-9)
    assert curve.min() >= 0 and curve.max() <= 1 + 1e-12


@pytest.mark.parametrize("duration", [0.6, 1.3, 5.12, 10.24])
def test_counted_onsets_fit_the_clip_and_can_be_counted(duration):
    counts = set()
    for seed in range(60):
        onsets = counted_onsets(context(seed, duration), 0.15, (0.08, 0.7), 7)
        counts.add(len(onsets))
        assert 0.05 <= onsets[0] <= 0.13 and onsets[-1] + 0.15 <= duration
        assert np.all(np.diff(onsets) >= 0.18)
    assert len(counts) >= (5 if duration > 5 else 2)


def test_a_periodic_series_fills_the_clip_and_its_rate_is_annotated():
    onsets = periodic_onsets(context(0, 4.0), 2.5, 0.2)
    assert np.diff(onsets) == pytest.approx(0.4)
    assert 3.4 < onsets[-1] <= 3.8
    assert periodic_annotations(onsets, 2.5)["rate_hz"] == 2.5
    assert "count" not in periodic_annotations(onsets, 2.5)
    assert periodic_annotations(onsets[:2], 2.5) == {"onsets": tuple(onsets[:2]), "count": 2}
    assert periodic_annotations(onsets[:5], 4.0)["manner"] == ("rapidly",)


def test_the_middle_third_of_a_parameter_has_no_adjective():
    words = [descriptor(amount, ("a",), ("b",)) for amount in (0.1, 0.5, 0.9)]
    assert words == [("a",), (), ("b",)]
