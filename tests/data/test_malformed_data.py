"""Every kind of malformed data is named in one line, left out, and the rest is used."""

import gzip
import io
import json
import os
import struct
import tarfile
import tracemalloc

import numpy as np
import pytest
import soundfile

from latentaudio.cli.main import main
from latentaudio.data.manifest import read_manifest
from latentaudio.data.report import check_dataset

RATE = 16000
NOISE = np.random.default_rng(0).normal(scale=0.1, size=RATE)
GOOD = NOISE[::-1]


def encoded(samples, ending, subtype=None, rate=RATE):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=ending, subtype=subtype)
    return file.getvalue()


def sound(data, caption="a sound", name="bad.wav"):
    """A sound with a caption beside it."""

    def build(folder):
        (folder / name).write_bytes(data() if callable(data) else data)
        if caption is not None:
            text = caption if isinstance(caption, bytes) else caption.encode()
            (folder / name).with_suffix(".txt").write_bytes(text)
        return good_sound(folder)

    return build


def good_sound(folder):
    soundfile.write(folder / "good.wav", GOOD, RATE)
    (folder / "good.txt").write_text("a good sound")
    return folder


def cut(ending, fraction=0.5):
    data = encoded(NOISE, ending)
    return data[: int(len(data) * fraction)]


def with_value(value):
    samples = NOISE.copy()
    samples[500] = value
    return encoded(samples, "WAV", "FLOAT")


def sidecar_json(text):
    def build(folder):
        soundfile.write(folder / "bad.wav", NOISE, RATE)
        (folder / "bad.json").write_text(text)
        return good_sound(folder)

    return build


def table(name, *rows):
    """A table with a good row and others."""

    def build(folder):
        good_sound(folder)
        (folder / "good.txt").unlink()
        soundfile.write(folder / "b.wav", NOISE, RATE)
        good = {"file_name": "good.wav", "text": "a good sound"}
        lines = ["file_name,text", "good.wav,a good sound"]
        if name.endswith("jsonl"):
            lines = [json.dumps(good)]
        (folder / name).write_text("\n".join([*lines, *rows]) + "\n")
        return folder

    return build


