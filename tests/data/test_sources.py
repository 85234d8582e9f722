"""Every form of data gives the same clips: two sounds to train on, and one for tests."""

import functools
import http.server
import io
import json
import tarfile
import threading

import numpy as np
import pytest
import soundfile

from latentaudio import fileio
from latentaudio.cli.main import main
from latentaudio.data import remembered
from latentaudio.data.clip import DataSource
from latentaudio.data.dataset import read_window
from latentaudio.data.manifest import manifest_fingerprint, read_manifest
from latentaudio.data.report import check_dataset
from latentaudio.data.sources import SOURCES, tables
from latentaudio.data.sources.webdataset import expand_braces
from latentaudio.errors import DataError

RATE = 16000
NUM_SAMPLES = 3200
SOUNDS = {"dog": "a dog barks", "bell": "a bell rings", "rain": "it rains"}
"""Sounds by name; the last one is for tests in forms with splits."""


def samples_of(name):
    seed = list(SOUNDS).index(name)
    return np.random.default_rng(seed).normal(scale=0.1, size=NUM_SAMPLES).astype(np.float32)


def write_sound(path, name):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(
        path, samples_of(name), RATE, subtype="FLOAT" if path.suffix == ".wav" else None
    )
    return path


def sound_bytes(name, ending="WAV"):
    file = io.BytesIO()
    soundfile.write(file, samples_of(name), RATE, format=ending, subtype="FLOAT")
    return file.getvalue()


def split_of(name):
    return "test" if name == "rain" else "train"


