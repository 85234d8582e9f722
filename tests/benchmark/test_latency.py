"""The latency benchmark runs on tiny shapes, and its tables show the measured times."""

import json
from dataclasses import replace
from functools import partial

import published
import pytest
import torch

from latentaudio.benchmark import latency
from latentaudio.benchmark.end_to_end import EndToEndCost
from latentaudio.benchmark.latency import STAGES, count_step_gflop, measure_latency
from latentaudio.benchmark.process_cost import ProcessCost
from latentaudio.benchmark.report import BenchmarkResults, latency_table
from latentaudio.benchmark.results import FULL_CLIP, FULL_CLIP_STEPS, SHORT_CLIP, LatencyResults
from latentaudio.cli.main import main
from latentaudio.config import registry
from latentaudio.errors import DataError
from latentaudio.loaders.resolve import resolve_model

NAME = "tiny-published"


@pytest.fixture(scope="module")
def tiny_spec(tmp_path_factory):
    folder = published.save(published.audioldm2(), tmp_path_factory.mktemp("timing") / "audioldm2")
    spec = resolve_model(folder).spec
    # The vocabulary and length that the tokenizer of mini needs.
    clap = replace(spec.config.clap, vocab_size=9000, text_max_positions=600)
    t5 = replace(spec.config.t5, vocab_size=9000)
    return replace(spec, name=NAME, config=replace(spec.config, clap=clap, t5=t5))


@pytest.fixture(autouse=True)
def registered(monkeypatch, tiny_spec):
    monkeypatch.setitem(registry.MODELS, NAME, tiny_spec)


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    """Small matrix products and clips of two steps: no test here depends on the measured times."""
    monkeypatch.setattr(latency, "matmul_gflops", partial(latency.matmul_gflops, size=64))
    monkeypatch.setattr(latency, "SHORT_CLIP_STEPS", 2)


def test_all_backends_run_every_stage_in_every_round():
    ticks = []
    results = measure_latency(
        NAME, 0.32, 2, presets=("draft",), rounds=2, progress=lambda *tick: ticks.append(tick)
    )
    stages = (*STAGES, SHORT_CLIP, "preset draft", "preset draft")
    assert ticks == [(k, 8, stage) for k, stage in enumerate(stages, 1)]
    assert list(results.seconds) == ["diffusers", "latentaudio fp32", "latentaudio bf16"]
    for implementation, seconds in results.seconds.items():
        assert set(STAGES) <= seconds.keys(), implementation
        for values in seconds.values():
            assert len(values) == 2 and min(values) > 0, implementation
    baseline = results.seconds["diffusers"]
    for k, full in enumerate(baseline[FULL_CLIP]):
        text = baseline["text encoding"][k] + baseline["language of audio"][k]
        steps = (FULL_CLIP_STEPS - 2) * baseline["denoising step"][k]
        assert full == pytest.approx(text + baseline[SHORT_CLIP][k] + steps)
    table = latency_table(results)
    assert "| denoising step |" in table and "speed-up over diffusers" in table
    assert "of the speed of matrix products" in table


@pytest.fixture
def results():
    results = LatencyResults(
        "m", 10.0, 1, matmul_gflops={"fp32": 100.0, "bf16": 400.0}, step_gflop=100.0
    )
    steps = {"diffusers": 4.0, "latentaudio fp32": 2.0, "latentaudio bf16": 0.5}
    for implementation, seconds in steps.items():
        for offset in (-0.1, 0.0, 3.0):
            results.add(implementation, "denoising step", seconds + offset)
    results.add("diffusers", FULL_CLIP, 800.0)
    results.add("latentaudio bf16", "preset fast", 10.0)
    results.cold_start["fast"] = ProcessCost(12.0, 1.5, 9.0)
    results.second_start["fast"] = ProcessCost(6.0, 1.25)
    results.kept_bytes = 915_000_000
    return results


def test_speed_ups_and_fractions_are_those_of_medians(results):
    table = latency_table(results)
    cells = "4 s (3.9 to 7) | 2 s (1.9 to 5) | 0.5 s (0.4 to 3.5) | 2.00, 8.00 |"
    assert f"| denoising step | {cells}" in table
    assert "| preset fast |  |  | 10 s (10 to 10) | 80 |" in table
    assert "in fp32 reaches 50% of" in table and "in bf16 reaches 50% of" in table
    first = "12 s to the file, 9 s to the first step, peak RSS 1.50 GB."
    assert f"Cold start, preset fast: {first}" in table
    again = "The same command again, with 0.92 GB kept: 6 s to the file, peak RSS 1.25 GB."
    assert again in table


def test_a_step_of_audioldm2_has_the_published_number_of_flops():
    gflop = count_step_gflop("audioldm2-full", 1, 256)
    assert gflop == pytest.approx(2 * 171.5, rel=0.02)  # two halves of 85.75 GMAC


def test_a_call_is_timed_in_seconds(monkeypatch):
    times = iter((10.0, 12.5))
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(times))
    assert latency.time_call(lambda: None) == 2.5
    monkeypatch.undo()
    assert latency.matmul_gflops(torch.float32, size=64) > 0


def test_saved_results_are_read_back(results, tmp_path):
    everything = BenchmarkResults([results], [EndToEndCost("m", 1.0, 2.0, 3.0, 4.0)])
    everything.save(tmp_path / "speed.json")
    assert BenchmarkResults.load(tmp_path / "speed.json") == everything
    assert (tmp_path / "speed.md").read_text() == everything.to_markdown()


def test_a_file_of_other_content_is_rejected(tmp_path):
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(DataError, match="is not a file of `benchmark"):
        BenchmarkResults.load(tmp_path / "other.json")


COMMAND = [
    "benchmark", NAME, "--duration", "0.32", "--rounds", "1", "--presets", "draft",
    "--rivals", "none", "--quiet",
]  # fmt: skip


def test_the_command_writes_json_and_tables(tmp_path, capsys):
    assert main([*COMMAND, "--output", str(tmp_path / "speed.json")]) == 0
    stored = json.loads((tmp_path / "speed.json").read_text())
    [seconds] = [entry["seconds"] for entry in stored["latency"]]
    assert list(seconds) == ["latentaudio fp32", "latentaudio bf16"]
    assert "preset draft" in seconds["latentaudio bf16"]
    [results] = BenchmarkResults.load(tmp_path / "speed.json").latency
    assert latency_table(results) in (tmp_path / "speed.md").read_text()
    assert latency_table(results).strip() in capsys.readouterr().out


def test_wrong_arguments_are_errors_of_the_user(tmp_path):
    assert main([*COMMAND, "--output", str(tmp_path / "speed.txt")]) == 2
    assert main([*COMMAND, "--rounds", "0"]) == 2
    assert main(["benchmark", "no-such"]) == 2
