"""Encoded prompts on the disk: the same clip without text encoders, and never a wrong one."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from latentaudio import AudioLDM, load
from latentaudio.cli.main import main
from latentaudio.conditioning.base import EncoderInputs
from latentaudio.fileio import CACHE_VARIABLE
from latentaudio.generation import prompt_cache
from latentaudio.generation.prompt_cache import prompt_files
from latentaudio.loaders import prepared
from latentaudio.loaders.resolve import resolve_model

QUICK = {"duration": 0.5, "steps": 2, "seed": 7}
ENCODERS = {"clap", "t5", "latent_prior", "translator"}


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch, tmp_path):
    """A folder of caches for each test."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def generate(folder, prompt="a dog", **options):
    model = load(folder, "cpu", "fp32", use_cache=True)
    [clip] = model.generate(prompt, **{**QUICK, **options})
    return clip.samples


def test_a_repeated_prompt_loads_no_text_encoder_and_gives_the_same_clip(tiny_folder, loaded):
    model = load(tiny_folder, "cpu", "fp32")
    [expected] = model.generate("a dog", negative_prompt="music", **QUICK)
    assert prompt_files() == []  # Python keeps nothing unless it is asked to
    np.testing.assert_array_equal(generate(tiny_folder, negative_prompt="music"), expected.samples)
    assert len(prompt_files()) == 2
    loaded.clear()
    np.testing.assert_array_equal(generate(tiny_folder, negative_prompt="music"), expected.samples)
    assert loaded and not ENCODERS & set(loaded)
    loaded.clear()
    generate(tiny_folder, "a bell", negative_prompt="music")
    assert set(loaded) >= ENCODERS


@pytest.mark.parametrize("kind", ["film_folder", "tiny_folder"])
def test_all_parts_of_a_conditioning_come_back(kind, request):
    folder = request.getfixturevalue(kind)
    num_tokens = 8 if kind == "tiny_folder" else 0
    inputs = EncoderInputs(("a dog", "rain on a roof"), num_tokens, 8)
    with torch.inference_mode():
        first = load(folder, "cpu", "fp32", use_cache=True).encode([inputs])[inputs]
        again = load(folder, "cpu", "fp32", use_cache=True).encode([inputs])[inputs]
    assert len(prompt_files()) == 1
    for name in ("film", "prior"):
        one = getattr(first, name)
        other = getattr(again, name)
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)
    assert len(first.contexts) == len(again.contexts)
    for one, other in zip(first.contexts, again.contexts, strict=True):
        assert torch.equal(one.tokens, other.tokens) and torch.equal(one.mask, other.mask)
        assert one.mask.dtype == other.mask.dtype


def test_other_inputs_weights_and_threads_are_other_entries(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")

    def key(inputs, source=None):
        model = AudioLDM(source or resolve_model(folder), "cpu", "fp32", use_cache=True)
        return model._prompt_cache._file(inputs).name

    inputs = EncoderInputs(("a dog",), 8, 8)
    keys = [key(inputs)]
    assert key(inputs) == keys[0]
    changes = (
        {"texts": ("a dog ",)},
        {"texts": ("a", "dog")},
        {"num_loa_tokens": 4},
        {"num_latent_frames": 16},
        {"t5_length": 20},
        {"clap_dropout": (True,)},
        {"is_unconditional": True},
    )
    keys += [key(replace(inputs, **change)) for change in changes]
    keys.append(key(inputs, resolve_model(folder, reference="original")))
    torch.set_num_threads(torch.get_num_threads() + 1)
    keys.append(key(inputs))
    torch.set_num_threads(torch.get_num_threads() - 1)
    weights = folder / "t5.safetensors"
    state = weights.stat()
    data = bytearray(weights.read_bytes())
    data[-8] ^= 1
    weights.write_bytes(data)
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    keys.append(key(inputs))
    assert len(set(keys)) == len(keys)


def test_replaced_encoders_and_adapters_use_no_entries(tiny_folder):
    [expected] = load(tiny_folder, "cpu", "fp32").generate("a dog", **QUICK)
    generate(tiny_folder)
    num_files = len(prompt_files())
    model = load(tiny_folder, "cpu", "fp32", use_cache=True)
    other = model.source.load_component("t5").requires_grad_(False)
    for weight in other.parameters():
        weight.mul_(1.5)
    model.components.replace("t5", other)
    [clip] = model.generate("a dog", **QUICK)
    assert np.abs(clip.samples - expected.samples).max() > 1e-4
    assert len(prompt_files()) == num_files


@pytest.mark.parametrize("damage", ["cut", "value", "empty"])
def test_a_damaged_entry_is_encoded_again(tiny_folder, loaded, damage):
    expected = generate(tiny_folder)
    for file in prompt_files():
        data = bytearray(file.read_bytes())
        match damage:
            case "cut":
                data = data[:-4]
            case "value":
                data[-2] ^= 64
            case "empty":
                data = bytearray()
        file.write_bytes(data)
    loaded.clear()
    np.testing.assert_array_equal(generate(tiny_folder), expected)
    assert set(loaded) >= ENCODERS
    loaded.clear()
    np.testing.assert_array_equal(generate(tiny_folder), expected)
    assert not ENCODERS & set(loaded)


def test_the_oldest_entries_are_deleted_and_a_used_one_is_young(tiny_folder, monkeypatch):
    monkeypatch.setattr(prompt_cache, "MAX_ENTRIES", 3)
    model = load(tiny_folder, "cpu", "fp32", use_cache=True)
    inputs = [EncoderInputs((f"dog {k}",), 8, 8) for k in range(5)]
    files = []
    with torch.inference_mode():
        for k, each in enumerate(inputs[:3]):
            model.encode([each])
            files.append(model._prompt_cache._file(each))
            os.utime(files[-1], (k + 1, k + 1))
        load(tiny_folder, "cpu", "fp32", use_cache=True).encode([inputs[0]])
        model.encode([inputs[3]])
    assert files[0].exists() and not files[1].exists() and files[2].exists()
    monkeypatch.setattr(prompt_cache, "MAX_BYTES", 2 * files[0].stat().st_size)
    with torch.inference_mode():
        model.encode([inputs[4]])
    assert len(prompt_files()) == 2


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_next_start(
    tiny_folder, cache_folder
):
    cache_folder.write_text("a file where the folder should be")
    [expected] = load(tiny_folder, "cpu", "fp32").generate("a dog", **QUICK)
    np.testing.assert_array_equal(generate(tiny_folder), expected.samples)


def test_the_flag_and_the_environment_switch_it_off(tiny_folder, tmp_path, monkeypatch, capsys):
    words = ["generate", "a dog", "--model", str(tiny_folder), "--duration", "0.5", "--steps", "1"]
    words += ["--device", "cpu", "--quiet", "-o"]
    assert main([*words, str(tmp_path / "a.wav"), "--no-cache"]) == 0
    monkeypatch.setenv(prepared.OFF_VARIABLE, "1")
    assert main([*words, str(tmp_path / "b.wav")]) == 0
    assert prompt_files() == []
    monkeypatch.setenv(prepared.OFF_VARIABLE, "0")
    assert main([*words, str(tmp_path / "c.wav")]) == 0
    assert prompt_files() != []
    assert capsys.readouterr().err == ""


def test_no_prompt_is_stored_as_text(tiny_folder, cache_folder):
    generate(tiny_folder, "a very secret dog")
    for file in cache_folder.rglob("*"):
        assert file.is_dir() or b"secret" not in file.read_bytes()
    assert prompt_files() != []
