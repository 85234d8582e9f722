"""The crops of a step depend on seed and step alone."""

import numpy as np
import pytest
import soundfile
import torch

from latentaudio.config.streams import Stream
from latentaudio.data.dataset import batch_indices, read_crop, read_crops, seeded_generator
from latentaudio.data.manifest import Clip
from latentaudio.errors import DataError


def write_clip(tmp_path, samples: np.ndarray, sample_rate: int = 16000) -> Clip:
    path = tmp_path / f"{sample_rate}_{len(samples)}.wav"
    soundfile.write(path, samples, sample_rate, subtype="FLOAT")
    return Clip(path, ("x",), sample_rate, len(samples))


def test_an_epoch_has_every_item_once_for_any_batch_size():
    indices = []
    for step in range(5):
        indices += batch_indices(10, 2, seed=3, step=step)
    assert sorted(indices) == list(range(10))
    assert indices == batch_indices(10, 10, seed=3, step=0)


def test_epochs_and_seeds_differ():
    assert batch_indices(50, 50, 0, 0) != batch_indices(50, 50, 0, 1)
    assert batch_indices(50, 50, 0, 0) != batch_indices(50, 50, 1, 0)


def test_generators_of_one_key_repeat_and_of_another_differ():
    first = torch.rand(4, generator=seeded_generator(1, 2, 3))
    repeated = torch.rand(4, generator=seeded_generator(1, 2, 3))
    other = torch.rand(4, generator=seeded_generator(1, 3, 2))
    assert torch.equal(first, repeated)
    assert not torch.equal(first, other)


def test_a_stream_is_the_same_key_as_its_number():
    named = torch.rand(4, generator=seeded_generator(1, Stream.CLAP_CLIPS, 3))
    assert torch.equal(named, torch.rand(4, generator=seeded_generator(1, 4, 3)))


def test_streams_have_different_numbers():
    assert len(set(Stream)) == len(Stream.__members__)


def test_a_crop_is_a_contiguous_part_of_the_clip(tmp_path):
    ramp = np.linspace(-0.5, 0.5, 4000, dtype=np.float32)
    crop = read_crop(write_clip(tmp_path, ramp), 16000, 1000, seeded_generator(0, 1))
    start = int(np.argmin(np.abs(ramp - crop[0])))
    np.testing.assert_array_equal(crop, ramp[start : start + 1000])


def test_a_short_clip_is_padded_and_another_sample_rate_resampled(tmp_path):
    tone = np.sin(2 * np.pi * 1000 * np.arange(24000) / 48000).astype(np.float32)
    crop = read_crop(write_clip(tmp_path, tone, 48000), 16000, 16000, seeded_generator(0))
    expected = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16000)
    np.testing.assert_allclose(crop[200:7800], expected[200:7800], atol=2e-3)
    assert not crop[8000:].any()


def test_crops_form_one_batch(tmp_path):
    clips = [write_clip(tmp_path, np.full(100 + i, 0.1 * i, np.float32)) for i in range(3)]
    assert read_crops(clips, [2, 0], 16000, 50, seeded_generator(0)).shape == (2, 50)


def test_the_error_for_a_damaged_file_names_it(tmp_path):
    path = tmp_path / "bad.flac"
    path.write_bytes(b"not sound")
    with pytest.raises(DataError, match=r"bad\.flac"):
        read_crop(Clip(path, ("x",), 16000, 100), 16000, 100, seeded_generator(0))


def test_a_sample_rate_that_differs_from_the_file_is_an_error(tmp_path):
    clip = write_clip(tmp_path, np.zeros(1000, np.float32), 48000)
    with pytest.raises(DataError, match="has 48000 Hz but the manifest has 16000"):
        read_crop(Clip(clip.path, ("x",), 16000, 1000), 16000, 100, seeded_generator(0))
