"""Image of a clip: louder is taller, higher is further up, later is further right."""

import librosa
import numpy as np
import pytest
from PIL import Image

from latentaudio.audio.plot import MEL_HEIGHT, WAVE_HEIGHT, WIDTH, log_mel_of, plot_image, save_plot
from latentaudio.errors import DataError

RATE = 16000


def draw(sound: np.ndarray) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=sound, sr=RATE, n_fft=1024, hop_length=160, n_mels=64, power=1.0
    )
    return np.asarray(
        plot_image(sound, RATE, np.log(np.maximum(mel, 1e-5)).T.astype(np.float32))
    ).astype(int)


def tone(hertz: float, amplitude: float, duration: float = 1.0) -> np.ndarray:
    return (
        amplitude * np.sin(2 * np.pi * hertz * np.arange(round(RATE * duration)) / RATE)
    ).astype(np.float32)


def test_waveform_height_is_the_amplitude():
    page = draw(np.concatenate([tone(440, 0.8), tone(440, 0.2)]))
    is_wave = (page[:WAVE_HEIGHT].sum(axis=2) < 500).sum(axis=0)
    assert is_wave[: WIDTH // 2 - 5].mean() == pytest.approx(0.8 * WAVE_HEIGHT, rel=0.05)
    assert is_wave[WIDTH // 2 + 5 :].mean() == pytest.approx(0.2 * WAVE_HEIGHT, rel=0.1)


def test_spectrogram_runs_up_with_pitch_and_right_with_time():
    page = draw(np.concatenate([tone(300, 0.5), tone(4000, 0.5)]))
    brightness = page[WAVE_HEIGHT : WAVE_HEIGHT + MEL_HEIGHT].sum(axis=2)
    low, high = (
        int(brightness[:, part].mean(axis=1).argmax()) for part in (slice(50, 450), slice(550, 950))
    )
    bands = librosa.mel_frequencies(66, fmin=0, fmax=8000)[1:-1]
    for row, hertz in ((low, 300), (high, 4000)):
        expected = MEL_HEIGHT * (1 - (np.abs(bands - hertz).argmin() + 0.5) / 64)
        assert row == pytest.approx(expected, abs=5)


def test_the_time_axis_has_ticks():
    page = draw(tone(440, 0.5, 2.0))
    marks = np.flatnonzero(page[WAVE_HEIGHT + MEL_HEIGHT + 2].sum(axis=1) < 500)
    assert marks.tolist() == pytest.approx(np.arange(0, 2.0, 0.2) / 2.0 * WIDTH, abs=1)


@pytest.mark.parametrize("samples", [1, 300, RATE])
def test_the_spectrogram_is_computed_if_none_is_given(samples):
    assert plot_image(np.zeros((2, samples), np.float32), RATE).size[0] == WIDTH
    assert log_mel_of(tone(440, 0.5), RATE).shape == (100, 64)


@pytest.mark.parametrize("samples", [1, 300, RATE])
def test_any_length_and_silence_are_drawn(samples):
    mel = np.full((max(1, samples // 160), 64), np.log(1e-5), np.float32)
    assert plot_image(np.zeros((2, samples), np.float32), RATE, mel).size[0] == WIDTH


def test_saved_file_is_the_image_as_png(tmp_path):
    mel = np.random.default_rng(0).normal(size=(100, 64)).astype(np.float32)
    path = save_plot(tmp_path / "clip.png", tone(440, 0.5), RATE, mel)
    with Image.open(path) as found:
        assert found.format == "PNG"
        assert np.array_equal(np.asarray(found), np.asarray(plot_image(tone(440, 0.5), RATE, mel)))
    with pytest.raises(DataError, match="no folder"):
        save_plot(tmp_path / "gone" / "clip.png", tone(440, 0.5), RATE, mel)
