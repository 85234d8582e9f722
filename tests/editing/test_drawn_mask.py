"""Drawn masks: white pixels select times and frequencies on librosa's mel scale."""

import librosa
import numpy as np
import pytest
from PIL import Image

from latentaudio.audio.ops import stft_filter
from latentaudio.editing import drawn_mask
from latentaudio.errors import DataError, UsageError

RATE = 16000
MASK = np.zeros((64, 100), bool)
MASK[16:32, 30:50] = True  # from a half to three quarters of the height


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "LA", "P", "I;16"])
def test_image_modes_give_the_same_mask(tmp_path, mode):
    white, black = (255, 0) if mode == "1" else (200, 40)
    image = Image.fromarray(np.where(MASK, white, black).astype(np.uint8)).convert(mode)
    if mode == "I;16":
        image = Image.fromarray(np.where(MASK, 60000, 900).astype(np.uint16))
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(drawn_mask.load_mask(str(tmp_path / "mask.png")), MASK)


def test_transparent_pixels_are_black(tmp_path):
    layer = np.full((*MASK.shape, 4), 255, np.uint8)
    layer[..., 3] = np.where(MASK, 255, 0)
    Image.fromarray(layer).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(drawn_mask.load_mask(str(tmp_path / "mask.png")), MASK)


@pytest.mark.parametrize(
    "mask", [MASK, MASK * np.uint8(255), MASK * 0.9, (MASK * 0.5).astype(np.float32)]
)
def test_arrays_survive_the_way_to_a_string_and_back(mask):
    loaded = drawn_mask.load_mask(drawn_mask.mask_to_string(mask))
    np.testing.assert_array_equal(loaded, MASK)
    assert drawn_mask.sha256_of_mask(MASK) == drawn_mask.sha256_of_mask(loaded)
    assert drawn_mask.sha256_of_mask(MASK) != drawn_mask.sha256_of_mask(MASK.T)


def test_rows_lie_on_librosas_mel_scale():
    [(start, end)] = drawn_mask.time_ranges(MASK, 10.0)
    assert (start, end) == pytest.approx((3.0, 5.0))
    low, high = librosa.mel_to_hz(np.array([0.5, 0.75]) * librosa.hz_to_mel(8000.0))
    gains = drawn_mask.stft_gains(MASK, 8000.0, RATE)
    hertz = np.linspace(0, RATE / 2, 1025)
    assert gains.shape == (100, 1025)
    assert (gains == gains[40]).all()
    assert not gains[40, (hertz < low) | (hertz > high)].any()
    assert (gains[40, (hertz > low + 50) & (hertz < high - 50)] == 1).all()


def test_gains_follow_the_mask_over_time():
    mask = np.zeros((64, 10), bool)
    mask[32:, 2:5] = True  # the lower half, then the upper one
    mask[:32, 5:8] = True
    border = librosa.mel_to_hz(librosa.hz_to_mel(8000.0) / 2)
    noise = np.random.default_rng(0).standard_normal((1, 10 * RATE)).astype(np.float32)
    filtered = stft_filter(noise, drawn_mask.stft_gains(mask, 8000.0, RATE))[0]
    for start, is_low in ((2, True), (5, False)):
        part = filtered[start * RATE + 1024 : (start + 3) * RATE - 1024]
        level = np.abs(np.fft.rfft(part * np.hanning(len(part))))
        hertz = np.fft.rfftfreq(len(part), 1 / RATE)
        inside = hertz < border if is_low else hertz > border
        outside = hertz > border if is_low else hertz < border
        assert level[outside].max() < 1e-3 * level[inside].max()


def test_latent_cells_are_those_that_touch_white_pixels():
    times = np.stack([np.arange(0, 10, 0.5), np.arange(0, 10, 0.5) + 0.5])
    edges = librosa.mel_to_hz(np.linspace(0, librosa.hz_to_mel(8000.0), 9))
    hertz = np.stack([edges[:-1] + 1e-3, edges[1:] - 1e-3])
    expected = np.zeros((20, 8), bool)
    expected[6:10, 4:6] = True
    cells = drawn_mask.latent_cells(MASK, times, hertz, 10.0, 8000.0)
    np.testing.assert_array_equal(cells, expected)


@pytest.mark.parametrize(("color", "gray"), [("black", 0), ("white", 255)])
def test_a_mask_of_one_color_is_an_error(tmp_path, color, gray):
    path = tmp_path / f"{color}.png"
    Image.new("L", (20, 10), gray).save(path)
    with pytest.raises(UsageError, match=f"all {color}"):
        drawn_mask.load_mask(str(path))


def test_unreadable_images_are_errors_of_one_line(tmp_path):
    Image.new("1", (5000, 5000)).save(tmp_path / "huge.png")
    Image.fromarray(np.random.default_rng(0).random((64, 64)) > 0.5).save(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:300])
    (tmp_path / "text.png").write_text("no image")
    data = bytearray((tmp_path / "huge.png").read_bytes())
    data[data.index(b"IHDR") + 7] = 16  # 16 pixels wide
    data[data.index(b"IDAT") - 4] = 127  # 2 GB of pixels are announced
    (tmp_path / "longer.png").write_bytes(data)
    for name, message in (
        ("huge", "5000 x 5000 pixels"),
        ("half", "as an image"),
        ("longer", "as an image"),
        ("text", "as an image"),
        ("gone", "gone.png"),
    ):
        with pytest.raises((DataError, UsageError), match=message) as error:
            drawn_mask.load_mask(str(tmp_path / f"{name}.png"))
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="cannot read the mask as an image"):
        drawn_mask.load_mask("data:image/png;base64,AAAA")
    with pytest.raises(UsageError, match=r"give \[rows, columns\]"):
        drawn_mask.mask_to_string(np.zeros((3, 4, 5)))
