"""Components of a model: loaded when needed, in turns with low memory, replaced and moved."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from latentaudio import AudioLDM, load
from latentaudio.errors import GenerationError, WeightsError
from latentaudio.loaders.component_store import ComponentStore
from latentaudio.loaders.resolve import resolve_model

QUICK = {"duration": 0.5, "steps": 2, "seed": 7}


def test_components_load_once_and_only_when_needed(tiny_folder, loaded):
    model = load(tiny_folder, "cpu", "fp32")
    assert loaded == []
    model.generate("a dog", **QUICK)
    model.generate("a dog", **QUICK)
    assert sorted(loaded) == ["clap", "latent_prior", "t5", "translator", "unet", "vae", "vocoder"]


def test_small_models_ignore_low_memory(tiny_folder):
    model = AudioLDM(resolve_model(tiny_folder), "cpu", "fp32", low_memory=True)
    assert not model.components.low_memory


def test_with_low_memory_components_take_turns(tiny_folder, loaded, monkeypatch):
    source = resolve_model(tiny_folder)
    source = replace(source, spec=replace(source.spec, original_checkpoint="tiny.ckpt"))
    model = AudioLDM(source, "cpu", "fp32", low_memory=True)
    in_memory = []
    getitem = ComponentStore.__getitem__

    def recorded(components, name):
        module = getitem(components, name)
        in_memory.append(frozenset(components._loaded))
        return module

    monkeypatch.setattr(ComponentStore, "__getitem__", recorded)
    clips = model.generate(["a dog", "a bell"], **QUICK)
    # each once for both clips
    assert loaded == ["clap", "t5", "latent_prior", "translator", "unet", "vae", "vocoder"]
    for names in in_memory:
        assert len(names) == 1 or names <= {"unet", "vae", "vocoder"}
    # the UNet was released before the last clip was decoded
    assert frozenset({"vae", "vocoder"}) in in_memory
    model = AudioLDM(resolve_model(tiny_folder), "cpu", "fp32")
    for clip, expected in zip(clips, model.generate(["a dog", "a bell"], **QUICK), strict=True):
        np.testing.assert_array_equal(clip.samples, expected.samples)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_an_error_with_advice(tiny_folder, monkeypatch, error):
    def fail(*_):
        raise error

    model = load(tiny_folder, "cpu", "fp32")
    monkeypatch.setattr(type(model.codec), "decode", fail)
    with pytest.raises(GenerationError, match="memory does not suffice; use bf16"):
        model.generate("a dog", **QUICK)
    error = RuntimeError("another")
    with pytest.raises(RuntimeError, match="another"):
        model.generate("a dog", **QUICK)


def test_replacing_an_encoder_clears_the_cache(tiny_folder):
    model = load(tiny_folder, "cpu", "fp32")
    [before] = model.generate("a dog", **QUICK)
    other = model.source.load_component("t5").requires_grad_(False)
    for weight in other.parameters():
        weight.mul_(1.5)
    model.components.replace("t5", other)
    [after] = model.generate("a dog", **QUICK)
    assert np.abs(before.samples - after.samples).max() > 1e-4


def test_a_replaced_component_stays_through_moves_and_releases(tiny_folder):
    model = load(tiny_folder, "cpu", "fp32")
    unet = model.source.load_component("unet")
    model.components.replace("unet", unet)
    model.components.release("unet", "vae")
    model.to("cpu", "bf16")
    assert model.unet is unet
    assert {weight.dtype for weight in unet.parameters()} == {torch.bfloat16}
    vae = model.components.unpacked("vae")
    model.to("cpu", "fp32")
    assert model.vae is vae
    assert model.unet is unet
    assert {weight.dtype for weight in unet.parameters()} == {torch.float32}


def test_a_missing_component_is_named(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "half")
    (tmp_path / "half" / "unet.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"has no unet\.safetensors"):
        load(tmp_path / "half").generate("a dog", **QUICK)