def write_lines(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def metadata_jsonl(folder):
    for name, caption in SOUNDS.items():
        write_sound(folder / "clips" / f"{name}.wav", name)
        row = {"file_name": f"clips/{name}.wav", "text": caption, "split": split_of(name)}
        with (folder / "metadata.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    return folder


def metadata_csv(folder):
    for split in ("train", "test"):
        rows = []
        for name, caption in SOUNDS.items():
            if split_of(name) == split:
                write_sound(folder / split / f"{name}.flac", name)
                rows.append(f'{name}.flac;"{caption}"')
        write_lines(folder / split / "metadata.csv", "\N{BYTE ORDER MARK}file_name;text", *rows)
    return folder


def metadata_parquet(folder):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = []
    for name, caption in SOUNDS.items():
        write_sound(folder / f"{name}.wav", name)
        rows.append({"file_name": f"{name}.wav", "text": caption, "split": split_of(name)})
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "metadata.parquet")
    return folder


def hub_rows(split):
    rows = []
    for name, caption in SOUNDS.items():
        if split_of(name) == split:
            sound = {"bytes": sound_bytes(name), "path": f"{name}.wav"}
            rows.append({"audio": sound, "caption": caption})
    return rows


def parquet_shards(folder):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (folder / "data").mkdir(parents=True)
    for split in ("train", "test"):
        file = folder / "data" / f"{split}-00000-of-00001.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(hub_rows(split)), file)
    return folder


def saved_dataset(folder):
    """The files that `datasets.DatasetDict.save_to_disk` writes."""
    pyarrow = pytest.importorskip("pyarrow")
    splits = ("train", "test")
    write_lines(folder / "dataset_dict.json", json.dumps({"splits": splits}))
    for split in splits:
        table = pyarrow.Table.from_pylist(hub_rows(split))
        name = "data-00000-of-00001.arrow"
        write_lines(
            folder / split / "state.json", json.dumps({"_data_files": [{"filename": name}]})
        )
        write_lines(folder / split / "dataset_info.json", "{}")
        with pyarrow.ipc.new_stream(str(folder / split / name), table.schema) as stream:
            stream.write_table(table)
    return folder


def test_a_folder_of_the_package_datasets_is_read_without_it(tmp_path):
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_list(hub_rows("train"))
    dataset = dataset.cast_column("audio", datasets.Audio(decode=False))
    datasets.DatasetDict({"train": dataset}).save_to_disk(str(tmp_path / "dict"))
    dataset.save_to_disk(str(tmp_path / "one"))
    for name in ("dict", "one"):
        report = check_dataset(tmp_path / name)
        assert report.formats == ("saved_dataset",)
        assert [clip.captions for clip in report.clips] == [("a dog barks",), ("a bell rings",)]


def audioldm(folder):
    lists = {"train": [], "test": []}
    for name, caption in SOUNDS.items():
        write_sound(folder / "audio" / f"{name}.wav", name)
        lists[split_of(name)].append({"wav": f"{name}.wav", "caption": caption, "labels": "/m/1"})
    paths = {}
    for split, data in lists.items():
        write_lines(folder / "lists" / f"{split}.json", json.dumps({"data": data}))
        paths[split] = f"./lists/{split}.json"
    root = {"mine": "./audio", "comments": {}, "metadata": {"path": {"mine": paths}}}
    write_lines(folder / "dataset_root.json", json.dumps(root))
    return folder


def audiocaps(folder):
    header = "audiocap_id,youtube_id,start_time,caption"
    tables = {"train": [], "test": []}
    for number, (name, caption) in enumerate(SOUNDS.items()):
        write_sound(folder / "audio" / f"Y{name}.wav", name)
        tables[split_of(name)].append(f"{number},{name},30,{caption}")
    for split, rows in tables.items():
        write_lines(folder / f"{split}.csv", header, *rows)
    return folder


def clotho(folder):
    header = "file_name," + ",".join(f"caption_{number}" for number in range(1, 6))
    for word, split in (("development", "train"), ("evaluation", "test")):
        rows = []
        for name, caption in SOUNDS.items():
            if split_of(name) == split:
                write_sound(folder / word / f"{name}.wav", name)
                rows.append(f"{name}.wav,{caption},,,,")
        write_lines(folder / f"clotho_captions_{word}.csv", header, *rows)
    return folder


def musiccaps(folder):
    header = "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id"
    rows = []
    for name, caption in SOUNDS.items():
        write_sound(folder / "wavs" / f"[{name}]-[30-40].wav", name)
        is_test = split_of(name) == "test"
        rows.append(f'{name},30,40,"/m/1,/m/2","[""calm""]",{caption},1,False,{is_test}')
    header += ",is_balanced_subset,is_audioset_eval"
    write_lines(folder / "musiccaps-public.csv", header, *rows)
    return folder


def wavcaps(folder):
    for split, stem in (("train", "bbc_final"), ("test", "bbc_test")):
        data = []
        for name, caption in SOUNDS.items():
            if split_of(name) == split:
                write_sound(folder / "BBC" / f"{name}.flac", name)
                data.append({"id": name, "caption": caption, "duration": 0.2})
        content = {"num_captions_per_audio": 1, "data": data}
        write_lines(folder / f"{stem}.json", json.dumps(content))
    (folder / "bbc_final.json").rename(folder / "bbc_train.json")
    return folder


def write_tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def webdataset(folder):
    for split in ("train", "test"):
        members = []
        for name, caption in SOUNDS.items():
            if split_of(name) == split:
                members.append((f"a.b/{name}.wav", sound_bytes(name)))
                members.append((f"a.b/{name}.json", json.dumps({"text": caption}).encode()))
        write_tar(folder / f"{split}-0000.tar", members)
    return folder


def sidecar(folder):
    for name, caption in SOUNDS.items():
        path = write_sound(folder / split_of(name) / f"{name}.wav", name)
        if name == "dog":
            path.with_suffix(".txt").write_text(caption)
        else:
            path.with_suffix(".json").write_text(json.dumps({"caption": caption, "bpm": 90}))
    return folder


def tags(folder):
    for name, caption in SOUNDS.items():
        path = folder / split_of(name) / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(path, "w", RATE, 1) as sound:
            sound.title = caption
            sound.write(samples_of(name))
    return folder


def file_names(folder):
    for name, caption in SOUNDS.items():
        write_sound(folder / split_of(name) / f"{caption.replace(' ', '_')}_01.wav", name)
    return folder


BUILDERS = {
    "metadata.jsonl": metadata_jsonl,
    "metadata.csv": metadata_csv,
    "metadata.parquet": metadata_parquet,
    "saved_dataset": saved_dataset,
    "audioldm": audioldm,
    "audiocaps": audiocaps,
    "clotho": clotho,
    "musiccaps": musiccaps,
    "wavcaps": wavcaps,
    "parquet": parquet_shards,
    "webdataset": webdataset,
    "sidecar": sidecar,
    "tags": tags,
    "names": file_names,
}
NEED_HUB = ("metadata.parquet", "saved_dataset", "parquet")


def test_every_form_is_tested_in_the_order_of_the_table():
    assert list(BUILDERS) == list(SOURCES)


@pytest.mark.parametrize("form", SOURCES)
def test_a_form_gives_its_clips(form, tmp_path, monkeypatch):
    monkeypatch.setenv(fileio.CACHE_VARIABLE, str(tmp_path / "cache"))
    data = BUILDERS[form](tmp_path / "data")
    names = sorted(SOUNDS, key=list(SOUNDS).index)
    report = check_dataset(data)
    assert report.formats == (form,)
    assert not report.problems
    captions = {SOUNDS[name]: name for name in names}
    assert {clip.captions for clip in report.clips} == {(SOUNDS[n],) for n in names[:2]}
    for clip in report.clips:
        name = captions[clip.captions[0]]
        assert (clip.sample_rate, clip.num_samples) == (RATE, NUM_SAMPLES)
        samples = read_window(clip, RATE, NUM_SAMPLES - 5, 5)
        np.testing.assert_allclose(samples, samples_of(name)[5:], atol=1e-4)
    [test_clip] = read_manifest(f"{data}:test")
    assert test_clip.captions == (SOUNDS["rain"],)
    assert len(read_manifest(f"{data}:all")) == 3
    with pytest.raises(DataError, match="no split 'validation'; its splits are: test, train"):
        read_manifest(f"{data}:validation")
    triggered = read_manifest(DataSource(str(data), "bong"))
    assert triggered[0].captions == (f"bong, {report.clips[0].captions[0]}",)
    prints = {manifest_fingerprint(data), manifest_fingerprint(DataSource(str(data), "bong"))}
    assert len(prints) == 2


@pytest.mark.parametrize("form", NEED_HUB)
def test_a_form_that_needs_a_package_names_its_extra(form, tmp_path, monkeypatch):
    def import_nothing(name):
        raise ImportError(name)

    folder = tmp_path / "data"
    folder.mkdir()
    names = {"saved_dataset": "dataset_dict.json", "parquet": "train-00000-of-00001.parquet"}
    (folder / names.get(form, "metadata.parquet")).write_bytes(b"PAR1")
    monkeypatch.setattr("importlib.import_module", import_nothing)
    name = "hf:somebody/sounds" if form == "hf" else str(folder)
    with pytest.raises(DataError, match=r"needs the package \w+; run pip install .*\[hub"):
        read_manifest(name)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("metadata.jsonl", "sidecar", "metadata.jsonl"),
        ("metadata.jsonl", "metadata.csv", "metadata.jsonl"),
        ("sidecar", "names", "sidecar"),
        ("webdataset", "sidecar", "webdataset"),
    ],
)
def test_the_order_of_the_table_decides_between_forms(first, second, expected, tmp_path):
    BUILDERS[first](tmp_path)
    BUILDERS[second](tmp_path)
    assert check_dataset(tmp_path).formats == (expected,)


