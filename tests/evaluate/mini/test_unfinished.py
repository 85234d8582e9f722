"""Reports that grow part by part: what is finished is measured once."""

import pytest

from latentaudio.errors import DataError
from latentaudio.evaluate.mini.report import Metric
from latentaudio.evaluate.mini.unfinished import ReportStore, unfinished_file


def measure(store, stops_at=None):
    """Measure three parts; return the names of those that were computed."""
    computed = []

    def add(name):
        if name == stops_at:
            raise KeyboardInterrupt
        computed.append(name)
        store.report.metrics.append(Metric(name, 0.25, "%", 4, 0, note="ä"))

    store.measure(None, {name: lambda _, __, name=name: add(name) for name in "abc"})
    return computed


def test_a_stopped_report_goes_on(tmp_path):
    file = unfinished_file(tmp_path / "x.json")
    with pytest.raises(KeyboardInterrupt):
        measure(ReportStore("m", {"seed": 1, "duration": 5.12}, file), stops_at="b")
    assert [path.name for path in tmp_path.iterdir()] == ["x.unfinished.json"]
    store = ReportStore("m", {"seed": 1, "duration": 5.12}, file)
    assert store.is_continued and measure(store) == ["b", "c"]
    whole = ReportStore("m")
    assert measure(whole) == ["a", "b", "c"]
    assert store.report == whole.report
    store.remove()
    assert not file.exists()


@pytest.mark.parametrize(("model", "seed"), [("m", 2), ("other", 1)])
def test_a_report_of_another_measurement_is_not_continued(tmp_path, model, seed):
    file = tmp_path / "x.json"
    measure(ReportStore("m", {"seed": 1}, file))
    store = ReportStore(model, {"seed": seed}, file)
    assert not store.is_continued and measure(store) == ["a", "b", "c"]


def test_a_file_of_another_kind_is_one_line(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(DataError, match=r"x\.json is not an unfinished report"):
        ReportStore("m", {}, tmp_path / "x.json")
