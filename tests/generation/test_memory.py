"""What a request will need is told before it is made: sizes of parts, who is in memory together, and what is free."""

import json
from pathlib import Path

import pytest
import torch

from latentaudio import load
from latentaudio.cli.main import main
from latentaudio.config.options import GenerationOptions
from latentaudio.config.registry import MODELS
from latentaudio.errors import GenerationError
from latentaudio.generation import memory
from latentaudio.loaders.component_store import ComponentStore
from latentaudio.loaders.resolve import ModelSource


def parts(name="audioldm2-full", dtype=torch.bfloat16, lean=True):
    return ComponentStore(ModelSource(name, None, MODELS[name], {}), torch.device("cpu"), dtype, lean)


def gigabytes(parts_, seconds=10.24, **wishes):
    return memory.estimate_memory(parts_, GenerationOptions(prompt="rain", duration=seconds, **wishes), 1024).required_gb


@pytest.mark.parametrize(
    "name", ["audioldm-s-full", "audioldm-l-full", "audioldm2-full", "audioldm2-full-large-1150k"]
)
def test_parts_are_as_large_as_their_authors_say(name):
    assert memory.num_parameters("unet", MODELS[name].config) == MODELS[name].unet_parameters


def test_turns_types_and_lengths_count():
    t5 = 0.341231104 * 4  # the largest part of audioldm2-full by itself
    lean = gigabytes(parts())
    assert t5 + 0.3 < lean < t5 + 1.0
    assert (
        gigabytes(parts(lean=False)) > lean + 0.9
    )  # T5 stays, and CLAP, GPT-2, UNet, VAE and vocoder beside it
    assert gigabytes(parts(dtype=None)) > lean + 0.4
    assert lean < gigabytes(parts(), 300) < lean + 0.2
    assert gigabytes(parts(), candidates=3) > lean + 0.2  # CLAP stays


def test_too_much_is_told_before_anything_is_loaded(tiny_folder, monkeypatch):
    model = load(tiny_folder)
    need = model.estimate_memory(model.resolve_requests(["rain", "snow"], **{"duration": 2.56}))
    assert need.fits and 0.5 < need.required_gb < 1.0 and "GB of memory" in str(need)
    monkeypatch.setattr(memory, "available_memory", lambda device: 0.25)
    small = model.estimate_memory(model.resolve_requests(["rain"], **{}))
    assert not small.fits and "0.2 GB are available: use bf16" in str(small)
    monkeypatch.setattr(memory, "available_memory", lambda device: None)
    assert model.estimate_memory(model.resolve_requests(["rain"], **{})).fits


def test_published_models_warn_of_too_little(tiny_folder, monkeypatch):
    from dataclasses import replace

    model = load(tiny_folder)
    source = model.system.source
    model.system.source = replace(source, spec=replace(source.spec, unet_parameters=1))
    monkeypatch.setattr(memory, "available_memory", lambda device: 0.25)
    with pytest.warns(UserWarning, match=r"takes about 0\.\d GB of memory; 0\.2 GB are available"):
        model.generate("rain", duration=1.28, steps=1)


def test_a_containers_limit_is_what_it_leaves(tmp_path):
    assert memory._cgroup_headroom(tmp_path) == float("inf")
    for name, text in (
        ("memory.max", "max\n"),
        ("memory.current", "3000000000\n"),
        ("memory.stat", "anon 5\nfile 1200000000\nshmem 200000000\n"),
    ):
        (tmp_path / name).write_text(text)
    assert memory._cgroup_headroom(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("4000000000\n")
    assert memory._cgroup_headroom(tmp_path) == 2.0


def test_memory_is_what_is_free_and_what_is_held(monkeypatch):
    told = {"MemAvailable:": 3_000_000, "RssAnon:": 500_000}
    monkeypatch.setattr(memory, "_read_kilobytes", lambda file, name: told.get(name))
    monkeypatch.setattr(memory, "_cgroup_headroom", lambda group: 2.0)
    assert memory.available_memory(torch.device("cpu")) == 2.5
    monkeypatch.setattr(memory, "_cgroup_headroom", lambda group: float("inf"))
    assert memory.available_memory(torch.device("cpu")) == 3.5
    told.pop("MemAvailable:")
    assert memory.available_memory(torch.device("cpu")) is None


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="reads Linux's files")
def test_what_this_machine_tells_is_plausible():
    total = memory._read_kilobytes("/proc/meminfo", "MemTotal:")
    assert 0.05 < memory.available_memory(torch.device("cpu")) < 1.2 * total / 1e6
    assert (
        memory._read_kilobytes("/proc/meminfo", "NoSuch:") is None
        and memory._read_kilobytes("/no/such/file", "X:") is None
    )


def test_running_out_is_one_line():
    def fails():
        yield 1
        raise RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )

    with pytest.raises(GenerationError, match="memory does not suffice"):
        list(memory.raise_on_oom(fails()))


def test_an_estimate_makes_nothing(tiny_folder, tmp_path, capsys):
    asked = [
        "generate",
        "rain",
        "--model",
        str(tiny_folder),
        "-o",
        str(tmp_path / "a.wav"),
        "--estimate-memory",
    ]
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["required_gb"] > 0.3
    main(asked)
    assert (
        capsys.readouterr().out.startswith("this takes about 0.")
        and not (tmp_path / "a.wav").exists()
    )
