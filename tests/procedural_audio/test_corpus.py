"""A rendered folder: equal bytes for any number of processes, and complete or absent."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from procedural_audio.captions import grammar
from procedural_audio.corpus import render_corpus
from procedural_audio.errors import OutputError, RenderError
from procedural_audio.registry import get_registry
from procedural_audio.spec import VERSION, CorpusSpec

SMALL = {
    "hours": 12 / 3600,
    "durations": (0.64, 1.28),
    "duration_weights": (0.5, 0.5),
    "classes": ("dog", "rain", "cat"),
}


def read_files(folder):
    """The content of every file by its path."""
    content = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            content[str(path.relative_to(folder))] = path.read_bytes()
    return content


def read_metadata(folder):
    lines = (Path(folder) / "metadata.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "new" / "small"
    return folder, render_corpus(folder, **SMALL, seed=4, num_workers=1)


def test_the_number_of_processes_does_not_change_the_bytes(small_corpus, tmp_path):
    render_corpus(tmp_path / "two", **SMALL, seed=4, num_workers=2)
    assert read_files(tmp_path / "two") == read_files(small_corpus[0])


def test_another_seed_or_split_shares_no_clip(small_corpus, tmp_path):
    files = read_files(small_corpus[0])
    clips = {data for name, data in files.items() if name.endswith("flac")}
    for name, settings in (("seed", {"seed": 5}), ("split", {"seed": 4, "split": "test"})):
        render_corpus(tmp_path / name, **SMALL, **settings, num_workers=1)
        assert not clips & set(read_files(tmp_path / name).values())
    splits = set()
    for row in read_metadata(tmp_path / "split"):
        splits |= {grammar.split_of(text) for text in row["captions"]}
    assert splits == {"test"}


def test_metadata_matches_the_files(small_corpus):
    folder, summary = small_corpus
    rows = read_metadata(folder)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.flac"))
    assert [row["file_name"] for row in rows] == files and len(files) == summary.num_clips
    for index, row in enumerate(rows):
        info = soundfile.info(folder / row["file_name"])
        assert info.samplerate == row["rate"] == 16000
        assert info.channels == 1
        assert info.frames == round(row["seconds"] * 16000)
        assert row["text"] == row["captions"][0] and len(row["captions"]) == 3
        assert all(grammar.split_of(text) == "train" for text in row["captions"])
        assert row["index"] == index and row["seed"] == 4
        assert row["kinds"] == [event["kind"] for event in row["events"]]
    total_s = sum(row["seconds"] for row in rows)
    assert SMALL["hours"] * 3600 <= total_s < SMALL["hours"] * 3600 + 1.28
    assert summary.hours == pytest.approx(total_s / 3600) and summary.speed > 0
    corpus = json.loads((folder / "corpus.json").read_text())
    assert corpus["kinds"] == list(SMALL["classes"])
    assert corpus["hours"] == SMALL["hours"]
    assert corpus["version"] == VERSION


def test_mix_probabilities_set_the_relations(tmp_path):
    render_corpus(
        tmp_path,
        hours=60 / 3600,
        seed=1,
        classes=("dog", "bell"),
        durations=(2.56,),
        duration_weights=(1,),
        mix_probabilities=(0, 1, 0),
        num_workers=1,
    )
    assert {row["relation"] for row in read_metadata(tmp_path)} == {"then"}


@pytest.mark.parametrize("probabilities", [(0.5, 0.5), (0.5, 0.5, 0.5), (1.2, -0.2, 0)])
def test_invalid_mix_probabilities_raise_an_error(probabilities):
    with pytest.raises(RenderError, match=r"three numbers from 0 up that add to 1"):
        CorpusSpec(hours=1.0, mix_probabilities=probabilities)


def test_every_class_is_the_main_class_equally_often():
    spec = CorpusSpec(hours=1.0, seed=9)
    classes = list(get_registry().values())
    for cycle in range(3):
        names = []
        for position in range(len(classes)):
            names.append(spec.main_class(classes, cycle * len(classes) + position).name)
        assert sorted(names) == sorted(get_registry())


def test_wav_files_and_progress(tmp_path):
    calls = []
    folder = tmp_path / "w"
    summary = render_corpus(
        folder,
        2 / 3600,
        classes=["dog"],
        file_type="wav",
        num_workers=1,
        progress=lambda *arguments: calls.append(arguments),
    )
    num_clips = summary.num_clips
    assert calls == [(num_done, num_clips) for num_done in range(1, num_clips + 1)]
    assert soundfile.info(folder / read_metadata(folder)[0]["file_name"]).format == "WAV"


def test_an_empty_folder_is_filled_and_a_full_one_is_an_error(tmp_path):
    (tmp_path / "x").mkdir()
    render_corpus(tmp_path / "x", **SMALL | {"hours": 1 / 3600}, num_workers=1)
    before = read_files(tmp_path / "x")
    with pytest.raises(OutputError, match="choose another"):
        render_corpus(tmp_path / "x", **SMALL, num_workers=1)
    assert read_files(tmp_path / "x") == before and before


@pytest.mark.parametrize(
    ("error", "num_workers"), [(RuntimeError, 1), (KeyboardInterrupt, 1), (KeyboardInterrupt, 2)]
)
def test_an_interrupted_corpus_leaves_nothing(tmp_path, error, num_workers):
    def stop(num_done, num_clips):
        raise error

    with pytest.raises(error):
        render_corpus(tmp_path / "x", **SMALL, num_workers=num_workers, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_processes_are_removed(tmp_path):
    leftover = tmp_path / ".x.4194305.part"  # no process has this number
    leftover.mkdir()
    render_corpus(tmp_path / "x", **SMALL | {"hours": 1 / 3600}, num_workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_is_an_error_before_the_first_clip(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000))
    message = r"needs up to 0.12 GB, 0.00 GB are free: use fewer hours"
    with pytest.raises(OutputError, match=message):
        render_corpus(
            tmp_path / "x",
            1.0,
            num_workers=1,
            progress=lambda num_done, num_clips: pytest.fail("rendered a clip"),
        )
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_parent_is_an_error(tmp_path):
    (tmp_path / "file").write_text("content")
    with pytest.raises(OutputError, match="choose a folder that you may write to"):
        render_corpus(tmp_path / "file" / "corpus", **SMALL, num_workers=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hours": 0}, "above 0"),
        ({"hours": float("nan")}, "above 0"),
        ({"seed": -1}, "from 0 up"),
        ({"classes": ("dgo",)}, "did you mean dog"),
        ({"classes": ()}, "at least one"),
        ({"sample_rate": 4000}, "16000"),
        ({"durations": (0.1, 1.0)}, "at least 0.6"),
        ({"durations": (float("nan"), 1.0)}, "at least 0.6"),
        ({"mix_probabilities": (float("nan"), 0.5, 0.5)}, "three numbers from 0 up"),
        ({"duration_weights": (1.0,)}, "one weight"),
        ({"file_type": "mp3"}, "flac"),
        ({"num_captions": 0}, "at least 1"),
        ({"split": "dev"}, "train"),
        ({"num_workers": 0}, "1 or more"),
    ],
)
def test_invalid_arguments_raise_an_error_that_names_a_valid_value(tmp_path, settings, message):
    with pytest.raises(RenderError, match=message):
        render_corpus(tmp_path / "x", **SMALL | settings)
    assert list(tmp_path.iterdir()) == []
