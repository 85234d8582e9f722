"""Captioned folders are checked before anything reads them."""

import json

import numpy as np
import pytest
import soundfile

from latentaudio.data.manifest import read_manifest
from latentaudio.errors import DataError


def folder_with(tmp_path, *lines: str):
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16000)
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_length_and_rate_come_from_the_file_when_the_table_is_silent(tmp_path):
    [clip] = read_manifest(
        folder_with(tmp_path, json.dumps({"file_name": "a.wav", "text": "nothing"}))
    )
    assert (clip.samples, clip.rate, clip.seconds, clip.captions) == (
        1600,
        16000,
        0.1,
        ("nothing",),
    )


def test_several_captions_are_kept_and_other_keys_too(tmp_path):
    record = {
        "file_name": "a.wav",
        "text": "x",
        "captions": ["x", "y"],
        "seconds": 0.1,
        "rate": 16000,
        "mood": "calm",
    }
    line = json.dumps(record)
    [clip] = read_manifest(folder_with(tmp_path, line))
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
        '{"file_name": "a.wav", "captions": "a dog"}',
        '{"file_name": "a.wav", "text": "x", "seconds": null, "rate": 16000}',
        '["a.wav", "x"]',
    ],
)
def test_the_line_that_cannot_be_used_is_named(tmp_path, line):
    with pytest.raises(DataError, match=r"metadata\.jsonl:2"):
        read_manifest(
            folder_with(tmp_path, json.dumps({"file_name": "a.wav", "text": "fine"}), line)
        )


def test_no_table_and_no_clips_are_errors_that_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"metadata\.jsonl"):
        read_manifest(tmp_path)
    with pytest.raises(DataError, match="corpus render"):
        read_manifest(folder_with(tmp_path, ""))
