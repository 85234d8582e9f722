"""A report as a table, as JSON, and read back."""

import json

import pytest

from latentaudio.errors import DataError
from latentaudio.evaluate.mini.report import Metric, Report

METRICS = [
    Metric("good", 0.91, "%", 440, 3, target=0.9, ceiling=0.98),
    Metric("bad", 4.0, "x", 5, 3, target=3.0, lower_is_better=True),
    Metric("tiny", 2e-6, "", 2, 0),
]


@pytest.fixture
def report():
    return Report("toy", METRICS, {"dog": 1.0, "cat": 0.25}, [("cat", "dog", 3)])


def test_a_metric_passes_if_it_reaches_its_target():
    assert [metric.result for metric in METRICS] == ["pass", "fail", None]


def test_the_table_shows_every_metric_with_its_result(report):
    lines = str(report).splitlines()
    for column in ("metric", "ceiling (ground truth)", "N", "seed", "result"):
        assert column in lines[2]
    for text in ("91.0%", ">= 90.0%", "98.0%", "440", "pass"):
        assert text in lines[3]
    assert "4.00x" in lines[4] and "<= 3.00x" in lines[4] and "FAIL" in lines[4]
    assert "2e-06" in lines[5]
    assert lines[-2].endswith("cat 25%, dog 100%")
    assert lines[-1] == "confusions (prompted as predicted): cat as dog (3x)"
    assert report.worst_class == ("cat", 0.25)


def test_a_saved_report_is_read_back(report, tmp_path):
    file = tmp_path / "report.json"
    report.save(file)
    stored = json.loads(file.read_text())
    assert stored == report.as_dict() and stored["metrics"][1]["result"] == "fail"
    assert Report.load(file) == report


@pytest.mark.parametrize("content", ["", "[]", '{"model": "x"}', '{"model": "x", "metrics": [{}]}'])
def test_a_file_of_other_content_is_rejected(content, tmp_path):
    file = tmp_path / "report.json"
    file.write_text(content)
    with pytest.raises(DataError, match="is not a report"):
        Report.load(file)


def test_a_metric_that_is_missing_raises_key_error(report):
    assert report.metric("bad") is METRICS[1]
    with pytest.raises(KeyError, match="speed"):
        report.metric("speed")
