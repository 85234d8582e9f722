"""Operations on sound against closed forms, scipy, and the test signals of ITU-R BS.1770 and EBU Tech 3341."""

import math

import numpy as np
import pytest
from scipy.signal import freqz

from latentaudio.audio import ops
from latentaudio.errors import GenerationError


def tone(hertz: float, rate: int, seconds: float, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )[None]


def spectrum_peak(samples: np.ndarray, rate: int) -> float:
    return float(
        np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples)
    )


@pytest.mark.parametrize(
    ("rate", "target"), [(44100, 16000), (16000, 48000), (48000, 16000), (22050, 16000)]
)
def test_resample_keeps_pitch_level_and_exact_length(rate, target):
    sound = np.concatenate([tone(997, rate, 1.00013), tone(2003, rate, 1.00013)])
    out = ops.resample(sound, rate, target)
    assert out.dtype == np.float32
    assert out.shape == (2, round(sound.shape[1] * target / rate))
    assert [round(spectrum_peak(row, target), -1) for row in out] == [1000, 2000]
    middle = slice(target // 4, target // 2)
    ideal = np.concatenate([tone(997, target, 2), tone(2003, target, 2)])
    np.testing.assert_allclose(out[:, middle], ideal[:, middle], atol=2e-3)
    assert ops.resample(sound[0], rate, target) == pytest.approx(out[0])


def test_resample_removes_what_the_new_rate_cannot_carry():
    assert np.abs(ops.resample(tone(11000, 48000, 1), 48000, 16000)[:, 1000:-1000]).max() < 1e-3


@pytest.mark.parametrize("shape", [(16000,), (2, 16000), (1, 40)])
def test_fades_touch_only_the_edges(shape):
    ones = np.ones(shape, np.float32)
    out = ops.fade_edges(ones, 16000)
    length = min(80, shape[-1] // 2)
    assert out[..., 0].max() == 0
    assert out[..., -1].max() == 0
    assert np.all(np.diff(out[..., : length + 1], axis=-1)[..., : length - 1] > 0)
    assert np.array_equal(out[..., length:-length], ones[..., length:-length])
    assert ones.min() == 1


def test_peak_is_limited_and_never_raised():
    loud, quiet = tone(440, 16000, 0.1, 3.0), tone(440, 16000, 0.1, 0.2)
    assert np.abs(ops.limit_peak(loud)).max() == pytest.approx(0.98, abs=1e-6)
    np.testing.assert_allclose(ops.limit_peak(loud) / 0.98, loud / np.abs(loud).max(), atol=1e-6)
    assert ops.limit_peak(quiet) is quiet


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_full_scale_tone_reads_the_standards_level(rate):
    """BS.1770: a 0 dBFS, 997 Hz sine on one channel reads -3.01 LUFS."""
    assert ops.loudness(tone(997, rate, 3, 1.0), rate) == pytest.approx(-3.01, abs=0.05)


def test_weighting_at_48_khz_is_the_standards_table():
    [(b, a), (hb, ha)] = ops._k_weighting(48000)
    assert b == pytest.approx([1.53512485958697, -2.69169618940638, 1.19839281085285], abs=1e-9)
    assert a == pytest.approx([1.0, -1.69065929318241, 0.73248077421585], abs=1e-9)
    assert hb == [1.0, -2.0, 1.0]
    assert ha == pytest.approx([1.0, -1.99004745483398, 0.99007225036621], abs=1e-9)


def test_weighting_has_the_same_shape_at_16_khz():
    def gain(rate):
        points = [100.0, 500.0, 1000.0, 2000.0, 3000.0]
        return sum(
            20 * np.log10(np.abs(freqz(b, a, points, fs=rate)[1]))
            for b, a in ops._k_weighting(rate)
        )

    assert gain(16000) == pytest.approx(gain(48000), abs=0.5)


def test_gating_ignores_what_is_far_quieter():
    """EBU Tech 3341, case 3 (shortened): -36, -23, -36 dBFS on both channels reads -23 LUFS."""
    parts = [
        tone(1000, 16000, seconds, 10 ** (level / 20))
        for seconds, level in ((4, -36), (24, -23), (4, -36))
    ]
    stereo = np.repeat(np.concatenate(parts, axis=1), 2, axis=0)
    assert ops.loudness(stereo, 16000) == pytest.approx(-23.0, abs=0.1)


def test_loudness_of_silence_and_of_less_than_a_block():
    assert ops.loudness(np.zeros((1, 16000), np.float32), 16000) == -math.inf
    assert ops.loudness(tone(997, 16000, 0.2, 0.1), 16000) == pytest.approx(-23.01, abs=0.3)


def test_to_loudness_reaches_the_target_unless_the_peak_forbids():
    sound = tone(997, 16000, 2, 0.01)
    assert ops.loudness(ops.to_loudness(sound, 16000, -16.0), 16000) == pytest.approx(
        -16.0, abs=0.01
    )
    assert np.abs(ops.to_loudness(sound, 16000, 0.0)).max() == pytest.approx(0.98, abs=1e-6)
    silence = np.zeros((1, 800), np.float32)
    assert np.array_equal(ops.to_loudness(silence, 16000, -16.0), silence)


def test_silence_and_nan_are_errors_and_sound_is_not():
    ops.check_sound(tone(440, 16000, 0.1, 0.001))
    with pytest.raises(GenerationError, match="silence"):
        ops.check_sound(np.full((1, 100), 5e-5, np.float32))
    for bad in (np.nan, np.inf):
        with pytest.raises(GenerationError, match="not finite"):
            ops.check_sound(np.array([[0.5, bad]], np.float32))
