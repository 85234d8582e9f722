"""The race against diffusers runs on tiny shapes, and its numbers are what its clocks said."""

import json
from dataclasses import replace

import published
import pytest
import torch

from latentaudio.benchmark import latency
from latentaudio.benchmark.latency import PARTS, Times, flops_of_step, race, table
from latentaudio.cli.main import main
from latentaudio.config import registry
from latentaudio.loaders.resolve import find


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    folder = published.save(published.audioldm2(), tmp_path_factory.mktemp("timing") / "audioldm2")
    config = find(folder).config
    wide = (
        replace(config.clap, vocabulary=9000, text_positions=600),
        replace(config.t5, vocabulary=9000),
    )  # for mini's tokenizer
    return replace(
        find(folder).variant,
        name="tiny-published",
        config=replace(config, clap=wide[0], t5=wide[1]),
    )


@pytest.fixture(autouse=True)
def rows(monkeypatch, row):
    monkeypatch.setitem(registry.VARIANTS, "tiny-published", row)


def test_both_sides_do_every_piece_of_work():
    heard = []
    found = race(
        "tiny-published", 0.32, 2, presets=("fast",), rounds=2, told=lambda *now: heard.append(now)
    )
    assert heard == [
        (k, 8, work) for k, work in enumerate((*PARTS, "clip of 10 steps", "fast", "fast"), 1)
    ]
    assert list(found.taken) == ["diffusers", "latentaudio fp32", "latentaudio bf16"]
    for side, works in found.taken.items():
        assert set(PARTS) <= works.keys() and all(
            len(taken) == 2 and min(taken) > 0 for taken in works.values()
        ), side
    theirs = found.taken["diffusers"]
    for k, whole in enumerate(theirs["200 steps"]):
        read = theirs["text"][k] + theirs["loa"][k]
        assert whole == pytest.approx(
            read + theirs["clip of 10 steps"][k] + 190 * theirs["step"][k]
        )
    text = table(found)
    assert "| step |" in text and "times diffusers" in text and "runs at" in text


def test_ratios_and_shares_are_those_of_medians():
    times = Times("m", 10.0, 1, rates={"fp32": 100.0, "bf16": 400.0}, gigaflops=100.0)
    for side, step in (("diffusers", 4.0), ("latentaudio fp32", 2.0), ("latentaudio bf16", 0.5)):
        for off in (-0.1, 0.0, 3.0):
            times.add(side, "step", step + off)
    times.add("diffusers", "200 steps", 800.0)
    times.add("latentaudio bf16", "fast", 10.0)
    text = table(times)
    assert "| step | 4 s (3.9 to 7) | 2 s (1.9 to 5) | 0.5 s (0.4 to 3.5) | 2.00, 8.00 |" in text
    assert "| fast |  |  | 10 s (10 to 10) | 80 |" in text
    assert "in fp32 runs at 50% of" in text and "in bf16 runs at 50% of" in text


def test_a_step_of_audioldm2_has_the_flops_of_the_field():
    counted = flops_of_step("audioldm2-full", 1, 256)
    assert counted == pytest.approx(2 * 171.5, rel=0.02)  # two halves of 85.75 GMAC


def test_the_clock_measures_seconds(monkeypatch):
    moments = iter((10.0, 12.5))
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(moments))
    assert latency.clock(lambda: None) == 2.5
    monkeypatch.undo()
    assert latency.matrix_rate(torch.float32, size=64) > 0


def test_the_command_writes_both_files(tmp_path, capsys):
    line = [
        "bench",
        "speed",
        "tiny-published",
        "--seconds",
        "0.32",
        "--rounds",
        "1",
        "--presets",
        "draft",
        "--against",
        "nobody",
    ]
    assert main([*line, "--output", str(tmp_path / "speed.json"), "--quiet"]) == 0
    told = json.loads((tmp_path / "speed.json").read_text())
    assert (
        list(told[0]["taken"]) == ["latentaudio fp32", "latentaudio bf16"]
        and "draft" in told[0]["taken"]["latentaudio bf16"]
    )
    assert table(Times(**told[0])) in (tmp_path / "speed.md").read_text()
    assert table(Times(**told[0])).strip() in capsys.readouterr().out
    assert main([*line, "--output", str(tmp_path / "speed.txt")]) == 2
    assert main(["bench", "speed", "no-such"]) == 2
    assert main([*line[:-4], "--rounds", "0"]) == 2
