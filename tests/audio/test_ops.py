"""Operations on samples against closed forms."""

import numpy as np
import pytest

from latentaudio.audio import ops
from latentaudio.errors import GenerationError


def tone(hertz: float, rate: int, duration: float, amplitude: float = 0.5) -> np.ndarray:
    return (
        amplitude * np.sin(2 * np.pi * hertz * np.arange(round(duration * rate)) / rate)
    ).astype(np.float32)[None]


def spectrum_peak(samples: np.ndarray, rate: int) -> float:
    return float(
        np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples)
    )


@pytest.mark.parametrize(
    ("rate", "target"), [(44100, 16000), (16000, 48000), (48000, 16000), (22050, 16000)]
)
def test_resample_preserves_pitch_level_and_length(rate, target):
    sound = np.concatenate([tone(997, rate, 1.00013), tone(2003, rate, 1.00013)])
    out = ops.resample(sound, rate, target)
    assert out.dtype == np.float32
    assert out.shape == (2, round(sound.shape[1] * target / rate))
    assert [round(spectrum_peak(row, target), -1) for row in out] == [1000, 2000]
    middle = slice(target // 4, target // 2)
    ideal = np.concatenate([tone(997, target, 2), tone(2003, target, 2)])
    np.testing.assert_allclose(out[:, middle], ideal[:, middle], atol=2e-3)
    assert ops.resample(sound[0], rate, target) == pytest.approx(out[0])


def test_resample_removes_frequencies_above_the_new_limit():
    assert np.abs(ops.resample(tone(11000, 48000, 1), 48000, 16000)[:, 1000:-1000]).max() < 1e-3


@pytest.mark.parametrize("shape", [(16000,), (2, 16000), (1, 40)])
def test_fades_change_the_edges_only(shape):
    ones = np.ones(shape, np.float32)
    out = ops.fade_edges(ones, 16000)
    length = min(80, shape[-1] // 2)
    assert out[..., 0].max() == 0
    assert out[..., -1].max() == 0
    assert np.all(np.diff(out[..., : length + 1], axis=-1)[..., : length - 1] > 0)
    assert np.array_equal(out[..., length:-length], ones[..., length:-length])
    assert ones.min() == 1


def test_a_peak_is_limited_and_never_raised():
    loud, quiet = tone(440, 16000, 0.1, 3.0), tone(440, 16000, 0.1, 0.2)
    assert np.abs(ops.limit_peak(loud)).max() == pytest.approx(0.98, abs=1e-6)
    np.testing.assert_allclose(ops.limit_peak(loud) / 0.98, loud / np.abs(loud).max(), atol=1e-6)
    assert ops.limit_peak(quiet) is quiet


def test_silence_and_values_that_are_not_finite_are_errors():
    ops.check_audible(tone(440, 16000, 0.1, 0.001))
    with pytest.raises(GenerationError, match="silence"):
        ops.check_audible(np.full((1, 100), 5e-5, np.float32))
    for bad in (np.nan, np.inf):
        with pytest.raises(GenerationError, match="not finite"):
            ops.check_audible(np.array([[0.5, bad]], np.float32))
