"""Rows of pre-encoded data: windows of long clips, repeats, lengths that hold whole tokens."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import TINY

from latentaudio.data.clip import Clip
from latentaudio.data.file_hashes import FileHashes
from latentaudio.data.pre_encoded import Bucket
from latentaudio.train.encode_plan import (
    bucket_by_length,
    frame_step,
    plan_rows,
    window_frames,
    window_starts,
)
from latentaudio.train.stored_rows import StoredRows

RATE = 48000
WINDOW = 1024 * 160 * 3  # samples of 10.24 s at this rate


def clip_of(num_samples, captions=("x",)):
    return Clip(Path("a.wav"), captions, RATE, num_samples)


@pytest.mark.parametrize(
    ("num_samples", "starts"),
    [
        (RATE, [0]),
        (WINDOW, [0]),
        (WINDOW + WINDOW // 11, [0]),  # the rest is under a tenth of a window
        (WINDOW + WINDOW // 9, [0, WINDOW // 9]),
        (2 * WINDOW, [0, WINDOW]),
        (2 * WINDOW + WINDOW // 2, [0, WINDOW, WINDOW + WINDOW // 2]),
        (95 * RATE, [*range(0, 8 * WINDOW + 1, WINDOW), 95 * RATE - WINDOW]),
    ],
)
def test_windows_follow_each_other_and_the_last_ends_with_the_clip(num_samples, starts):
    assert window_starts(clip_of(num_samples), TINY) == starts


def test_all_windows_are_rows_and_repeats_are_not(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(10), RATE)
    short = Clip(path, ("a", "b"), RATE, RATE)
    long = Clip(path, ("c",), RATE, 3 * WINDOW)
    clips = [short, short, short, long]
    buckets = plan_rows(clips, TINY, FileHashes(tmp_path / "hashes.json"))
    rows = {
        num_frames: [(r.start, r.repeats, r.captions) for r in rows] for num_frames, rows in buckets
    }
    assert rows == {
        128: [(0, 3, ("a", "b"))],
        1024: [(start, 1, ("c", "c")) for start in (0, WINDOW, 2 * WINDOW)],
    }
    assert len({row.key for _, members in buckets for row in members}) == 4
    by_length = bucket_by_length(clips, TINY)
    assert by_length == {128: [short], 1024: [long, long, long]}


@pytest.mark.parametrize(
    ("time_pool", "step", "window"),
    [(1, 128, 1024), (2, 128, 1024), (8, 128, 1024), (16, 256, 1024), (3, 384, 768)],
)
def test_every_length_holds_whole_tokens_of_the_language_of_audio(time_pool, step, window):
    config = replace(TINY, translator=replace(TINY.translator, time_pool=time_pool))
    assert frame_step(config) == step
    assert window_frames(config) == window
    for seconds in (0.3, 1.28, 5, 11):
        for num_frames in bucket_by_length([clip_of(round(seconds * RATE))], config):
            assert num_frames % (config.audiomae.patch_size * time_pool) == 0
    assert frame_step(replace(config, translator=None, audiomae=None)) == 128


def test_stored_rows_are_found_by_key_and_the_newest_is_taken():
    keys = [f"{number:032x}" for number in (7, 3, 5)]
    first, second = (Bucket(128, 3, {}) for _ in range(2))
    rows = StoredRows()
    assert keys[0] not in rows
    rows.add(first, keys, Path("a"))
    rows.add(second, keys[1:], Path("b"))
    found = [rows[key] for key in keys]
    assert [bucket is second for bucket, _ in found] == [False, True, True]
    assert [index for _, index in found] == [0, 0, 1]
    assert sorted(rows) == sorted(keys)
    assert len(rows) == 3
    for number in (0, 4, 9):
        assert f"{number:032x}" not in rows


def test_a_stored_sound_is_found_whatever_its_words_are():
    sounds = [f"{number:016x}" for number in (7, 3)]
    rows = StoredRows()
    rows.add(Bucket(128, 2, {}), [sound + 16 * "e" for sound in sounds], Path("a"))
    assert rows.sound(sounds[1] + 16 * "0") == (Path("a"), 128, 1)
    assert rows.sound(sounds[0] + 16 * "f") == (Path("a"), 128, 0)
    for number in (0, 5, 9):
        assert rows.sound(f"{number:016x}" + 16 * "e") is None