def test_a_named_table_and_a_named_form_come_before_the_order(tmp_path):
    metadata_jsonl(tmp_path)
    clotho(tmp_path)
    assert check_dataset(tmp_path).formats == ("metadata.jsonl",)
    table = tmp_path / "clotho_captions_development.csv"
    assert check_dataset(table).formats == ("clotho",)
    assert check_dataset(f"names:{tmp_path}:all").formats == ("names",)


def test_folders_and_columns_repeat_sounds(tmp_path):
    write_sound(tmp_path / "2_door" / "dog.wav", "dog")
    write_sound(tmp_path / "007_no" / "bell.wav", "bell")
    report = check_dataset(tmp_path)
    assert (report.num_sounds, len(report.clips)) == (2, 3)
    assert sorted({clip.captions[0] for clip in report.clips}) == ["door, dog", "no, bell"]
    rows = ['{"file_name": "2_door/dog.wav", "text": "x", "repeats": 4}']
    write_lines(tmp_path / "metadata.jsonl", *rows)
    clips = read_manifest(tmp_path)
    assert len(clips) == 4 and len({id(clip) for clip in clips}) == 1


def test_several_captions_come_from_lines_rows_and_columns(tmp_path):
    write_sound(tmp_path / "a" / "dog.wav", "dog").with_suffix(".txt").write_text("one\n\n two \n")
    assert read_manifest(tmp_path / "a")[0].captions == ("one", "two")
    write_sound(tmp_path / "b" / "dog.wav", "dog")
    rows = ["1,dog,30,one", "2,dog,30,two", "3,dog,30,one"]
    write_lines(tmp_path / "b" / "val.csv", "audiocap_id,youtube_id,start_time,caption", *rows)
    assert read_manifest(tmp_path / "b")[0].captions == ("one", "two")


