"""`latentaudio evaluate`: the benchmark gets the model's functions, and the user its report."""

import json

import numpy as np
import pytest

from latentaudio.cli.main import main
from latentaudio.evaluate.mini import classifier, editing, quality
from latentaudio.evaluate.mini.report import Metric, Report


@pytest.fixture
def fake_classifier(monkeypatch):
    monkeypatch.setattr(classifier, "load_classifier", lambda folder: folder)


@pytest.mark.usefixtures("fake_classifier")
def test_the_quality_benchmark_gets_the_models_functions(
    tiny, tiny_folder, tmp_path, monkeypatch, capsys
):
    def evaluate_quality(benchmark, model, reconstruct, similarity, generate_batched, store):
        assert benchmark.num_clips == 12 and benchmark.prompts_per_attribute == 3
        batched = generate_batched(["a dog", "bell"], 0.3, 4)
        single = generate_batched(["bell"], 0.3, 5)[0]
        np.testing.assert_allclose(batched[1], single, atol=1e-3)  # rounding over several steps
        first, second = benchmark.generate(["a dog", "bell"], 0.3, 4)
        [expected] = tiny.generate("bell", duration=0.3, seed=5)
        np.testing.assert_array_equal(second, expected.samples[0])
        np.testing.assert_array_equal(reconstruct([first])[0], tiny.reconstruct(first)[0])
        assert similarity([first, second], ["a", "b", "c"]).shape == (2, 3)
        benchmark.progress("classifying", 1, 2)
        return Report(model, [Metric("accuracy", 0.5, "%", benchmark.num_clips, 0, 0.9)])

    monkeypatch.setattr(quality, "evaluate_quality", evaluate_quality)
    report = tmp_path / "report.json"
    flags = ["--clips", "12", "--prompts-per-attribute", "3", "--device", "cpu"]
    flags += ["--precision", "fp32", "--output", str(report)]
    assert main(["evaluate", "quality", str(tiny_folder), *flags]) == 0
    assert "accuracy  50.0%  >= 90.0%" in capsys.readouterr().out
    assert json.loads(report.read_text())["metrics"][0]["n"] == 12


@pytest.mark.usefixtures("fake_classifier")
def test_the_editing_benchmark_gets_the_model(tiny_folder, monkeypatch, capsys):
    def evaluate_editing(benchmark, name, store):
        assert benchmark.model.config.vae.latent_channels == 4 and benchmark.num_clips == 2
        components = benchmark.model.components  # networks are kept, weights and prompts are not
        assert components.keep_networks and not components.use_cache
        benchmark.progress("transfer", 1, 2)
        return Report(name, [Metric("transfer", 0.5, "%", benchmark.num_clips, benchmark.seed)])

    monkeypatch.setattr(editing, "evaluate_editing", evaluate_editing)
    flags = ["--clips", "2", "--seed", "3", "--device", "cpu", "--json"]
    assert main(["evaluate", "editing", str(tiny_folder), *flags]) == 0
    [metric] = json.loads(capsys.readouterr().out)["metrics"]
    assert (metric["name"], metric["n"], metric["seed"]) == ("transfer", 2, 3)


