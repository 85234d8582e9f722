"""Captioned folders are checked before anything reads their audio."""

import json

import numpy as np
import pytest
import soundfile

from latentaudio.data.manifest import read_manifest
from latentaudio.errors import DataError


def write_folder(tmp_path, *lines: str):
    noise = np.random.default_rng(0).normal(scale=0.1, size=1600)
    soundfile.write(tmp_path / "a.wav", noise, 16000)
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_length_and_rate_come_from_the_file_if_the_manifest_has_none(tmp_path):
    line = json.dumps({"file_name": "a.wav", "text": "nothing"})
    [clip] = read_manifest(write_folder(tmp_path, line))
    assert clip.num_samples == 1600
    assert clip.sample_rate == 16000
    assert clip.duration == 0.1
    assert clip.captions == ("nothing",)


def test_several_captions_and_other_keys_are_kept(tmp_path):
    record = {
        "file_name": "a.wav",
        "text": "x",
        "captions": ["x", "y"],
        "seconds": 0.1,
        "rate": 16000,
        "mood": "calm",
    }
    [clip] = read_manifest(write_folder(tmp_path, json.dumps(record)))
    assert clip.captions == ("x", "y")
    assert clip.record["mood"] == "calm"


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"text": "no file"}',
        '{"file_name": "gone.wav", "text": "x", "seconds": 1, "rate": 16000}',
        '{"file_name": "gone.wav", "text": "x"}',
        '{"file_name": "a.wav", "text": null}',
        '{"file_name": "a.wav", "captions": 3}',
        '{"file_name": "a.wav", "text": "x", "seconds": null, "rate": 16000}',
        '["a.wav", "x"]',
        json.dumps({"file_name": "a" * 300, "text": "x", "seconds": 1, "rate": 16000}),
        json.dumps({"file_name": "a\0", "text": "x", "seconds": 1, "rate": 16000}),
    ],
)
def test_a_line_that_cannot_be_used_is_left_out_and_named(tmp_path, line):
    valid = json.dumps({"file_name": "a.wav", "text": "fine"})
    with pytest.warns(UserWarning) as caught:
        [clip] = read_manifest(write_folder(tmp_path, valid, line))
    assert clip.captions == ("fine",)
    [warning] = caught
    assert "left out: " in str(warning.message)
    assert "metadata.jsonl:2" in str(warning.message)


def test_errors_for_no_data_and_no_clips_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"it may be one of these: .*metadata\.jsonl"):
        read_manifest(tmp_path)
    with pytest.raises(DataError, match=r"no folder .*gone; check the name"):
        read_manifest(tmp_path / "gone")
    with pytest.raises(DataError, match="dataset render"):
        read_manifest(write_folder(tmp_path, ""))
