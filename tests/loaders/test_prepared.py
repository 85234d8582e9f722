"""Prepared weights: the same bits, written once, found again, dropped when they are stale."""

import os
import shutil
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from safetensors import safe_open

from latentaudio import load
from latentaudio.fileio import atomic_write
from latentaudio.loaders import prepared
from latentaudio.loaders.resolve import resolve_model

NAMES = ("unet", "vae", "vocoder")
BF16 = torch.bfloat16
QUICK = {"duration": 0.5, "steps": 2, "seed": 7}


@pytest.fixture(autouse=True)
def small_and_settled(monkeypatch):
    """Prepare models of any size, at once."""
    monkeypatch.setattr(prepared, "MIN_BYTES", 0)
    monkeypatch.setattr(prepared, "SETTLE_S", 0.0)
    monkeypatch.setattr(prepared, "FREE_BYTES", 0)
    monkeypatch.setattr(prepared, "_SMALL_BYTES", 256)  # so that most tensors are mapped
    monkeypatch.setattr(prepared, "_ANNOUNCED", set())


@pytest.fixture
def source(tiny_folder, tmp_path):
    """A model in a folder of its own."""
    return resolve_model(shutil.copytree(tiny_folder, tmp_path / "model"))


def finish():
    """Wait until files have their names."""
    for thread in threading.enumerate():
        if thread.name == "prepared weights":
            thread.join()


def load_quietly(source, name="unet", dtype=BF16):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = prepared.load_prepared(source, name, dtype)
    finish()
    return module


def file_of(source, name="unet"):
    [file] = (source.path / prepared.FOLDER).glob(f"{name}.*")
    return file


