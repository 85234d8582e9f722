"""The page of several results, classes and maps of clips, and subsets."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_backbone import TinyBackbone, spec_of

from latentaudio.audio.io import write
from latentaudio.cli.main import main
from latentaudio.errors import DataError, UsageError
from latentaudio.evaluate import backbones
from latentaudio.evaluate.clips import find_clips, read_subset, select_clips, short_names
from latentaudio.evaluate.embeddings_cache import EmbeddingsCache
from latentaudio.evaluate.features import feature_set
from latentaudio.evaluate.html_charts import OTHERS, bar_chart, frequent_classes, means_by_class
from latentaudio.evaluate.html_report import render_page
from latentaudio.evaluate.overview import classes_by_folder, map_embeddings
from latentaudio.evaluate.protocols import PROTOCOLS
from latentaudio.evaluate.request import Request
from latentaudio.evaluate.run import evaluate_folders
from latentaudio.evaluate.subset_lists import SUBSETS

RATE = 8000
PROTOCOL = replace(PROTOCOLS["recommended"], backbones=("tiny",), metrics=("frechet", "kl", "lsd"))
CLIPS = ("dog/1", "dog/2", "rain/1", "rain/2", "rain/3")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two models and a reference, with subfolders as classes."""
    backbone = TinyBackbone("tiny")
    backbone.labels = ["low", "middle", "high", "hiss"]
    monkeypatch.setattr(backbones, "BACKBONES", {"tiny": spec_of(backbone, has_classes=True)})
    rng = np.random.default_rng(0)
    for model in ("first", "second", "real"):
        for name in CLIPS:
            path = tmp_path / model / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            samples = 0.1 * rng.standard_normal((1, 2400)).astype(np.float32)
            write(path, samples, RATE, {"prompt": f"<i>{name}</i>"})
    return tmp_path


def result_of(folders, model, **settings):
    protocol = settings.pop("protocol", PROTOCOL)
    request = Request(folders / model, protocol, folders / "real", num_workers=1, **settings)
    with EmbeddingsCache(None) as cache:
        return evaluate_folders(request, cache)


def test_several_models_stand_side_by_side(folders):
    results = [result_of(folders, model) for model in ("first", "second")]
    page = render_page(results)
    assert "Evaluation of first, second" in page
    assert page.count("<audio controls") == 15  # both models and the reference
    assert page.count("data:image/png;base64,") == 15
    assert len(re.findall(r"<circle", page)) == 15
    assert "first, dog" in page and "second, rain" in page  # tips of bars
    assert "come from the subfolders" in page
    assert page.count("latentaudio evaluate --generated") == 2
    assert "http:" not in page and "https:" not in page and "<script" not in page
    assert "&lt;i&gt;dog/1&lt;/i&gt;" in page and "<i>dog" not in page  # a prompt is no HTML
    for title in ("By class", "Map of the clips", "Levels", "Numbers"):
        assert f"<h2>{title}</h2>" in page
    assert "Log-spectral distance" in page


def test_unlike_results_get_no_page(folders):
    first = result_of(folders, "first")
    other = result_of(folders, "second", protocol=replace(PROTOCOL, kl_epsilon=1e-6))
    with pytest.raises(UsageError, match="unlike protocols"):
        render_page([first, other])
    with pytest.raises(UsageError, match="same clips"):
        render_page([first, first])


def test_the_command_writes_the_page(folders, capsys):
    files = []
    for model in ("first", "second"):
        files.append(str(folders / f"{model}.json"))
        result_of(folders, model).save(folders / f"{model}.json")
    page = folders / "page.html"
    assert main(["evaluate", "page", *files, "--output", str(page)]) == 0
    assert page.read_text().startswith("<!doctype html>")
    for words, reason in (
        ([], "name files"),
        ([*files, "--output", "x.txt"], "must end in .html"),
        ([str(folders / "none.json")], "cannot read"),
        ([str(page)], "is not a result"),
    ):
        assert main(["evaluate", "page", *words]) == 2
        assert reason in capsys.readouterr().err


def test_classes_come_from_the_list_the_folders_or_a_network(folders):
    assert result_of(folders, "first").classes_from == "folders"
    table = folders / "list.csv"
    rows = "".join(f"{name},x,{name[0]}\n" for name in CLIPS)
    table.write_text(f"name,caption,class\n{rows}")
    result = result_of(folders, "first", captions=table)
    assert result.classes_from == "captions" and result.classes["dog/1"] == "d"
    for model in ("first", "real"):
        for path in list((folders / model).rglob("*.wav")):
            path.rename(folders / model / f"{path.parent.name}{path.name}")
    result = result_of(folders, "first")
    assert result.classes_from == "tiny"
    assert set(result.classes.values()) <= {"low", "middle", "high", "hiss"}
    assert classes_by_folder(["a/1", "b/1"]) == {}  # a class of its own for every clip
    assert classes_by_folder(["a/1", "a/2"]) == {}


