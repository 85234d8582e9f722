"""A rendered folder: the same bytes for any number of workers, readable by strangers' tools, whole or absent."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from latentaudio.errors import DataError, UsageError
from procedural_audio import corpus
from procedural_audio.captions import grammar
from procedural_audio.corpus import render_corpus
from procedural_audio.registry import get_registry

TINY = {
    "hours": 12 / 3600,
    "seconds": (0.64, 1.28),
    "weights": (0.5, 0.5),
    "kinds": ("dog", "rain", "cat"),
}


def content(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(Path(folder).rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "new" / "tiny"
    return folder, render_corpus(folder, **TINY, seed=4, num_workers=1)


def rows(folder):
    return [json.loads(line) for line in (Path(folder) / "metadata.jsonl").read_text().splitlines()]


def test_two_workers_write_the_same_bytes(tiny, tmp_path):
    render_corpus(tmp_path / "two", **TINY, seed=4, num_workers=2)
    assert content(tmp_path / "two") == content(tiny[0])


def test_another_seed_and_another_split_sound_different(tiny, tmp_path):
    sounds = {data for name, data in content(tiny[0]).items() if name.endswith("flac")}
    for name, given in (("seed", {"seed": 5}), ("split", {"seed": 4, "split": "test"})):
        render_corpus(tmp_path / name, **TINY, **given, num_workers=1)
        assert not sounds & set(content(tmp_path / name).values())
    assert {
        grammar.split_of(text) for row in rows(tmp_path / "split") for text in row["captions"]
    } == {"test"}


def test_metadata_tells_the_truth(tiny):
    folder, summary = tiny
    lines = rows(folder)
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.flac"))
    assert [row["file_name"] for row in lines] == files and len(files) == summary.clips
    for index, row in enumerate(lines):
        info = soundfile.info(folder / row["file_name"])
        assert (
            info.samplerate == row["rate"] == 16000
            and info.channels == 1
            and info.frames == round(row["seconds"] * 16000)
        )
        assert row["text"] == row["captions"][0] and len(row["captions"]) == 3
        assert all(grammar.split_of(text) == "train" for text in row["captions"])
        assert row["index"] == index and row["seed"] == 4
        assert row["kinds"] == [event["kind"] for event in row["events"]]
    total = sum(row["seconds"] for row in lines)
    assert TINY["hours"] * 3600 <= total < TINY["hours"] * 3600 + 1.28
    assert summary.hours == pytest.approx(total / 3600) and summary.speed > 0
    about = json.loads((folder / "corpus.json").read_text())
    assert (
        about["kinds"] == list(TINY["kinds"])
        and about["hours"] == TINY["hours"]
        and about["version"] == corpus.VERSION
    )


def test_shares_of_one_sound_and_two_are_those_asked_for(tmp_path):
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
    assert {row["relation"] for row in rows(tmp_path)} == {"then"}
    for shares in ((0.5, 0.5), (0.5, 0.5, 0.5), (1.2, -0.2, 0)):
        with pytest.raises(UsageError, match=r"three from 0 up that add to 1"):
            corpus.Order(hours=1.0, shares=shares)


def test_every_kind_leads_equally_often(tiny):
    order = corpus.Order(hours=1.0, seed=9)
    kinds = list(get_registry().values())
    for turn in range(3):
        leads = [order.lead(kinds, turn * len(kinds) + n).name for n in range(len(kinds))]
        assert sorted(leads) == sorted(get_registry())


def test_wav_and_progress(tmp_path):
    seen = []
    summary = render_corpus(
        tmp_path / "w",
        2 / 3600,
        classes=["dog"],
        file_type="wav",
        num_workers=1,
        progress=lambda *at: seen.append(at),
    )
    assert seen == [(n + 1, summary.clips) for n in range(summary.clips)]
    assert soundfile.info(tmp_path / "w" / rows(tmp_path / "w")[0]["file_name"]).format == "WAV"


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path):
    (tmp_path / "x").mkdir()
    render_corpus(tmp_path / "x", **TINY | {"hours": 1 / 3600}, num_workers=1)
    before = content(tmp_path / "x")
    with pytest.raises(DataError, match="choose another"):
        render_corpus(tmp_path / "x", **TINY, num_workers=1)
    assert content(tmp_path / "x") == before and before


@pytest.mark.parametrize(
    ("problem", "workers"), [(RuntimeError, 1), (KeyboardInterrupt, 1), (KeyboardInterrupt, 2)]
)
def test_an_interrupted_corpus_leaves_nothing(tmp_path, problem, workers):
    def stop(done, total):
        raise problem

    with pytest.raises(problem):
        render_corpus(tmp_path / "x", **TINY, num_workers=workers, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_noticed_before_the_first_clip(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus.shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000))
    with pytest.raises(
        DataError, match=r"needs up to 0.12 GB, 0.00 GB are free: ask for fewer hours"
    ):
        render_corpus(
            tmp_path / "x",
            1.0,
            num_workers=1,
            progress=lambda done, total: pytest.fail("rendered a clip"),
        )
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_parent_is_named(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(DataError, match="choose a folder you may write to"):
        render_corpus(tmp_path / "file" / "corpus", **TINY, num_workers=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hours": 0}, "more than 0"),
        ({"hours": float("nan")}, "more than 0"),
        ({"seed": -1}, "from 0 up"),
        ({"kinds": ("dgo",)}, "did you mean dog"),
        ({"kinds": ()}, "at least one"),
        ({"rate": 4000}, "16000"),
        ({"seconds": (0.1, 1.0)}, "at least 0.6"),
        ({"seconds": (float("nan"), 1.0)}, "at least 0.6"),
        ({"shares": (float("nan"), 0.5, 0.5)}, "three from 0 up"),
        ({"weights": (1.0,)}, "one weight"),
        ({"file_type": "mp3"}, "flac"),
        ({"captions": 0}, "at least 1"),
        ({"split": "dev"}, "train"),
        ({"workers": 0}, "1 or more"),
    ],
)
def test_impossible_orders_are_refused_with_a_way_out(tmp_path, given, words):
    with pytest.raises(UsageError, match=words):
        render_corpus(tmp_path / "x", **TINY | given)
    assert list(tmp_path.iterdir()) == []
