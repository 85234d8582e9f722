"""Each clip is encoded again if anything that it depends on changes, and only then."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from conftest import TINY

from latentaudio.data import file_hashes
from latentaudio.data.file_hashes import FileHashes
from latentaudio.data.manifest import Clip
from latentaudio.data.pre_encoded import INDEX_FILE, PreEncodedDataset
from latentaudio.errors import DataError
from latentaudio.loaders.model_folder import TOKENIZER_FILE, load_component, save_component
from latentaudio.train import pre_encode as pre_encode_module
from latentaudio.train.fingerprints import encoder_fingerprint, row_key
from latentaudio.train.pre_encode import KEYS_FILE, pre_encode
from latentaudio.train.pre_encoder import ClipRow, PreEncoder

RATE = 16000
LENGTHS = (20480, 20480, 20480, 40960, 40960)
NUM_CLIPS = len(LENGTHS)


def write_wav(path, num_samples, seed):
    noise = np.random.default_rng(seed).normal(scale=0.1, size=num_samples)
    soundfile.write(path, noise, RATE, subtype="PCM_16")


def read_lines(data):
    return [json.loads(line) for line in (data / "metadata.jsonl").read_text().splitlines()]


def write_lines(data, lines):
    (data / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def first(tmp_path_factory, tiny_folder):
    """A folder of clips and a run beside it, after the first pre-encoding."""
    root = tmp_path_factory.mktemp("first")
    data = root / "data"
    data.mkdir()
    lines = []
    for index, num_samples in enumerate(LENGTHS):
        write_wav(data / f"{index}.wav", num_samples, index)
        captions = [f"a dog barks {index} times", "rain"][: 1 + index % 2]
        lines.append({"file_name": f"{index}.wav", "text": captions[0], "captions": captions})
    write_lines(data, lines)
    shutil.copytree(tiny_folder, root / "runs" / "run" / "model")
    pre_encode((data,), root / "runs" / "run" / "model", TINY)
    return root


class Bench:
    """A copy of the first state, and the number of clips and sounds that were encoded since."""

    def __init__(self, root):
        self.data = root / "data"
        self.model = root / "runs" / "run" / "model"
        self.config = TINY
        [self.first_folder] = [p.parent for p in root.glob(f"runs/pre_encoded/*/{INDEX_FILE}")]
        self.num_encoded = 0
        self.num_sounds = 0

    def encode(self):
        return pre_encode((self.data,), self.model, self.config)


@pytest.fixture
def bench(first, tmp_path, monkeypatch):
    """A copy of the first state that may be changed."""
    shutil.copytree(first, tmp_path / "copy")
    result = Bench(tmp_path / "copy")
    encode_rows = PreEncoder.encode_rows

    def counted(self, rows, num_frames, sounds):
        result.num_encoded += len(rows)
        result.num_sounds += sounds.count(None)
        return encode_rows(self, rows, num_frames, sounds)

    monkeypatch.setattr(PreEncoder, "encode_rows", counted)
    return result


def replace_sound(bench):
    write_wav(bench.data / "0.wav", LENGTHS[0] - 100, 77)


def replace_sound_by_one_of_the_same_size(bench):
    write_wav(bench.data / "0.wav", LENGTHS[0], 77)


def replace_sound_and_restore_its_time(bench):
    before = (bench.data / "0.wav").stat()
    write_wav(bench.data / "0.wav", LENGTHS[0], 77)
    os.utime(bench.data / "0.wav", ns=(before.st_atime_ns, before.st_mtime_ns))


def trim_sound(bench):
    samples, _ = soundfile.read(bench.data / "3.wav")
    soundfile.write(bench.data / "3.wav", samples[: LENGTHS[0]], RATE, subtype="PCM_16")


def damage_one_sample(bench):
    content = bytearray((bench.data / "3.wav").read_bytes())
    content[-1] ^= 1
    (bench.data / "3.wav").write_bytes(content)


def swap_two_sounds(bench):
    (bench.data / "0.wav").rename(bench.data / "x.wav")
    (bench.data / "1.wav").rename(bench.data / "0.wav")
    (bench.data / "x.wav").rename(bench.data / "1.wav")


def rename_sound(bench):
    (bench.data / "0.wav").rename(bench.data / "other.wav")
    lines = read_lines(bench.data)
    lines[0]["file_name"] = "other.wav"
    write_lines(bench.data, lines)


def touch_sound(bench):
    (bench.data / "0.wav").touch()


def move_folder(bench):
    bench.data = bench.data.rename(bench.data.with_name("elsewhere"))


def change_caption(bench):
    lines = read_lines(bench.data)
    lines[1]["captions"] = ["a dog barks once", "rain"]
    write_lines(bench.data, lines)


def add_transcript(bench):
    lines = read_lines(bench.data)
    lines[1]["transcript"] = "hello"
    write_lines(bench.data, lines)


def change_order(bench):
    write_lines(bench.data, read_lines(bench.data)[::-1])


def add_clip(bench):
    write_wav(bench.data / "new.wav", LENGTHS[0], 99)
    write_lines(bench.data, [{"file_name": "new.wav", "text": "a bell"}, *read_lines(bench.data)])


def remove_clip(bench):
    write_lines(bench.data, read_lines(bench.data)[1:])


def add_caption_to_the_clip_that_has_most(bench):
    lines = read_lines(bench.data)
    lines[1]["captions"] = [*lines[1]["captions"], "a third one"]
    write_lines(bench.data, lines)


def change_weights(component, name):
    def change(bench):
        module = load_component(bench.model, component, TINY)
        with torch.no_grad():
            module.get_parameter(name).add_(0.5)
        save_component(bench.model, component, module.state_dict())

    change.__name__ = f"change_{component}"
    return change


def change_tokenizer(bench):
    content = (bench.model / TOKENIZER_FILE).read_text()
    (bench.model / TOKENIZER_FILE).write_text(content + "\n")


def change_option(bench):
    bench.config = replace(TINY, latent_std=(2.0,))


def change_pooling(bench):
    bench.config = replace(TINY, translator=replace(TINY.translator, time_pool=4))


@pytest.mark.parametrize(
    ("change", "num_encoded"),
    [
        (replace_sound, 1),
        (replace_sound_by_one_of_the_same_size, 1),
        (replace_sound_and_restore_its_time, 1),
        (trim_sound, 1),
        (damage_one_sample, 1),
        (swap_two_sounds, 2),
        (rename_sound, 0),
        (touch_sound, 0),
        (move_folder, 0),
        (change_caption, 1),
        (add_transcript, 1),
        (change_order, 0),
        (add_clip, 1),
        (remove_clip, 0),
        (add_caption_to_the_clip_that_has_most, NUM_CLIPS),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_change_encodes_what_depends_on_it(bench, change, num_encoded):
    change(bench)
    folder = bench.encode()
    assert bench.num_encoded == num_encoded
    if num_encoded == NUM_CLIPS:
        return
    arrays = [bucket.arrays for bucket in PreEncodedDataset(folder).buckets]
    # the same arrays as without any earlier folder
    shutil.rmtree(bench.first_folder.parent)
    assert bench.encode() == folder
    for incremental, bucket in zip(arrays, PreEncodedDataset(folder).buckets, strict=True):
        assert incremental.keys() == bucket.arrays.keys()
        for name, rows in bucket.arrays.items():
            # batches of another size round differently
            torch.testing.assert_close(incremental[name], rows, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize(
    ("change", "is_other"),
    [
        (change_weights("t5", "shared.weight"), True),
        (change_weights("clap", "text_projection.linear1.weight"), True),
        (change_weights("audiomae", "norm.weight"), True),
        (change_weights("vae", "encoder.conv_in.weight"), True),
        (change_weights("vae", "decoder.conv_out.weight"), False),
        (change_weights("translator", "start"), False),
        (change_tokenizer, True),
        (change_option, True),
        (change_pooling, True),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_all_clips_are_encoded_again_if_an_encoder_changes(bench, change, is_other):
    before = encoder_fingerprint(bench.model, bench.config)
    change(bench)
    assert (encoder_fingerprint(bench.model, bench.config) != before) == is_other


def test_other_encoders_use_no_stored_rows(bench):
    change_tokenizer(bench)
    assert bench.encode() != bench.first_folder
    assert bench.num_encoded == NUM_CLIPS


def test_other_captions_of_the_same_sounds_are_encoded_alone(bench):
    """The result equals that of an encoding from nothing, but for the batches of the sounds."""
    lines = read_lines(bench.data)
    for line in lines[1:3]:
        line["captions"] = ["a gong, quite far away"]
    write_lines(bench.data, lines)
    write_wav(bench.data / "0.wav", LENGTHS[0] - 100, 77)
    folder = bench.encode()
    assert (bench.num_encoded, bench.num_sounds) == (3, 1)
    renewed = PreEncodedDataset(folder)
    shutil.rmtree(folder.parent)
    fresh = PreEncodedDataset(bench.encode())
    assert bench.num_sounds == 1 + NUM_CLIPS
    for ours, theirs in zip(renewed.buckets, fresh.buckets, strict=True):
        assert ours.arrays.keys() == theirs.arrays.keys()
        for name, rows in ours.arrays.items():
            torch.testing.assert_close(rows, theirs.arrays[name], atol=2e-3, rtol=2e-3)


def test_the_window_of_a_long_clip_is_a_part_of_its_key(tmp_path):
    clip = Clip(tmp_path / "a.wav", ("a bell",), RATE, 11 * RATE)
    keys = [row_key(ClipRow(clip, clip.captions, start), "0") for start in (0, 1, 1)]
    assert keys[0] != keys[1] == keys[2]


def test_repeats_are_stored_once_and_drawn_as_often(bench):
    lines = read_lines(bench.data)
    lines[1]["repeats"] = 9
    write_lines(bench.data, lines)
    folder = bench.encode()
    assert bench.num_encoded == 0
    dataset = PreEncodedDataset(folder)
    bucket = dataset.buckets[0]
    assert (bucket.num_clips, bucket.num_items, bucket.repeats) == (3, 11, {1: 9})
    clips = bucket.batch_clips(11, seed=0, position=0)
    assert sorted(clips) == [0, *[1] * 9, 2]
    frames = 11 * 128
    lengths = [dataset.batch(0, position, frames)["latent"].shape[2] for position in range(40)]
    assert lengths.count(16) > 20  # 11 of 15 clips, of half the length


@pytest.mark.parametrize("is_older", [True, False])
def test_chunks_of_a_finished_encoding_are_removed_and_others_stay(bench, is_older):
    """A process that is killed after the data set is written leaves its chunks."""
    folder = bench.encode()
    chunks = folder.parent / f".chunks_{json.loads((folder / INDEX_FILE).read_text())['encoder']}"
    chunks.mkdir()
    (chunks / "a.safetensors").write_bytes(b"rows")
    written = (folder / INDEX_FILE).stat().st_mtime + (-1 if is_older else 1)
    os.utime(chunks / "a.safetensors", (written, written))
    assert bench.encode() == folder
    assert chunks.is_dir() != is_older


def test_an_interrupted_encoding_goes_on_where_it_was(bench, monkeypatch):
    """Chunks are files, so that only the one that was interrupted is encoded again."""
    monkeypatch.setattr(pre_encode_module, "SHARD_SIZE", 1)
    shutil.rmtree(bench.first_folder)
    counted = PreEncoder.encode_rows

    def interrupted(self, rows, num_frames, sounds):
        if bench.num_encoded == 3:
            raise KeyboardInterrupt
        return counted(self, rows, num_frames, sounds)

    monkeypatch.setattr(PreEncoder, "encode_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.encode()
    root = bench.first_folder.parent
    assert len(list(root.glob(".chunks_*/*.safetensors"))) == 3
    assert not list(root.glob("[!.]*/"))
    monkeypatch.setattr(PreEncoder, "encode_rows", counted)
    folder = bench.encode()
    assert bench.num_encoded == NUM_CLIPS
    assert not list(root.glob(".chunks_*"))
    arrays = [bucket.arrays for bucket in PreEncodedDataset(folder).buckets]
    shutil.rmtree(folder)
    for resumed, bucket in zip(arrays, PreEncodedDataset(bench.encode()).buckets, strict=True):
        for name, rows in bucket.arrays.items():
            assert torch.equal(resumed[name], rows), name


@pytest.mark.parametrize("file", [INDEX_FILE, KEYS_FILE, "frames_128.safetensors"])
def test_a_damaged_earlier_folder_is_not_used(bench, file):
    replace_sound(bench)
    content = (bench.first_folder / file).read_bytes()
    (bench.first_folder / file).write_bytes(content[: len(content) // 2])
    bench.encode()
    assert bench.num_encoded == NUM_CLIPS


@pytest.fixture
def read_files(monkeypatch):
    """Names of the files whose bytes were hashed."""
    names = []
    sha256_of_file = file_hashes.sha256_of_file

    def recorded(file):
        names.append(file.name)
        return sha256_of_file(file)

    monkeypatch.setattr(file_hashes, "sha256_of_file", recorded)
    return names


def test_a_hash_is_remembered_until_the_size_or_a_time_of_the_file_changes(tmp_path, read_files):
    file = tmp_path / "a.wav"
    file.write_bytes(b"one")
    memory = tmp_path / "hashes.json"

    def checksum():
        hashes = FileHashes(memory, settle_s=-60)
        result = hashes.get(file)
        hashes.save()
        return result

    first = checksum()
    assert checksum() == first
    assert len(read_files) == 1
    times = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert checksum() != first
    memory.write_text("{")
    assert checksum() != first
    assert len(read_files) == 3


def test_a_file_that_has_just_changed_is_read_again(tmp_path, read_files):
    file = tmp_path / "a.wav"
    file.write_bytes(b"one")
    hashes = FileHashes(tmp_path / "hashes.json")
    assert hashes.get(file) == hashes.get(file)
    hashes.save()
    assert len(read_files) == 2
    assert not hashes.path.exists()


def test_a_file_that_is_missing_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match=r"a\.wav .*; replace the file"):
        FileHashes(tmp_path / "hashes.json").get(tmp_path / "a.wav")