def test_a_map_has_the_axes_of_the_reference():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((60, 5)) * [10, 5, 0.1, 0.1, 0.1]
    moved = points + np.array([3.0, 0, 0, 0, 0])
    plane = map_embeddings("x", feature_set(moved), feature_set(points))
    assert sum(plane.explained) > 0.99 and plane.explained[0] > plane.explained[1]
    reference = np.array(list(plane.reference.values()))
    shift = np.array(list(plane.generated.values())) - reference
    assert np.linalg.norm(shift.mean(axis=0)) == pytest.approx(3, abs=0.05)
    assert abs(shift[:, 0].mean()) > 2.5  # few points turn the axes a little
    assert np.allclose(reference.mean(axis=0), 0, atol=1e-3)
    assert map_embeddings("x", feature_set(moved), feature_set(points[:2])) is None
    assert map_embeddings("x", feature_set(moved), feature_set(np.ones((9, 5)))) is None


def test_bars_are_means_and_rare_classes_are_joined():
    classes = {f"clip{k}": f"class{min(k, 40)}" for k in range(60)}
    shown = frequent_classes([classes])
    assert list(shown.values()).count(OTHERS) == 41 - 24 and shown["class40"] == "class40"
    means = means_by_class({"a": 1.0, "b": 3.0, "c": 5.0}, {"a": "x", "b": "x"})
    assert means == {"x": (2.0, 2)}
    chart = bar_chart([means, {"x": (-2.0, 1), "<y>": (1.0, 1)}], ["m", "n"])
    assert chart.count("<rect") == 3 and "<y>" not in chart and ">-2<" in chart


def test_a_subset_is_measured_and_missing_clips_are_counted(folders):
    table = folders / "subset.txt"
    table.write_text("dog/1.wav\n\nrain/2\n3\nabsent\ndog/1\n")
    assert read_subset(table) == ("dog/1", "rain/2", "3", "absent")
    result = result_of(folders, "first", subset=table)
    assert result.generated.n == 3  # the name 3 is that of rain/3 alone
    assert result.reference.n == 3
    assert result.subset.n == 4 and result.subset.missing == ("absent",)
    assert any("1 of 4 clips of the subset are missing (absent)" in w for w in result.warnings)
    assert result.generated.sha256 != result_of(folders, "first").generated.sha256
    table.write_text("nothing\n")
    with pytest.raises(DataError, match="none of the 1 clips"):
        select_clips(find_clips(folders / "first"), read_subset(table))
    table.write_text("\n")
    with pytest.raises(DataError, match="no names"):
        read_subset(table)


def test_named_lists_have_their_ids():
    for name, row in SUBSETS.items():
        names = read_subset(Path(name))
        assert len(names) == len(set(names)) == row.num_clips
        assert hashlib.sha256("\n".join(names).encode()).hexdigest() == row.sha256
        assert all(re.fullmatch(r"[\w-]{11}", each) for each in names)


def test_ids_find_files_with_and_without_a_y(tmp_path):
    ids = read_subset(Path("audiocaps-964"))
    for name in (ids[0], f"Y{ids[1]}", "Yother"):
        (tmp_path / f"{name}.wav").touch()
    folder, missing = select_clips(find_clips(tmp_path), ids)
    assert set(folder.names) == {ids[0], f"Y{ids[1]}"} and missing == ids[2:]
    table = tmp_path / "table.csv"
    table.write_text(f"youtube_id,start_time\n{ids[1]},30\n{ids[1]},30\n")  # no captions
    folder, missing = select_clips(find_clips(tmp_path), read_subset(table))
    assert folder.names == (f"Y{ids[1]}",) and not missing


def test_names_are_as_short_as_they_may_be(tmp_path):
    paths = [tmp_path / "a" / "clips", tmp_path / "b" / "clips"]
    assert short_names(paths) == ("a/clips", "b/clips")
    assert short_names(paths[:1]) == ("clips",)


def test_a_protocol_scales_to_its_peak():
    from latentaudio.evaluate.resampling import prepare

    samples = np.array([[0.1, -0.2, 0.05]], np.float32)
    scaled = prepare(samples, RATE, RATE, replace(PROTOCOL, peak_db=-1.0))
    assert np.abs(scaled).max() == pytest.approx(10 ** (-1 / 20))
    silent = prepare(samples * 0, RATE, RATE, replace(PROTOCOL, peak_db=-1.0))
    assert not silent.any()


def test_every_protocol_of_another_program_says_what_differs():
    own = {"recommended", "mini"}
    assert all(bool(row.differs) != (name in own) for name, row in PROTOCOLS.items())
