"""Files of tensors: every format opens lazily, no code in it runs, damage is reported."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from latentaudio.errors import WeightsError
from latentaudio.loaders.tensor_files import open_tensors

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor(3)}


def save(path, content):
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE},
        {"generator": STATE},
        {"state_dict": {f"_orig_mod.{k}": v for k, v in STATE.items()}},
    ],
    ids=["plain", "lightning", "audiomae", "hifigan", "compiled"],
)
@pytest.mark.parametrize("ending", ["ckpt", "pth", "bin", "pt"])
def test_wrappers_of_a_pickled_state_are_removed(tmp_path, content, ending):
    tensors = open_tensors(save(tmp_path / f"x.{ending}", content))
    assert set(tensors) == set(STATE) and len(tensors) == 2
    assert torch.equal(tensors["a.weight"], STATE["a.weight"]) and tensors.shape("a.weight") == (
        2,
        3,
    )


def test_safetensors_and_shards(tmp_path):
    save_file({"a.weight": STATE["a.weight"]}, tmp_path / "model-1.safetensors")
    save_file({"b": STATE["b"]}, tmp_path / "model-2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"a.weight": "model-1.safetensors", "b": "model-2.safetensors"}})
    )
    tensors = open_tensors(index)
    assert {name: tensors.shape(name) for name in tensors} == {"a.weight": (2, 3), "b": ()}
    assert torch.equal(tensors["a.weight"], STATE["a.weight"])
    index.write_text(json.dumps({"weight_map": {"c": "model-2.safetensors"}}))
    with pytest.raises(WeightsError, match="lack, the first is c"):
        open_tensors(index)


@pytest.mark.parametrize("stored", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16])
def test_cast_equals_torch_conversion(tmp_path, stored, dtype):
    state = {
        "a": torch.randn(3, 5).to(stored),
        "n": torch.arange(4),
        "empty": torch.zeros(0, 2, dtype=stored),
    }
    state["one"] = torch.tensor(2.5).to(stored)
    save_file(state, tmp_path / "x.safetensors")
    tensors = open_tensors(tmp_path / "x.safetensors")
    for name, value in state.items():
        expected = value.to(dtype) if dtype and value.is_floating_point() else value
        actual = tensors.cast(name, dtype)
        assert (
            actual.dtype == expected.dtype
            and torch.equal(actual, expected)
            and tensors.shape(name) == tuple(value.shape)
        )


def test_tensors_are_selected_by_prefix_and_renamed(tmp_path):
    tensors = open_tensors(save(tmp_path / "x.pth", {"p.a": STATE["b"], "q": STATE["b"]}))
    assert list(tensors.with_prefix("p.")) == ["a"]
    assert set(tensors.drop(frozenset({"q"})).rename({"p.a": "z"})) == {"z"}


class Evil:
    """An object whose unpickling runs a command."""

    def __reduce__(self):
        return os.system, ("touch /tmp/latentaudio-was-here",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_executed(tmp_path, zipped):
    path, trace = tmp_path / "x.ckpt", tmp_path / "trace"

    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {trace}",)

    torch.save(
        {"state_dict": STATE, "hyper_parameters": Trap()},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(
        WeightsError, match=r"contains code \((posix|nt)\.system\) and was not opened; use a"
    ):
        open_tensors(path)
    assert not trace.exists()


def test_a_bare_pickle_is_refused(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match=r"was not opened|is damaged"):
        open_tensors(path)


@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
def test_a_truncated_file_is_reported(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    save_file(STATE, path) if ending == "safetensors" else save(path, STATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match=r"is damaged.*download it again"):
        open_tensors(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_broken_bytes_always_raise_a_weights_error(tmp_path, zipped):
    torch.save(STATE, complete := tmp_path / "whole.pt", _use_new_zipfile_serialization=zipped)
    content, path = complete.read_bytes(), tmp_path / "x.pt"
    for size in range(0, len(content), 1 + len(content) // 150):
        path.write_bytes(content[:size])
        with pytest.raises(WeightsError):
            open_tensors(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.ckpt", None, "is missing"),
        ("x.txt", b"hello", "is not a file of weights; name one that ends in .safetensors, .bin"),
        ("x.ckpt", b"hello", "is damaged"),
        ("x.ckpt", b"\x80", "is damaged"),
        *(
            (f"x.{ending}", b"", "is empty; download it again")
            for ending in ("ckpt", "bin", "pth", "safetensors")
        ),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message) as error:
        open_tensors(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "weight_map",
    [
        ["a.bin"],
        "a.bin",
        None,
        {"a": 3},
        {"a": ["a.bin"]},
        {"a": "x.safetensors.index.json"},
        {"a": "../x.safetensors"},
        {"a": "/x.bin"},
        {"a": "..\\x.bin"},
        {"a": "c:x.bin"},
        {"a": "x.txt"},
        {"a": "a\nb.bin"},
    ],
)
def test_an_index_with_other_than_plain_file_names_is_damaged(tmp_path, weight_map):
    save_file(STATE, tmp_path / "x.safetensors")
    index = tmp_path / "sub" / "x.safetensors.index.json"
    index.parent.mkdir()
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(WeightsError) as error:
        open_tensors(index)
    assert str(error.value) == f"{index} is damaged; download it again"


@pytest.mark.parametrize("content", [3, {"a": 3}, [torch.zeros(2)]])
def test_a_checkpoint_without_named_tensors_is_refused(tmp_path, content):
    with pytest.raises(WeightsError, match="name the file of the weights"):
        open_tensors(save(tmp_path / "x.pth", content))