@pytest.mark.usefixtures("fake_classifier")
@pytest.mark.parametrize("command", ["quality", "editing"])
def test_a_stopped_benchmark_goes_on_behind_what_is_finished(
    command, tiny_folder, tmp_path, monkeypatch, capsys
):
    calls = []

    def measure(benchmark, model, *functions, store=None):
        store = functions[-1] if store is None else store

        def add(name):
            calls.append(name)
            if name == "second" and calls.count(name) == 1:
                raise KeyboardInterrupt
            store.report.metrics.append(Metric(name, 0.5, "%", 2, 0))

        store.measure(
            None, {name: lambda _, __, name=name: add(name) for name in ("first", "second")}
        )
        return store.report

    module = quality if command == "quality" else editing
    monkeypatch.setattr(module, f"evaluate_{command}", measure)
    output = tmp_path / "x.json"
    words = ["evaluate", command, str(tiny_folder), "--device", "cpu", "--output", str(output)]
    assert main(words) == 130
    assert not output.exists() and (tmp_path / "x.unfinished.json").is_file()
    assert main(words) == 0
    assert calls == ["first", "second", "second"]
    assert "x.unfinished.json is continued" in capsys.readouterr().err
    assert [metric.name for metric in Report.load(output).metrics] == ["first", "second"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_file_that_cannot_be_written_is_rejected_before_the_work(tiny_folder, tmp_path, capsys):
    for command in (["evaluate", "quality"], ["evaluate", "editing"]):
        for output in (tmp_path, tmp_path / "nowhere" / "report.json"):
            assert main([*command, str(tiny_folder), "--output", str(output)]) == 2
            assert f"--output {output}" in capsys.readouterr().err


def test_a_missing_classifier_is_an_error_that_says_how_to_train_one(tiny_folder, tmp_path, capsys):
    assert (
        main(["evaluate", "quality", str(tiny_folder), "--classifier", str(tmp_path / "none")]) == 2
    )
    assert "train_classifier.py" in capsys.readouterr().err


@pytest.fixture
def arrays(tmp_path):
    rng = np.random.default_rng(0)
    for name, shift in (("a", 0.0), ("b", 1.0)):
        np.save(tmp_path / f"{name}.npy", rng.standard_normal((40, 3)) + shift)
    return [str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]


def test_arrays_of_features_are_measured_and_compared(arrays, tmp_path, capsys):
    stored = tmp_path / "result.json"
    flags = ["--json", str(stored), "--csv", str(tmp_path / "clips.csv")]
    assert main(["evaluate", "--embeddings", *arrays, *flags]) == 0
    shown = capsys.readouterr().out
    for text in ("Fréchet distance, N to infinity", "(KAD)", "(KID)", "median distance"):
        assert text in shown
    assert len((tmp_path / "clips.csv").read_text().splitlines()) == 41
    assert main(["evaluate", "compare", str(stored), str(stored)]) == 0
    assert "Fréchet distance" in capsys.readouterr().out
    assert main(["evaluate", "--logits", *arrays, "--metrics", "kl", "inception_score"]) == 0
    assert "Inception score" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--generated"),
        (["--embeddings", "{0}", "{1}", "--generated", "x"], "--generated needs audio files"),
        (["--embeddings", "{0}", "{1}", "--metrics", "lsd"], "lsd needs audio files"),
        (["--embeddings", "{0}", "none.npy"], "none.npy"),
        (["--embeddings", "{0}", "{1}", "--json", "x.wav"], "must end in .json"),
        (["--embeddings", "{0}", "{1}", "--protocol", "x"], "there is no protocol 'x'"),
        (["--generated", "none"], "there is no folder none"),
        (["--generated", "none", "--weights", "clap"], "NAME=PATH"),
        (["--generated", "none", "--cache", "a", "--temporary-cache"], "exclude each other"),
        (["--generated", "none", "--model", "mini"], "--prompts belong together"),
        (["--generated", "none", "--num-workers", "-1"], "below 0"),
        (["quallity"], "see --help"),
    ],
)
def test_what_cannot_be_measured_is_one_line(flags, message, arrays, capsys):
    words = [flag.format(*arrays) for flag in flags]
    assert main(["evaluate", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_clips_of_a_list_of_prompts_are_generated_and_measured(tiny_folder, tmp_path, capsys):
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("prompt,name\na dog,one\nrain,two\n")
    clips = tmp_path / "clips"
    stored = tmp_path / "result.json"
    flags = ["--model", str(tiny_folder), "--prompts", str(prompts), "--generated", str(clips)]
    flags += ["--metrics", "frechet", "--reference", str(tmp_path / "real"), "--temporary-cache"]
    flags += ["--backbone", "mini-audiomae", "--json", str(stored), "--quiet"]
    from latentaudio.audio.io import write

    (tmp_path / "real").mkdir()
    for name in ("one", "two"):
        samples = np.random.default_rng(0).standard_normal((1, 4000)).astype(np.float32)
        write(tmp_path / "real" / f"{name}.wav", 0.1 * samples, 16000)
    assert main(["evaluate", *flags]) == 0
    [value] = json.loads(stored.read_text())["values"]
    assert value["n"] == 2 and value["seed"] == 0 and value["prompts_sha256"]
    before = (clips / "one.wav").stat().st_mtime_ns
    assert main(["evaluate", *flags]) == 0
    assert (clips / "one.wav").stat().st_mtime_ns == before


def test_folders_are_measured_offline_with_the_networks_of_mini(tmp_path, capsys):
    from latentaudio.audio.io import write

    rng = np.random.default_rng(0)
    for side in ("generated", "reference"):
        (tmp_path / side).mkdir()
        for number in range(3):
            samples = 0.1 * rng.standard_normal((1, 4000)).astype(np.float32)
            write(tmp_path / side / f"{number}.wav", samples, 16000, {"prompt": "rain"})
    flags = ["--protocol", "mini", "--temporary-cache", "--metrics", "kad", "clap-score", "--quiet"]
    folders = ["--generated", str(tmp_path / "generated")]
    folders += ["--reference", str(tmp_path / "reference")]
    stored = tmp_path / "result.json"
    page = tmp_path / "result.html"
    assert main(["evaluate", *folders, *flags, "--json", str(stored), "--html", str(page)]) == 0
    text = page.read_text()
    assert text.count("<audio controls") == 6 and text.count("data:image/png;base64,") == 6
    assert "Kernel distance" in text and "http:" not in text and "https:" not in text
    assert capsys.readouterr().out == ""
    values = json.loads(stored.read_text())["values"]
    backbones = {(value["title"], value["backbone"]) for value in values}
    assert backbones == {
        ("Kernel distance", "mini-audiomae"),
        ("Kernel distance", "mini-clap"),
        ("similarity of text and audio", "mini-clap"),
    }
