"""Clips of a store answer requests to the weights that made them, and to no others."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentaudio.serve.files import FileReader, Uploads
from latentaudio.serve.limits import Limits
from latentaudio.serve.model_pool import ModelKey, ModelPool, PoolSettings
from latentaudio.serve.planning import Planner
from latentaudio.serve.store import Store


@pytest.fixture
def folder(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "tiny")


@pytest.fixture
def digest_of(tmp_path):
    """Return a function from a pool to the digest of one request."""
    uploads = Uploads(Store(tmp_path / "store"), Limits())

    def digest(pool, **fields):
        wire = {"prompt": "dog", "seed": 3, "duration": 1.0, **fields}
        return Planner(pool, Limits()).plan(wire, FileReader("", uploads, None)).digest

    return digest


def pool_of(folder, *adapters):
    return ModelPool(PoolSettings([str(folder)], adapters, device="cpu", precision="fp32"))


def retrain(file):
    """Change one weight of a file and nothing of its size or name."""
    tensors = load_file(file)
    name = min(tensors)
    tensors[name] = tensors[name] + 1.0
    size = file.stat().st_size
    save_file(tensors, file)
    assert file.stat().st_size == size


def test_other_weights_in_the_same_folder_are_another_request(folder, digest_of):
    before = digest_of(pool_of(folder))
    assert digest_of(pool_of(folder)) == before
    retrain(folder / "unet.safetensors")
    assert digest_of(pool_of(folder)) != before


def test_a_moved_folder_is_the_same_request(folder, digest_of, tmp_path):
    before = digest_of(pool_of(folder))
    (tmp_path / "elsewhere").mkdir()
    assert digest_of(pool_of(folder.rename(tmp_path / "elsewhere" / "tiny"))) == before


def test_other_weights_of_an_adapter_are_another_request(folder, digest_of, tmp_path):
    file = tmp_path / "adapter.safetensors"  # a plan reads no tensor of it
    save_file({"unet.layer.lora_A.weight": torch.zeros(2, 2)}, file)
    before = digest_of(pool_of(folder, f"own={file}"), adapter="own")
    assert digest_of(pool_of(folder, f"own={file}"), adapter="own") == before
    assert digest_of(pool_of(folder, f"own={file}:0.5"), adapter="own") != before
    assert digest_of(pool_of(folder, f"own={file}")) != before
    retrain(file)
    assert digest_of(pool_of(folder, f"own={file}"), adapter="own") != before


def test_a_loaded_model_keeps_its_weights_until_it_is_dropped(folder, digest_of):
    pool = pool_of(folder)
    pool.load(ModelKey(pool.default))
    before = digest_of(pool)
    retrain(folder / "unet.safetensors")
    assert digest_of(pool) == before
    pool.unload()
    assert digest_of(pool) != before


def test_unknown_weights_are_never_answered_from_the_store(folder, digest_of):
    pool = pool_of(folder)
    shutil.rmtree(folder)
    assert digest_of(pool) == ""
