"""What a step sees depends on seed and step alone."""

import numpy as np
import pytest
import soundfile
import torch

from latentaudio.data.dataset import crops, dice, draw, read_crop
from latentaudio.data.manifest import Clip
from latentaudio.errors import DataError


def clip_of(tmp_path, samples: np.ndarray, rate: int = 16000) -> Clip:
    path = tmp_path / f"{rate}_{len(samples)}.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return Clip(path, ("x",), rate, len(samples))


def test_an_epoch_is_every_item_once_whatever_the_batch_size():
    seen = [i for step in range(5) for i in draw(10, 2, seed=3, step=step)]
    assert sorted(seen) == list(range(10))
    assert seen == draw(10, 10, seed=3, step=0)


def test_epochs_and_seeds_differ():
    assert draw(50, 50, 0, 0) != draw(50, 50, 0, 1)
    assert draw(50, 50, 0, 0) != draw(50, 50, 1, 0)


def test_dice_of_one_place_repeat_and_of_another_differ():
    a, b, c = (torch.rand(4, generator=dice(1, *place)) for place in ((2, 3), (2, 3), (3, 2)))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_crop_is_a_piece_of_the_clip(tmp_path):
    ramp = np.linspace(-0.5, 0.5, 4000, dtype=np.float32)
    piece = read_crop(clip_of(tmp_path, ramp), 16000, 1000, dice(0, 1))
    start = int(np.argmin(np.abs(ramp - piece[0])))
    np.testing.assert_array_equal(piece, ramp[start : start + 1000])


def test_a_short_clip_is_padded_and_a_foreign_rate_resampled(tmp_path):
    tone = np.sin(2 * np.pi * 1000 * np.arange(24000) / 48000).astype(np.float32)
    out = read_crop(clip_of(tmp_path, tone, 48000), 16000, 16000, dice(0))
    expected = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16000)
    np.testing.assert_allclose(out[200:7800], expected[200:7800], atol=2e-3)
    assert not out[8000:].any()


def test_crops_are_one_batch(tmp_path):
    clips = [clip_of(tmp_path, np.full(100 + i, 0.1 * i, np.float32)) for i in range(3)]
    assert crops(clips, [2, 0], 16000, 50, dice(0)).shape == (2, 50)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "bad.flac"
    path.write_bytes(b"not sound")
    with pytest.raises(DataError, match=r"bad\.flac"):
        read_crop(Clip(path, ("x",), 16000, 100), 16000, 100, dice(0))


def test_a_rate_that_is_not_the_files_is_named(tmp_path):
    clip = clip_of(tmp_path, np.zeros(1000, np.float32), 48000)
    with pytest.raises(DataError, match="has 48000 Hz, its line says 16000"):
        read_crop(Clip(clip.path, ("x",), 16000, 1000), 16000, 100, dice(0))
