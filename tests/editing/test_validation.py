"""Edits and sources that do not fit are errors of one line."""

import json
import re

import numpy as np
import pytest
import soundfile
from clips import RATE

from latentaudio.cli.main import main
from latentaudio.config.edits import InpaintOptions, LoopOptions, VaryOptions
from latentaudio.config.options import GenerationOptions
from latentaudio.errors import UsageError


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("inpaint", {}, "inpaint needs a time range"),
        ("inpaint", {"time_ranges": [(1.0, 0.5)]}, "empty or reversed"),
        ("inpaint", {"time_ranges": [(1.5, 2.5)]}, "goes beyond 2 s"),
        ("inpaint", {"time_ranges": [(-1.0, 0.5)]}, "begins before 0"),
        ("inpaint", {"time_ranges": [(0.2, 0.8), (0.5, 1.0)]}, "write them as one, 0.2:1"),
        ("inpaint", {"time_ranges": [(0.0, 2.0)]}, "the whole source"),
        (
            "inpaint",
            {"time_ranges": [(1.0, 2.0), (0.0, 1.0)], "frequency_ranges": [(0.0, 8000.0)]},
            "the whole source",
        ),
        ("inpaint", {"time_ranges": [(0.5, 0.515)]}, "shorter than 0.02 s"),
        (
            "inpaint",
            {"mask": np.eye(400) > 0, "time_ranges": [(0.5, 1.0)]},
            "a mask excludes time_ranges and frequency_ranges",
        ),
        ("inpaint", {"mask": np.eye(400)[::399] > 0}, "range 0:0.005 is shorter than 0.02 s"),
        ("inpaint", {"mask": np.zeros((4, 4))}, "all black"),
        ("inpaint", {"mask": np.ones((4, 4))}, "all white"),
        (
            "inpaint",
            {"frequency_ranges": [(2000.0, 2050.0)]},
            "narrower than the model resolves; give it at least 1.. Hz",
        ),
        ("inpaint", {"frequency_ranges": [(7000.0, 9000.0)]}, "goes beyond 8000 Hz"),
        ("super_resolve", {"cutoff_hz": 9000.0}, "give more than 0 and less than 8000 Hz"),
        ("extend", {}, "extend needs before or after"),
        ("extend", {"after": 599.5}, "cut it first"),
        ("extend", {"after": 0.00001}, "extend needs before or after"),
        ("vary", {"duration": 3.0}, "leave duration out"),
        ("vary", {"negative_prompt": "rain"}, "need a prompt"),
        ("extend", {"before": -1.0}, "before = -1.0 must be at least 0"),
        ("loop", {"loop_seam": 2.0}, "less than the source"),
        ("loop", {"loop_seam": 0.01}, "less than the source"),
        ("transfer", {"prompt": "a dog", "strength": 1.5}, "strength = 1.5 must be at most 1"),
        ("vary", {"guidance_scale": 3.0}, "need a prompt"),
        (
            "transfer",
            {"prompt": "a dog", "sampler": "distilled"},
            "sampler 'distilled' cannot edit",
        ),
    ],
)
def test_edits_that_do_not_fit(tiny, source, method, options, message):
    with pytest.raises(UsageError, match=message):
        getattr(tiny, method)(source, **options)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((1, RATE), np.float32), "silent"),
        (np.ones((1, 1), np.float32), "lasts"),
        (np.ones((1, 601 * RATE), np.float32), "cut it first"),
        (np.full((1, RATE), np.nan, np.float32), "not finite"),
        (np.ones((1, RATE), np.int16), "silent"),  # one step of 16 bits
        (np.full((1, RATE), 8.8, np.float32), "reduce its level first"),
        (np.ones((RATE, 2), np.float32), r"give \[C, N\]"),
        (np.stack([np.ones(RATE), -np.ones(RATE)]).astype(np.float32), "channels cancel out"),
    ],
)
def test_samples_that_cannot_be_edited(tiny, samples, message):
    with pytest.raises(UsageError, match=message):
        tiny.vary(samples)


def test_streams_raise_for_wrong_edits_before_the_first_clip(tiny, source_file):
    edit = VaryOptions(source_path=str(source_file), strength=0.4)
    for changes, duration, message in (
        ({"source_path": ""}, 2.0, "in-memory array"),
        ({}, 5.0, "does not fit the edit vary"),
        ({"source_sha256": "0" * 64}, 2.0, "has changed"),
    ):
        changed = edit.model_copy(update=changes)
        with pytest.raises(UsageError, match=message):
            tiny.run([GenerationOptions(prompt="", edit=changed, duration=duration)])


def test_fields_of_another_edit_and_damaged_tags():
    with pytest.raises(UsageError, match="before"):
        LoopOptions(loop_seam=1.0, before=1.0)
    with pytest.raises(UsageError, match="'edit' is not valid JSON"):
        GenerationOptions.from_tags({"prompt": "", "edit": "{kind"})


def test_edits_survive_tags():
    edit = InpaintOptions(time_ranges=[(0.5, 1)], frequency_ranges=[(100, 200)])
    request = GenerationOptions(prompt="", edit=edit, seed=1)
    assert GenerationOptions.from_tags(request.to_tags()) == request
    assert json.loads(request.to_tags()["edit"]) == {
        "kind": "inpaint",
        "time_ranges": [[0.5, 1.0]],
        "frequency_ranges": [[100.0, 200.0]],
    }
    with pytest.raises(UsageError, match="prompt is empty"):
        GenerationOptions(prompt="")


@pytest.mark.parametrize(
    ("name", "samples", "rate", "message"),
    [
        ("none.wav", np.zeros(0), RATE, "lasts 0 s; give at least 0.1 s"),
        ("one.wav", np.ones(1), RATE, "lasts 6.25e-05 s; give at least 0.1 s"),
        ("silent.flac", np.zeros(RATE), RATE, "is silent"),
        ("nan.wav", np.r_[np.zeros(99), np.nan, np.ones(RATE)], RATE, "not finite"),
        ("hour.wav", np.ones(360_000), 100, "3600 s; the limit is 600 s"),
        ("loud.wav", np.full(RATE, 9.0), RATE, "reduce its level first"),
        ("corrupt.wav", b"RIFF0000WAVE no", 0, "cannot read .*corrupt.wav as audio"),
        ("empty.wav", b"", 0, "cannot read .*empty.wav as audio"),
    ],
)
def test_unusable_files_are_one_line_and_no_file_is_touched(
    tiny_folder, tmp_path, capsys, name, samples, rate, message
):
    path = tmp_path / name
    out = tmp_path / "out.wav"
    if rate:
        subtype = "PCM_16" if name.endswith("flac") else "FLOAT"
        soundfile.write(path, samples, rate, subtype=subtype)
    else:
        path.write_bytes(samples)
    before = path.read_bytes()
    out.write_bytes(b"an older file")
    flags = ["--model", str(tiny_folder), "--steps", "2", "--precision", "fp32", "-o", str(out)]
    flags += ["--overwrite"]
    assert main(["inpaint", str(path), *flags, "--time", "0.2:0.4"]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert out.read_bytes() == b"an older file"
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([name, "out.wav"])