def assert_equal(module, other):
    first = module.state_dict()
    second = other.state_dict()
    assert list(first) == list(second)
    for key, value in first.items():
        assert value.dtype == second[key].dtype, key
        assert value.stride() == second[key].stride(), key
        assert torch.equal(value, second[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_prepared_weights_are_those_of_the_model_when_written_and_when_read(source, name):
    expected = source.load_component(name, BF16)
    assert_equal(load_quietly(source, name), expected)
    written = file_of(source, name)
    before = written.stat().st_mtime_ns
    assert_equal(load_quietly(source, name), expected)
    assert written.stat().st_mtime_ns == before
    with safe_open(written, "pt") as opened:  # any reader of such files can open it
        assert set(opened.keys()) == set(expected.state_dict())


def test_mapped_tensors_begin_where_tensors_in_memory_would(source):
    load_quietly(source)
    module = load_quietly(source)
    for key, value in module.state_dict().items():
        assert value.data_ptr() % prepared._ALIGNMENT == 0, key


def test_clips_are_the_same_bit_for_bit(source):
    [expected] = load(source.path, "cpu", "bf16").generate("a dog", **QUICK)
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = load(source.path, "cpu", "bf16", use_cache=True)
            [clip] = model.generate("a dog", **QUICK)
        finish()
        np.testing.assert_array_equal(clip.samples, expected.samples)
    assert len(prepared.prepared_files(source.path)) == len(NAMES)


def test_the_line_names_the_folder_and_comes_once(source):
    with pytest.warns(UserWarning, match="keeping weights for faster starts in .*latentaudio") as w:
        for name in NAMES:
            prepared.load_prepared(source, name, BF16)
    finish()
    assert len(w) == 1


def test_other_weights_of_the_same_size_and_time_are_prepared_again(source):
    load_quietly(source)
    weights = source.path / "unet.safetensors"
    state = weights.stat()
    data = bytearray(weights.read_bytes())
    data[-40] ^= 1  # one bit of the last tensor
    weights.write_bytes(data)
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert weights.stat().st_mtime_ns == state.st_mtime_ns
    assert_equal(load_quietly(source), source.load_component("unet", BF16))
    [_] = (source.path / prepared.FOLDER).iterdir()  # the stale file is gone


def test_a_file_that_has_just_changed_is_not_prepared(source, monkeypatch):
    monkeypatch.setattr(prepared, "SETTLE_S", 60.0)
    assert load_quietly(source) is None
    assert prepared.prepared_files(source.path) == []


@pytest.mark.parametrize("damage", ["cut", "bit", "header", "empty", "length"])
def test_a_damaged_file_is_written_again(source, damage):
    load_quietly(source)
    file = file_of(source)
    data = bytearray(file.read_bytes())
    match damage:
        case "cut":
            data = data[:-64]
        case "bit":
            data[-3] ^= 4
        case "header":
            data[20] ^= 1
        case "empty":
            data = bytearray()
        case "length":
            data[:8] = b"\xff" * 8
    file.write_bytes(data)
    expected = source.load_component("unet", BF16)
    assert_equal(load_quietly(source), expected)
    assert file.read_bytes() != data
    assert_equal(load_quietly(source), expected)


def test_another_component_file_does_not_take_the_place_of_the_models_own(source, tmp_path):
    own = load_quietly(source, "vae")
    other_folder = shutil.copytree(source.path, tmp_path / "other")
    other = resolve_model(other_folder)
    module = other.load_component("vae")
    for weight in module.parameters():
        weight.data.mul_(2.0)
    from latentaudio.loaders.model_folder import save_component

    save_component(other_folder, "vae", module.state_dict())
    replaced = resolve_model(source.path, components={"vae": other_folder})
    assert_equal(load_quietly(replaced, "vae"), other.load_component("vae", BF16))
    assert_equal(load_quietly(source, "vae"), own)
    assert len(list((source.path / prepared.FOLDER).glob("vae.*"))) == 2


def test_nothing_is_prepared_without_a_conversion_or_for_small_networks(source, monkeypatch):
    monkeypatch.setattr(prepared, "MIN_BYTES", 1)
    assert load_quietly(source, dtype=torch.float32) is None
    monkeypatch.setattr(prepared, "MIN_BYTES", 64 << 20)
    assert load_quietly(source) is None
    assert prepared.prepared_files(source.path) == []


def test_where_the_model_cannot_be_written_the_users_caches_are_used(source, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != source.path and access(path, mode))
    load_quietly(source)
    [file] = prepared.prepared_files(source.path)
    assert file.parent == prepared.folders(source.path)[1]
    assert not (source.path / prepared.FOLDER).exists()
    assert_equal(load_quietly(source), source.load_component("unet", BF16))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.warns(UserWarning, match="no weights are kept for later starts: neither"):
        assert prepared.load_prepared(source, "vae", BF16) is None


def test_a_full_disk_is_one_line_and_leaves_nothing(source, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepared, "_write_tensors", fail)
    monkeypatch.setattr(prepared, "_ANNOUNCED", {source.path / prepared.FOLDER})
    with pytest.warns(UserWarning, match="no weights are kept for later starts: .*No space left"):
        assert prepared.load_prepared(source, "unet", BF16) is None
    assert not (source.path / prepared.FOLDER).exists()
    monkeypatch.setattr(prepared, "FREE_BYTES", 1 << 62)
    with pytest.warns(UserWarning, match="too little room for"):
        assert prepared.load_prepared(source, "unet", BF16) is None


def test_what_a_killed_process_left_is_deleted_by_the_next_one(source):
    folder = source.path / prepared.FOLDER
    code = "import os, sys; from latentaudio.fileio import atomic_write; from pathlib import Path\n"
    code += "with atomic_write(Path(sys.argv[1])) as part: os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(folder / "unet.safetensors")], check=False)
    [part] = prepared.prepared_files(source.path)
    assert part.suffix == ".part"
    load_quietly(source)
    assert [file.name.partition(".")[0] for file in folder.iterdir()] == ["unet"]


def test_processes_that_prepare_at_once_do_not_disturb_each_other(source):
    """Every process holds its own file open, and the last one that is finished stays."""
    expected = source.load_component("unet", BF16)
    modules = []
    threads = [
        threading.Thread(target=lambda: modules.append(load_quietly(source))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for module in modules:
        assert_equal(module, expected)
    [_] = (source.path / prepared.FOLDER).iterdir()


def test_a_file_in_use_can_be_replaced(source):
    load_quietly(source)
    module = load_quietly(source)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with atomic_write(file_of(source)) as temporary:
        temporary.write_bytes(bytes(100_000))
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_changing_mapped_weights_does_not_change_the_file(source):
    load_quietly(source)
    data = file_of(source).read_bytes()
    for weight in load_quietly(source).requires_grad_(False).parameters():
        weight.add_(1.0)
    assert file_of(source).read_bytes() == data


def test_the_environment_switches_it_off(source, monkeypatch):
    monkeypatch.setenv(prepared.OFF_VARIABLE, "1")
    model = load(source.path, "cpu", "bf16", use_cache=True)
    model.generate("a dog", **QUICK)
    assert prepared.prepared_files(source.path) == []
    assert not model.components.use_cache


def test_adapters_are_never_part_of_prepared_weights(source, monkeypatch):
    """Components with adapters are not prepared: the sum is made in float32."""
    calls = []
    monkeypatch.setattr(
        "latentaudio.loaders.component_store.load_prepared", lambda *a: calls.append(a)
    )
    model = load(source.path, "cpu", "bf16", use_cache=True)

    class Merged:
        def is_on(self, component, noise_level):
            return component == "unet"

    object.__setattr__(model.components.source, "adapters", (Merged(),))
    monkeypatch.setattr("latentaudio.loaders.adapters.merge_adapters", lambda *_: {})
    model.components["vae"]
    model.components["unet"]
    assert [call[1] for call in calls] == ["vae"]


def test_waiting_for_the_disk_does_not_hold_up_the_caller(source, monkeypatch):
    fsync = os.fsync
    synced = threading.Event()

    def slow(descriptor):
        time.sleep(0.3)
        fsync(descriptor)
        synced.set()

    monkeypatch.setattr(os, "fsync", slow)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = prepared.load_prepared(source, "unet", BF16)
    assert not synced.is_set()
    assert next(module.parameters()).dtype == BF16
    finish()
    assert synced.is_set() and file_of(source).is_file()
