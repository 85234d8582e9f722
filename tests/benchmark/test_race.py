"""Implementations race in processes of their own, on a tiny model."""

import json
import os
import re
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from latentaudio import device
from latentaudio.benchmark import race, rivals
from latentaudio.benchmark.race import convert, measure_race
from latentaudio.benchmark.report import BenchmarkResults, race_table
from latentaudio.benchmark.results import RaceEntry, RaceResults
from latentaudio.benchmark.rivals.base import Problem
from latentaudio.cli.benchmark import RivalName
from latentaudio.cli.main import main
from latentaudio.config import registry
from latentaudio.config.architecture import ScheduleConfig
from latentaudio.config.instruction_sets import HELD_VARIABLE
from latentaudio.config.rivals import OURS, RIVALS
from latentaudio.diffusion.samplers.ddim import ddim
from latentaudio.diffusion.schedule import Schedule
from latentaudio.errors import DataError

NAME = "tiny-audioldm2"
DURATION = 0.32  # s


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of all rivals that tests have the packages of."""
    place = tmp_path_factory.mktemp("race")
    spec = replace(registry.MODELS["audioldm2-full"], name=NAME)
    unet = replace(
        spec.config.unet,
        channels=32,
        channel_mult=(1, 2),
        attention=(False, True),
        num_res_blocks=1,
        contexts=(None, 16, 24),
        num_heads=(2, 2),
    )
    vae = replace(spec.config.vae, channels=32, channel_mult=(1, 1, 1), num_res_blocks=1)
    vocoder = replace(spec.config.vocoder, channels=64, resblock_kernel_sizes=(3,))
    spec = replace(spec, config=replace(spec.config, unet=unet, vae=vae, vocoder=vocoder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.MODELS, NAME, spec)
        convert(NAME, DURATION, (OURS, "diffusers", "onnxruntime"), place, lambda *_: None)
    return place


def test_every_variant_runs_every_round_and_rivals_compute_our_predictions(folder, monkeypatch):
    monkeypatch.setitem(RIVALS, OURS, replace(RIVALS[OURS], variants=("float32",)))
    ticks = []
    raced = (OURS, "onnxruntime")
    results = measure_race(NAME, DURATION, raced, 2, folder, lambda *tick: ticks.append(tick))
    labels = [entry.label for entry in results.entries]
    assert labels == ["latentaudio float32", "onnxruntime float32", "onnxruntime int8"]
    assert results.has_decoder and ticks[-1][0] == ticks[-1][1]
    for entry in results.entries:
        assert len(entry.step_s) == 2 and entry.decode_s > 0, entry.label
        assert min(entry.step_s) > 0 and entry.first_step_s > max(entry.step_s), entry.label
        assert 0.01 < entry.peak_rss_gb < 4 and entry.file_gb > 0, entry.label
    distances = {entry.label: entry.distance for entry in results.entries}
    assert distances["latentaudio float32"] == 0
    assert distances["onnxruntime float32"] < 1e-4
    assert 1e-4 < distances["onnxruntime int8"] < 0.5


@pytest.mark.parametrize(
    ("name", "variant"), [("diffusers", "float32"), (OURS, "float32"), (OURS, "int8")]
)
def test_torch_runners_compute_both_halves_and_samples(folder, name, variant):
    num_threads = torch.get_num_threads()
    runner = rivals.get_rival(name).load(folder, variant, num_threads)
    problem = Problem.load(folder)
    predictions = runner.predict()
    assert predictions.shape == (2, *problem.z.shape[1:])
    assert not np.allclose(predictions[0], predictions[1])
    assert np.isfinite(runner.decode()).all()
    assert variant in runner.description
    assert torch.get_num_threads() == num_threads


def test_a_rival_that_fails_is_one_error_with_its_last_line(folder, tmp_path):
    Problem.load(folder).save(tmp_path)
    with pytest.raises(DataError, match=r"onnxruntime float32 failed in step: .*model\.onnx"):
        measure_race(NAME, DURATION, ("onnxruntime",), 1, tmp_path)


def test_the_process_of_onnxruntime_needs_no_torch(folder):
    code = (
        "import sys; from pathlib import Path; from latentaudio.benchmark.worker import _Worker; "
        f"_Worker('onnxruntime', 'float32', Path({str(folder)!r}), 1).step(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert os.spawnv(os.P_WAIT, race.sys.executable, [race.sys.executable, "-c", code]) == 0


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
def test_a_step_is_that_of_our_ddim(prediction):
    generator = np.random.default_rng(0)
    z = generator.standard_normal((1, 2, 3, 4), np.float32)
    both = generator.standard_normal((2, 2, 3, 4), np.float32)
    schedule = Schedule(ScheduleConfig(prediction=prediction))
    alphas = (*schedule.alpha_sigma(500), *schedule.alpha_sigma(480))
    problem = Problem("m", z, 500, {}, 3.5, alphas, prediction, False)
    guided = torch.from_numpy(both[:1] + 3.5 * (both[1:] - both[:1]))
    step = next(ddim(lambda z, t: guided, torch.from_numpy(z), schedule, [500, 480]))
    assert np.allclose(problem.next_latent(both), step.z.numpy(), atol=1e-5)


def test_a_problem_survives_its_files(tmp_path):
    arrays = {name: np.full((2, 3), k, np.float32) for k, name in enumerate("cab")}
    z = np.ones((1, 1, 2, 2), np.float32)
    problem = Problem("m", z, 500, arrays, 3.5, (0.5, 0.6, 0.7, 0.8), "v", True)
    problem.save(tmp_path)
    again = Problem.load(tmp_path)
    assert list(again.conditioning) == ["c", "a", "b"]
    for name, before in arrays.items():
        assert np.array_equal(before, again.conditioning[name])
    assert replace(again, z=z, conditioning=arrays) == replace(problem, z=z, conditioning=arrays)


@pytest.fixture
def results():
    entries = [
        RaceEntry("latentaudio float32", "torch", 2.0, 1.0, 1.5, [2, 2.5, 3], 1.0, 0.0),
        RaceEntry("diffusers float32", "diffusers", 3.0, 1.0, 2.5, [5, 5, 6], 2.0),
        RaceEntry("openvino int8", "OpenVINO", 1.0, 0.5, 1.0, [1, 1, 1], 1.0, 0.02),
    ]
    return RaceResults("m", 10.24, "CPU", "avx2", 3, True, entries)


def test_the_table_has_ratios_of_medians_and_clips(results):
    table = race_table(results)
    assert "race, held to avx2" in table and "speed-up is over diffusers float32" in table
    cells = "| 2.5 s (2 to 3) | 2.00 | 1 s | 63.5 s | 501 s | 2 s | 1.50 GB | 1.00 GB |"
    assert f"| latentaudio float32 | torch {cells} 0.0e+00 |" in table
    assert "| 5 s (5 to 6) | 1.00 | 2 s | 127 s | 1e+03 s |" in table
    assert "2.5e-02" not in table and "| 2.0e-02 |" in table
    assert f"openvino {RIVALS['openvino'].holds}" in table and "onnxruntime" not in table


def test_a_model_without_decoder_has_no_clips(results):
    plain = replace(results, has_decoder=False, instruction_set="")
    plain.entries = [replace(entry, decode_s=None) for entry in results.entries[:1]]
    table = race_table(plain)
    assert "decoding" not in table and "steps" not in table and "held" not in table
    assert "| 2.5 s (2 to 3) | 1.00 | 2 s |" in table


def test_saved_races_are_read_back(results, tmp_path):
    everything = BenchmarkResults(races=[results])
    everything.save(tmp_path / "laptop.json")
    assert BenchmarkResults.load(tmp_path / "laptop.json") == everything
    assert race_table(results) in (tmp_path / "laptop.md").read_text()


@pytest.mark.parametrize("rival", [name for name in RIVALS if name != OURS])
def test_a_missing_package_is_one_line_with_the_command(monkeypatch, capsys, rival):
    monkeypatch.setattr(rivals, "find_spec", lambda name: None)
    assert main(["benchmark", "mini", "--rivals", rival]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert f"--rivals {rival} needs {RIVALS[rival].packages[0]}" in line
    assert "pip install" in line and "[rivals]" in line


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["mini", "--rivals", "none", "onnxruntime"], "none stands alone"),
        (["no-such", "--rivals", "onnxruntime"], "is none of: .*mini"),
        (["mini", "--rivals", "onnxruntime", "--batch-size", "2"], "one clip on a CPU"),
        (["mini", "--rivals", "onnxruntime", "--cold-start"], "one clip on a CPU"),
    ],
)
def test_flags_that_do_not_fit_are_refused(capsys, flags, reason):
    assert main(["benchmark", *flags]) == 2
    line = capsys.readouterr().err.strip()
    assert re.search(reason, line), line


def test_the_command_races_and_leaves_out_what_has_no_pipeline(monkeypatch, tmp_path, capsys):
    raced = []

    def fake_race(name, duration, names, rounds, folder, progress):
        raced.append((name, duration, names, rounds, folder))
        return RaceResults(name, duration, "CPU", "", rounds, False, [ENTRY])

    monkeypatch.setattr(race, "convert", lambda *arguments: None)
    monkeypatch.setattr(race, "measure_race", fake_race)
    words = ["benchmark", "mini", "--rivals", "diffusers", "onnxruntime", "--rounds", "2"]
    words += ["--rival-files", str(tmp_path / "kept"), "--json", "--quiet"]
    assert main([*words, "--output", str(tmp_path / "race.json")]) == 0
    assert raced == [("mini", 10.24, [OURS, "onnxruntime"], 2, tmp_path / "kept" / "mini-10.24s")]
    captured = capsys.readouterr()
    assert json.loads(captured.out)["races"][0]["entries"][0]["label"] == "latentaudio float32"
    assert "diffusers has no pipeline for mini" in captured.err
    assert len(BenchmarkResults.load(tmp_path / "race.json").races) == 1


ENTRY = RaceEntry("latentaudio float32", "torch", 1.0, 1.0, 1.0, [1.0, 1.0], None, 0.0)


def test_the_command_offers_every_rival():
    assert set(get_args(RivalName)) == {*RIVALS, "none"} - {OURS}


def test_a_process_that_is_held_to_avx2_computes_in_float32(monkeypatch):
    monkeypatch.setenv(HELD_VARIABLE, "avx2")
    device._cpu_has_bf16.cache_clear()
    assert device.fast_dtype(torch.device("cpu"), "auto") is None
    monkeypatch.undo()
    device._cpu_has_bf16.cache_clear()
