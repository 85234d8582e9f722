"""`--adapter` on the command line, and what needs the adapters of a clip."""

import json

import numpy as np
import pytest
import soundfile
import torch
from conftest import TINY
from safetensors.torch import load_file

from latentaudio.audio import io
from latentaudio.cli.main import main
from latentaudio.loaders.adapter_files import write_adapter
from latentaudio.loaders.adapters import AdapterCard
from latentaudio.models.low_rank import LowRankUpdate

pytestmark = pytest.mark.cli
CLIP = ("--duration", "0.3", "--steps", "2", "--seed", "5")


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys, no_progress_lines):
    """Calls a command in a folder with two adapters; returns code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("first", "second")):
        generator = torch.Generator().manual_seed(seed)
        updates = {}
        for key, weight in load_file(tiny_folder / "unet.safetensors").items():
            if key.endswith("conv1.weight"):
                down = torch.randn(1, *weight.shape[1:], generator=generator)
                up = torch.randn(weight.shape[0], 1, generator=generator)
                updates[key] = LowRankUpdate(down, up)
        (tmp_path / name).mkdir()
        file = tmp_path / name / "adapter.safetensors"
        write_adapter(file, {"unet": updates}, AdapterCard(), TINY)
    model = str(tiny_folder)

    def call(command, *tokens):
        flags = [] if command in ("reproduce", "convert") else ["--model", model, *CLIP]
        tokens = [model if token == "MODEL" else token for token in tokens]
        return main([command, *tokens, *flags]), *capsys.readouterr()

    return call


def test_reproduce_needs_the_adapters_of_a_clip(run, tmp_path):
    flags = ("--adapter", "first:0.5", "--adapter", "second:0.2@0.1-1")
    assert run("generate", "a dog", "-o", "a.wav", *flags)[0] == 0
    assert run("generate", "a dog", "-o", "base.wav")[0] == 0
    assert not np.array_equal(soundfile.read("a.wav")[0], soundfile.read("base.wav")[0])
    uses = json.loads(io.info("a.wav")["tags"]["adapters"])
    assert [(use["path"], use["weight"]) for use in uses] == [("first", 0.5), ("second", 0.2)]
    assert run("reproduce", "a.wav", "-o", "b.wav") == (0, "b.wav  same\n", "")
    (tmp_path / "second").rename(tmp_path / "moved")
    code, _, err = run("reproduce", "a.wav", "-o", "c.wav")
    assert code == 2 and "was made with the adapter second" in err and err.count("\n") == 1
    result = run("reproduce", "a.wav", "-o", "c.wav", "--adapter", "moved")
    assert result == (0, "c.wav  same\n", "")


def test_a_batch_is_generated_again_with_another_adapter(run, tmp_path):
    (tmp_path / "list.txt").write_text("a dog\n")
    flags = ("--adapter", "first:0.5")
    _, out, _ = run("batch", "list.txt", "out", *flags)
    assert "1 generated" in out
    _, out, _ = run("batch", "list.txt", "out", *flags)
    assert "0 generated" in out
    _, out, _ = run("batch", "list.txt", "out", "--adapter", "first:0.6")
    assert "1 generated" in out


def test_a_converted_model_has_the_adapter_inside(run):
    assert run("generate", "a dog", "-o", "a.wav", "--adapter", "first:0.5")[0] == 0
    code, _, err = run(
        "convert", "MODEL", "merged", "--layout", "latentaudio", "--adapter", "first:0.5"
    )
    assert code == 0, err
    assert main(["generate", "a dog", "-o", "b.wav", "--model", "merged", *CLIP]) == 0
    assert np.abs(soundfile.read("a.wav")[0] - soundfile.read("b.wav")[0]).max() < 1e-3
    limited = ("--adapter", "first@0-0.5")
    code, _, err = run("convert", "MODEL", "other", "--layout", "latentaudio", *limited)
    assert code == 2 and "limited to some noise levels" in err


@pytest.mark.parametrize("text", ["nowhere", "first:20", "first@1-0", ""])
def test_a_wrong_adapter_is_one_line(run, text):
    code, _, err = run("generate", "a dog", "-o", "a.wav", "--adapter", text)
    assert code == 2 and err.count("\n") == 1