def test_sounds_of_any_rate_format_and_number_of_channels(tmp_path):
    for number, (ending, rate, channels) in enumerate(
        [
            ("wav", 8000, 1),
            ("flac", 44100, 2),
            ("ogg", 48000, 1),
            ("mp3", 22050, 2),
            ("aiff", 96000, 6),
        ]
    ):
        samples = np.random.default_rng(number).normal(scale=0.1, size=(rate, channels))
        soundfile.write(tmp_path / f"sound {'abcde'[number]}.{ending}", samples, rate)
    report = check_dataset(tmp_path)
    assert not report.problems and len(report.clips) == 5
    for clip in report.clips:
        assert clip.duration == pytest.approx(1, rel=0.1)
        assert read_window(clip, 16000, 16000, 0).std() > 0.01


def test_labels_become_captions_as_in_the_training_code_of_audioldm(tmp_path):
    write_sound(tmp_path / "dog.wav", "dog")
    write_lines(tmp_path / "list.json", '{"data": [{"wav": "dog.wav", "labels": "/m/1,/m/2"}]}')
    write_lines(
        tmp_path / "class_labels_indices.csv", "index,mid,display_name", "0,/m/1,Dog", "1,/m/2,Bark"
    )
    assert read_manifest(tmp_path)[0].captions == ("Dog, Bark.",)


def test_braces_stand_for_numbers_and_choices():
    assert expand_braces("s-{008..010}.tar") == ["s-008.tar", "s-009.tar", "s-010.tar"]
    assert expand_braces("{a,b}-{0..1}") == ["a-0", "a-1", "b-0", "b-1"]
    with pytest.raises(DataError, match="too many files"):
        expand_braces("s-{0..99999999}.tar")


def test_tars_of_the_web_are_copied_once(tmp_path, monkeypatch):
    monkeypatch.setenv(fileio.CACHE_VARIABLE, str(tmp_path / "cache"))
    webdataset(tmp_path / "web")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "web")
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/train-{{0000..0000}}.tar"
    try:
        assert len(read_manifest(address)) == 2
    finally:
        server.shutdown()
        server.server_close()
    assert len(read_manifest(address)) == 2  # without the server
    with pytest.raises(DataError, match=r"cannot copy http://127\.0\.0\.1:.*check the address"):
        read_manifest(f"http://127.0.0.1:{server.server_port}/other.tar")


def test_a_tar_is_indexed_once_and_again_if_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv(fileio.CACHE_VARIABLE, str(tmp_path / "cache"))
    webdataset(tmp_path / "data")
    calls = []
    opened = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *a: calls.append(a) or opened(*a))
    first = read_manifest(tmp_path / "data")
    assert read_manifest(tmp_path / "data") == first
    assert len(calls) == 2  # one for each tar
    monkeypatch.undo()
    write_tar(
        tmp_path / "data" / "train-0000.tar", [("x.wav", sound_bytes("bell")), ("x.txt", b"x")]
    )
    monkeypatch.setenv(fileio.CACHE_VARIABLE, str(tmp_path / "cache"))
    assert [clip.captions for clip in read_manifest(tmp_path / "data")] == [("x",)]


def test_a_part_of_a_description_never_names_a_place_of_the_cache(tmp_path):
    data = webdataset(tmp_path / "data")
    before = manifest_fingerprint(data)
    moved = data.rename(tmp_path / "moved")
    assert manifest_fingerprint(moved) == before


def test_a_folder_that_no_reader_knows_names_the_forms(tmp_path, capsys):
    (tmp_path / "x.pdf").write_bytes(b"x")
    assert main(["dataset", "check", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "it may be one of these" in message
    for part in ("metadata.jsonl", "AudioCaps", "hf:owner/name"):
        assert part in message


def test_a_csv_column_may_be_a_list_and_windows_separators_are_read(tmp_path):
    write_sound(tmp_path / "dog.wav", "dog")
    write_lines(tmp_path / "metadata.csv", "file_name\tcaptions", 'dog.wav\t"[""a"", ""b""]"')
    assert read_manifest(tmp_path)[0].captions == ("a", "b")
    assert tables.csv_header(tmp_path / "metadata.csv") == ["file_name", "captions"]


@pytest.mark.parametrize("form", [sidecar, webdataset])
def test_a_cache_that_cannot_be_written_leaves_no_sound_out(form, tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "_MAX_NEW", 1)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(fileio.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    form(tmp_path / "data")
    with pytest.warns(UserWarning, match="the check is not remembered: cannot write"):
        report = check_dataset(tmp_path / "data")
    assert (report.num_sounds, report.problems) == (2, ())
