"""Estimates of memory: sizes of components, which of them are loaded together, and what is free."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentaudio import load
from latentaudio.cli.main import main
from latentaudio.config.options import GenerationOptions
from latentaudio.config.registry import MODELS
from latentaudio.errors import DataError, GenerationError
from latentaudio.generation import memory
from latentaudio.loaders.component_store import ComponentStore
from latentaudio.loaders.resolve import spec_only

CPU = torch.device("cpu")


def required_gb(duration=10.24, dtype=torch.bfloat16, low_memory=True, **options):
    """Estimate for one clip of audioldm2-full."""
    components = ComponentStore(spec_only("audioldm2-full"), CPU, dtype, low_memory)
    request = GenerationOptions(prompt="rain", duration=duration, **options)
    return memory.estimate_memory(components, request, 1024).required_gb


@pytest.mark.parametrize(
    "name", ["audioldm-s-full", "audioldm-l-full", "audioldm2-full", "audioldm2-full-large-1150k"]
)
def test_components_have_the_published_size(name):
    assert memory.num_parameters("unet", MODELS[name].config) == MODELS[name].unet_parameters


def test_low_memory_types_durations_and_candidates_count():
    t5_gb = 0.341231104 * 4  # the largest component
    least = required_gb()
    assert t5_gb + 0.3 < least < t5_gb + 1.0
    # T5 stays, with CLAP, GPT-2, UNet, VAE and vocoder
    assert required_gb(low_memory=False) > least + 0.9
    assert required_gb(dtype=None) > least + 0.4
    assert least < required_gb(300) < least + 0.2
    assert required_gb(candidates=3) > least + 0.2  # CLAP stays


def test_an_estimate_knows_whether_the_memory_suffices(tiny_folder, monkeypatch):
    model = load(tiny_folder)
    estimate = model.estimate_memory(model.resolve_requests(["rain", "snow"], duration=2.56))
    assert estimate.fits
    assert 0.5 < estimate.required_gb < 1.0
    assert "GB of memory" in str(estimate)
    requests = model.resolve_requests(["rain"])
    monkeypatch.setattr(memory, "available_memory", lambda device: 0.25)
    estimate = model.estimate_memory(requests)
    assert not estimate.fits
    assert "0.2 GB are available: use bf16" in str(estimate)
    monkeypatch.setattr(memory, "available_memory", lambda device: None)
    assert model.estimate_memory(requests).fits


def test_published_models_warn_of_too_little_memory(tiny_folder, monkeypatch):
    model = load(tiny_folder)
    source = model.source
    model.source = replace(source, spec=replace(source.spec, original_checkpoint="tiny.ckpt"))
    monkeypatch.setattr(memory, "available_memory", lambda device: 0.25)
    with pytest.warns(UserWarning, match=r"takes about 0\.\d GB of memory; 0\.2 GB are available"):
        model.generate("rain", duration=1.28, steps=1)


def test_the_limit_of_a_container_counts(tmp_path):
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


def test_available_memory_is_free_memory_and_that_of_the_process(monkeypatch):
    kilobytes = {"MemAvailable:": 3_000_000, "RssAnon:": 500_000}
    monkeypatch.setattr(memory, "_read_kilobytes", lambda file, name: kilobytes.get(name))
    monkeypatch.setattr(memory, "_cgroup_headroom", lambda group: 2.0)
    assert memory.available_memory(CPU) == 2.5
    monkeypatch.setattr(memory, "_cgroup_headroom", lambda group: float("inf"))
    assert memory.available_memory(CPU) == 3.5
    kilobytes.pop("MemAvailable:")
    assert memory.available_memory(CPU) is None


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="reads Linux's files")
def test_available_memory_of_this_machine_is_plausible():
    total = memory._read_kilobytes("/proc/meminfo", "MemTotal:")
    assert 0.05 < memory.available_memory(CPU) < 1.2 * total / 1e6
    assert memory._read_kilobytes("/proc/meminfo", "NoSuch:") is None
    assert memory._read_kilobytes("/no/such/file", "X:") is None


def test_running_out_of_memory_is_an_error_with_advice():
    message = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
    with pytest.raises(GenerationError, match="memory does not suffice"), memory.raise_on_oom():
        raise RuntimeError(message)
    with pytest.raises(GenerationError, match="memory does not suffice"), memory.raise_on_oom():
        raise Exception("[ONNXRuntimeError] : 6 : Failed to allocate memory for buffer of size 9")
    with pytest.raises(RuntimeError, match="shapes"), memory.raise_on_oom():
        raise RuntimeError("shapes differ")
    with pytest.raises(DataError, match="cannot read"), memory.raise_on_oom():
        raise DataError("cannot read out of memory.wav")


def test_estimate_memory_generates_nothing(tiny_folder, tmp_path, capsys):
    path = tmp_path / "a.wav"
    command = ["generate", "rain", "--model", str(tiny_folder), "-o", str(path)]
    command.append("--estimate-memory")
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["required_gb"] > 0.3
    main(command)
    assert capsys.readouterr().out.startswith("this takes about 0.")
    assert not path.exists()


def test_an_estimate_includes_a_conversion(tiny_folder, monkeypatch):
    """A network that is to be converted takes more than one that ONNX Runtime maps."""
    needed = []
    for is_needed in (False, True):
        monkeypatch.setattr(
            ComponentStore, "is_conversion_needed", lambda store, name, known=is_needed: known
        )
        model = load(tiny_folder, backend="onnxruntime")
        requests = model.resolve_requests(["rain"], duration=1.0)
        needed.append(model.estimate_memory(requests).required_gb)
    num_weights = memory.num_parameters("unet", model.source.config)
    assert needed[1] - needed[0] == pytest.approx(8 * num_weights / 1e9)
