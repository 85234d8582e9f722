"""Captions and features from files, in the forms that people have them."""

import json
from pathlib import Path

import numpy as np
import pytest

from latentaudio.errors import DataError, UsageError
from latentaudio.evaluate.clips import find_clips, read_captions, read_subset
from latentaudio.evaluate.feature_files import read_array, read_feature_sets

ROWS = [("a.wav", "a dog"), ("b/c.flac", "light rain, far"), ("a.wav", "a hound")]
EXPECTED = {"a": ("a dog", "a hound"), "b/c": ("light rain, far",)}
AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption\n12,abc.d,30,a dog\n13,abc.d,30,a hound\n"


def test_captions_are_read_in_every_form(tmp_path):
    forms = {
        "x.csv": "file_name,caption\n" + "".join(f'{a},"{b}"\n' for a, b in ROWS),
        "x.tsv": "name\ttext\n" + "".join(f"{a}\t{b}\n" for a, b in ROWS),
        "x.jsonl": "".join(json.dumps({"file": a, "prompt": b}) + "\n" for a, b in ROWS),
        "x.json": json.dumps({"a": ["a dog", "a hound"], "b/c": "light rain, far"}),
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        assert read_captions(tmp_path / name) == EXPECTED, name
    (tmp_path / "clotho.csv").write_text('file_name,caption_1,caption_2\na b.wav,"x, y",z\n')
    assert read_captions(tmp_path / "clotho.csv") == {"a b": ("x, y", "z")}
    (tmp_path / "musiccaps.csv").write_text('ytid,start_s,caption\n-0abc,30,"a band"\n')
    assert read_captions(tmp_path / "musiccaps.csv") == {"-0abc": ("a band",)}
    (tmp_path / "audiocaps.csv").write_text(AUDIOCAPS)
    assert read_captions(tmp_path / "audiocaps.csv") == {"abc.d": ("a dog", "a hound")}


TRAINING_TABLES = {
    "x.jsonl": '{"file_name": "a.wav", "text": "a dog"}\n'
    '{"file_name": "b.wav", "captions": ["rain", "heavy rain"]}\n',
    "excel.csv": '\ufefffile_name;text\na.wav;a dog\nb.wav;"[""rain"", ""heavy rain""]"\n',
    "x.tsv": "File_Name\tcaption_1\tcaption_2\na.wav\ta dog\t\nb.wav\train\theavy rain\n",
    "audioldm.json": '{"data": [{"wav": "a.wav", "caption": "a dog"}, '
    '{"wav": "b.wav", "captions": ["rain", "heavy rain"]}]}',
}


@pytest.mark.parametrize("name", TRAINING_TABLES)
def test_a_table_of_training_data_is_a_list_of_captions(name, tmp_path):
    (tmp_path / name).write_text(TRAINING_TABLES[name], encoding="utf-8")
    assert read_captions(tmp_path / name) == {"a": ("a dog",), "b": ("rain", "heavy rain")}
    assert read_subset(tmp_path / name) == ("a", "b")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", ""),
        ("x.csv", "a,b\n1,2\n"),
        ("x.json", "3"),
        ("x.json", "[3]"),
        ("x.json", '{"a": 3}'),
        ("x.jsonl", "[]\n"),
        ("x.jsonl", "{"),
        ("x.txt", "a dog"),
        ("x.csv", "file_name,caption\n\x00,a\n"),
    ],
)
def test_a_list_without_captions_is_one_line(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    if "\x00" in text:  # as data sets read it; the name then pairs with no clip
        assert read_captions(tmp_path / name) == {"\N{REPLACEMENT CHARACTER}": ("a",)}
        return
    with pytest.raises(DataError, match=name):
        read_captions(tmp_path / name)


def test_arrays_become_sets_whose_rows_are_pairs(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in (("a", (5, 3)), ("b", (5, 3)), ("c", (5, 2)), ("d", (5, 2))):
        arrays[name] = rng.standard_normal(shape).astype(np.float32)
        np.save(tmp_path / f"{name}.npy", arrays[name])
    files = [tmp_path / f"{name}.npy" for name in "abcd"]
    generated, reference = read_feature_sets((files[0], files[1]), (files[2], files[3]))
    assert len(generated) == 5 and list(generated.names) == list(reference.names)
    np.testing.assert_array_equal(generated.points(2, "clips")[0], arrays["a"][2])
    np.testing.assert_array_equal(reference.logits(2), arrays["d"][2])
    with pytest.raises(UsageError, match="same network"):
        read_feature_sets((files[0], files[2]), None)
    np.save(files[3], arrays["d"][:4])
    with pytest.raises(UsageError, match="a row is a clip"):
        read_feature_sets((files[0], files[1]), (files[2], files[3]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((3, 3), int), "decimal numbers"),
        (np.zeros((1, 3)), "two rows"),
        (np.full((3, 3), np.nan), "not finite"),
        (np.array([[{}], [{}]], object), "no .npy file"),
    ],
)
def test_an_array_of_another_kind_is_one_line(value, message, tmp_path):
    np.save(tmp_path / "x.npy", value, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_array(tmp_path / "x.npy")


def test_bytes_that_are_no_array_are_one_line(tmp_path):
    file = tmp_path / "x.npy"
    np.save(file, np.zeros((3, 3)))
    good = file.read_bytes()
    open_bracket = good.replace(b"False, ", b"False,(")
    assert open_bracket != good
    for content in (
        b"",
        open_bracket,
        good[:20],
        good[:-9],
        b"\x93NUMPY\x01\x00" + b"\xff" * 90,
        b"PK\x03\x04",
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.npy"):
            read_array(file)


@pytest.mark.parametrize("row", [b"a.wav,d\xffg", b"\xff.wav,dog"])
def test_a_list_that_is_not_utf_8_is_refused_in_one_line(row, tmp_path):
    path = tmp_path / "captions.csv"
    path.write_bytes(b"file_name,caption\n" + row + b"\n")
    with pytest.raises(DataError, match="bytes that are not UTF-8; save the file as UTF-8"):
        read_captions(path)


def test_a_folder_whose_name_is_too_long_is_missing():
    with pytest.raises(DataError, match="there is no folder"):
        find_clips(Path("a" * 300))