def tar_of(*members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


GOOD_MEMBERS = (("0.wav", encoded(GOOD, "WAV")), ("0.txt", b"a good sound"))


def shard(data):
    """A folder with a good tar and another."""

    def build(folder):
        (folder / "a.tar").write_bytes(tar_of(*GOOD_MEMBERS))
        (folder / "b.tar").write_bytes(data)
        return folder

    return build


def cut_shard(folder):
    members = [*GOOD_MEMBERS, ("1.wav", encoded(NOISE, "WAV")), ("1.txt", b"x")]
    data = tar_of(*members)
    (folder / "a.tar").write_bytes(data[: len(data) * 7 // 10])
    return folder


def json_lists(folder, **tables):
    good_sound(folder)
    (folder / "good.txt").unlink()
    for name, content in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def audioldm_list(folder):
    good = {"wav": "good.wav", "caption": "a good sound"}
    return json_lists(folder, train={"data": [good, {"caption": "no wav"}]})


def wavcaps_list(folder):
    good = {"id": "good", "caption": "a good sound"}
    first = {"num_captions_per_audio": 1, "data": [good]}
    return json_lists(folder, a=first, b={"num_captions_per_audio": 1, "data": 3})


def copy_of_good(folder):
    good_sound(folder)
    (folder / "zcopy.wav").write_bytes((folder / "good.wav").read_bytes())
    (folder / "zcopy.txt").write_text("another caption")
    return folder


def missing_link(folder):
    (folder / "bad.wav").symlink_to(folder / "gone.wav")
    (folder / "bad.txt").write_text("x")
    return good_sound(folder)


def three_hours(folder):
    """A sparse file: 3 hours at 1 kHz of which nothing is on the disk."""
    num_bytes = 3 * 3600 * 1000 * 2
    (folder / "bad.wav").write_bytes(wav_header(num_bytes, 1000))
    os.truncate(folder / "bad.wav", 44 + num_bytes)
    (folder / "bad.txt").write_text("x")
    return good_sound(folder)


def wav_header(num_bytes, rate):
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    data = struct.pack("<4sI", b"data", num_bytes)
    return struct.pack("<4sI4s", b"RIFF", num_bytes + 36, b"WAVE") + form + data


ESCAPE = "\N{ESCAPE}[31m"
SILENT = encoded(np.zeros(RATE), "WAV")
DEEP = "[" * 100_000
CASES = {
    "no bytes": (sound(b""), "unreadable"),
    "text called wav": (sound(b"hello, I am a text\n" * 20), "unreadable"),
    "picture called flac": (sound(b"\x89PNG\r\n" * 50, name="bad.flac"), "unreadable"),
    "format that libsndfile lacks": (sound(b"\0\0\0 ftypM4A " * 9, name="bad.m4a"), "unreadable"),
    "rate of 0 Hz": (sound(wav_header(3200, 0) + bytes(3200)), "unreadable"),
    "wav cut in half": (sound(cut("WAV")), "truncated"),
    "flac cut in half": (sound(cut("FLAC"), name="bad.flac"), "truncated"),
    "ogg cut in half": (sound(cut("OGG"), name="bad.ogg"), "truncated"),
    "aiff cut in half": (sound(cut("AIFF"), name="bad.aiff"), "truncated"),
    "w64 cut in half": (sound(cut("W64"), name="bad.w64"), "truncated"),
    "flac cut in its header": (sound(cut("FLAC", 0.001), name="bad.flac"), "unreadable"),
    "header of 3 hours alone": (sound(wav_header(2 * 10800 * RATE, RATE)), "truncated"),
    "3 hours of nothing": (three_hours, "silent"),
    "one NaN": (sound(with_value(np.nan)), "not_finite"),
    "one Inf": (sound(with_value(-np.inf)), "not_finite"),
    "80 dB too loud": (sound(encoded(1e4 * NOISE, "WAV", "FLOAT")), "too_loud"),
    "silent": (sound(SILENT), "silent"),
    "almost silent": (sound(encoded(1e-5 * NOISE, "WAV", "FLOAT")), "silent"),
    "no samples": (sound(encoded(NOISE[:0], "WAV")), "too_short"),
    "10 ms": (sound(encoded(NOISE[:160], "WAV")), "too_short"),
    "clipped": (sound(encoded(np.clip(100 * NOISE, -1, 1), "WAV")), "clipped"),
    "copy of another": (copy_of_good, "duplicated"),
    "link to nowhere": (missing_link, "missing"),
    "no caption": (sound(encoded(NOISE, "WAV"), None), "captionless"),
    "empty caption": (sound(encoded(NOISE, "WAV"), ""), "captionless"),
    "caption of blanks": (sound(encoded(NOISE, "WAV"), " \n\t\n"), "captionless"),
    "caption that drives a terminal": (sound(encoded(NOISE, "WAV"), f"a {ESCAPE} dog"), "caption"),
    "caption with a zero byte": (sound(encoded(NOISE, "WAV"), "a\0b"), "caption"),
    "caption of 100 kB": (sound(encoded(NOISE, "WAV"), "dog " * 25_000), "caption"),
    "caption in latin-1": (sound(encoded(NOISE, "WAV"), b"un \xe9clair"), "description"),
    "json that is a list": (sidecar_json('["a dog"]'), "description"),
    "json that is cut": (sidecar_json('{"caption": "a d'), "description"),
    "json with a number as caption": (sidecar_json('{"caption": 3}'), "description"),
    "json nested too deeply": (sidecar_json(f'{{"caption": {DEEP}'), "description"),
    "json with wrong repeats": (sidecar_json('{"caption": "x", "repeats": -2}'), "description"),
    "json with endless repeats": (sidecar_json('{"caption": "x", "repeats": 1e99}'), "description"),
    "unicode name": (sound(SILENT, name="дверь 🚪 ﷽.wav"), "silent"),
    "name with a new line": (sound(SILENT, name="a\nb.wav"), "silent"),
    "name that drives a terminal": (sound(SILENT, name=f"{ESCAPE}.wav"), "silent"),
    "name that is not UTF-8": (sound(SILENT, name=os.fsdecode(b"\xff.wav")), "silent"),
    "line that is no JSON": (table("metadata.jsonl", '{"file_name": '), "description"),
    "line that is a list": (table("metadata.jsonl", '["b.wav", "x"]'), "description"),
    "line of a missing sound": (
        table("metadata.jsonl", '{"file_name": "gone.wav", "text": "x"}'),
        "missing",
    ),
    "line with another rate": (
        table("metadata.jsonl", '{"file_name":"b.wav","text":"x","rate":8000,"seconds":2}'),
        "description",
    ),
    "line with rate 0": (
        table("metadata.jsonl", '{"file_name":"b.wav","text":"x","rate":0,"seconds":1}'),
        "description",
    ),
    "row without a name": (table("metadata.csv", ",a dog"), "description"),
    "row without a caption": (table("metadata.csv", "b.wav,"), "captionless"),
    "tar cut in half": (cut_shard, "description"),
    "tar that is none": (shard(b"no tar" * 400), "description"),
    "compressed tar": (shard(gzip.compress(tar_of(*GOOD_MEMBERS))), "description"),
    "silent sound in a tar": (shard(tar_of(("9.wav", SILENT), ("9.txt", b"x"))), "silent"),
    "latin-1 in a tar": (
        shard(tar_of(("9.wav", encoded(NOISE, "WAV")), ("9.txt", b"\xe9"))),
        "description",
    ),
    "list of AudioLDM without a name": (audioldm_list, "description"),
    "list of WavCaps of another shape": (wavcaps_list, "description"),
}
NOT_LEFT_OUT = ("clipped",)


@pytest.mark.parametrize("case", CASES)
def test_malformed_data_is_named_in_one_line_and_the_rest_is_used(case, tmp_path, capsys):
    build, kind = CASES[case]
    build(tmp_path)
    tracemalloc.start()
    report = check_dataset(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6, "memory does not grow with a sound"
    assert [problem.kind for problem in report.problems] == [kind]
    num_used = 2 if kind in NOT_LEFT_OUT else 1
    assert report.num_sounds == num_used
    [line] = report.lines()
    assert line.startswith("1 ") and "\n" not in line and len(line) < 500
    with pytest.warns(UserWarning) as caught:
        clips = read_manifest(tmp_path)
    assert ("a good sound",) in [clip.captions for clip in clips]
    assert [str(warning.message) for warning in caught] == [line]
    assert main(["dataset", "check", str(tmp_path), "--strict"]) == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and "\N{ESCAPE}" not in output.out + output.err


def test_there_are_at_least_forty_cases():
    assert len(CASES) >= 40
