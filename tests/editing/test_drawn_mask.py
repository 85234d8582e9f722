"""Drawn masks: what is white is where librosa's mel scale says, whatever the picture's kind, and nonsense is one line."""

import librosa
import numpy as np
import pytest
from PIL import Image

from latentaudio.audio.ops import stft_filter
from latentaudio.editing import drawn_mask
from latentaudio.errors import DataError, UsageError

RATE = 16000
DRAWN = np.zeros((64, 100), bool)
DRAWN[16:32, 30:50] = True  # from a half to three quarters of the height


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "LA", "P", "I;16"])
def test_pictures_of_every_kind_say_the_same(tmp_path, mode):
    grey = Image.fromarray(
        np.where(DRAWN, *((255, 0) if mode == "1" else (200, 40))).astype(np.uint8)
    )
    picture = (
        Image.fromarray(np.where(DRAWN, 60000, 900).astype(np.uint16))
        if mode == "I;16"
        else grey.convert(mode)
    )
    picture.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(drawn_mask.pixels(str(tmp_path / "mask.png")), DRAWN)


def test_white_on_nothing_is_white(tmp_path):
    layer = np.full((*DRAWN.shape, 4), 255, np.uint8)
    layer[..., 3] = np.where(DRAWN, 255, 0)
    Image.fromarray(layer).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(drawn_mask.pixels(str(tmp_path / "mask.png")), DRAWN)


@pytest.mark.parametrize(
    "mask", [DRAWN, DRAWN * np.uint8(255), DRAWN * 0.9, (DRAWN * 0.5).astype(np.float32)]
)
def test_arrays_travel_by_name(mask):
    np.testing.assert_array_equal(drawn_mask.pixels(drawn_mask.named(mask)), DRAWN)
    assert (
        drawn_mask.checksum(DRAWN)
        == drawn_mask.checksum(drawn_mask.pixels(drawn_mask.named(mask)))
        != drawn_mask.checksum(DRAWN.T)
    )


def test_what_is_drawn_lies_on_librosas_mel_scale():
    [(first, last)] = drawn_mask.spans(DRAWN, 10.0)
    assert (first, last) == pytest.approx((3.0, 5.0))
    low, high = librosa.mel_to_hz(np.array([0.5, 0.75]) * librosa.hz_to_mel(8000.0))
    gains, hertz = drawn_mask.gains(DRAWN, 8000.0, RATE), np.linspace(0, RATE / 2, 1025)
    assert gains.shape == (100, 1025) and (gains == gains[40]).all()
    assert (
        not gains[40, (hertz < low) | (hertz > high)].any()
        and (gains[40, (hertz > low + 50) & (hertz < high - 50)] == 1).all()
    )


def test_shapes_follow_the_picture_through_the_sound():
    drawn = np.zeros((64, 10), bool)
    drawn[32:, 2:5] = drawn[:32, 5:8] = True  # the lower half, then the upper one
    border = librosa.mel_to_hz(librosa.hz_to_mel(8000.0) / 2)
    noise = np.random.default_rng(0).standard_normal((1, 10 * RATE)).astype(np.float32)
    made = stft_filter(noise, drawn_mask.gains(drawn, 8000.0, RATE))[0]
    for part, low in (
        (made[2 * RATE + 1024 : 5 * RATE - 1024], True),
        (made[5 * RATE + 1024 : 8 * RATE - 1024], False),
    ):
        level = np.abs(np.fft.rfft(part * np.hanning(len(part))))
        hertz = np.fft.rfftfreq(len(part), 1 / RATE)
        inside, outside = (
            (hertz < border, hertz > border) if low else (hertz > border, hertz < border)
        )
        assert level[outside].max() < 1e-3 * level[inside].max()


def test_cells_that_white_touches():
    times = np.stack([np.arange(0, 10, 0.5), np.arange(0, 10, 0.5) + 0.5])
    edges = librosa.mel_to_hz(np.linspace(0, librosa.hz_to_mel(8000.0), 9))
    cells = drawn_mask.touched(
        DRAWN, times, np.stack([edges[:-1] + 1e-3, edges[1:] - 1e-3]), 10.0, 8000.0
    )
    wanted = np.zeros((20, 8), bool)
    wanted[6:10, 4:6] = True
    np.testing.assert_array_equal(cells, wanted)


def test_pictures_that_say_nothing(tmp_path):
    for name, grey, complaint in (("black", 0, "all black"), ("white", 255, "all white")):
        Image.new("L", (20, 10), grey).save(tmp_path / f"{name}.png")
        with pytest.raises(UsageError, match=complaint):
            drawn_mask.pixels(str(tmp_path / f"{name}.png"))
    Image.new("1", (5000, 5000)).save(tmp_path / "huge.png")
    Image.fromarray(np.random.default_rng(0).random((64, 64)) > 0.5).save(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:300])
    (tmp_path / "words.png").write_text("no picture")
    for name, complaint in (
        ("huge", "5000 x 5000 pixels"),
        ("half", "as a picture"),
        ("words", "as a picture"),
        ("gone", "gone.png"),
    ):
        with pytest.raises((DataError, UsageError), match=complaint) as refusal:
            drawn_mask.pixels(str(tmp_path / f"{name}.png"))
        assert "\n" not in str(refusal.value)
    with pytest.raises(DataError, match="cannot read the mask as a picture"):
        drawn_mask.pixels("data:image/png;base64,AAAA")
    with pytest.raises(UsageError, match=r"give \[rows, columns\]"):
        drawn_mask.named(np.zeros((3, 4, 5)))
