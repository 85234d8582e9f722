"""`latentaudio bench`: the model's own verbs reach the bench, and its report the user."""

import json

import numpy as np

from latentaudio.cli.main import main
from latentaudio.evaluate.mini import classifier, quality
from latentaudio.evaluate.report import Line, Report


def test_the_bench_gets_the_models_verbs(tiny, tiny_folder, tmp_path, monkeypatch, capsys):
    def run(examined, model, resynthesise, similarity, together, flags):
        assert flags == ("--device", "cpu", "--precision", "fp32")
        close = together(["a dog", "bell"], 0.3, 4)
        np.testing.assert_allclose(
            close[1], together(["bell"], 0.3, 5)[0], atol=1e-3
        )  # rounding, some steps on
        first, second = examined.generate(["a dog", "bell"], 0.3, 4)
        [alone] = tiny.generate("bell", seconds=0.3, seed=5)
        np.testing.assert_array_equal(second, alone.samples[0])
        np.testing.assert_array_equal(resynthesise([first])[0], tiny.resynthesise(first)[0])
        assert similarity([first, second], ["a", "b", "c"]).shape == (2, 3)
        examined.progress("judging", 1, 2)
        return Report(model, [Line("judge top-1", 0.5, "%", examined.count, examined.seed, 0.9)])

    monkeypatch.setattr(quality, "run_bench", run)
    monkeypatch.setattr(classifier, "load_judge", lambda folder: folder)
    flags = ["--judge", str(tmp_path), "--clips", "12", "--device", "cpu", "--precision", "fp32"]
    assert main(["bench", str(tiny_folder), *flags, "--output", str(tmp_path / "r.json")]) == 0
    assert "judge top-1  50.0%  >= 90.0%" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["lines"][0]["count"] == 12


def test_a_report_that_cannot_be_written_is_refused_first(tiny_folder, tmp_path, capsys):
    for target in (tmp_path, tmp_path / "nowhere" / "r.json"):
        assert main(["bench", str(tiny_folder), "--output", str(target)]) == 2
        assert "name one in a folder that exists" in capsys.readouterr().err


def test_without_a_judge(tiny_folder, tmp_path, capsys):
    assert main(["bench", str(tiny_folder), "--judge", str(tmp_path / "none")]) == 2
    assert "judge" in capsys.readouterr().err
