"""Files of tensors: every format opens lazily, nothing in one is executed, damage is told with what to do."""

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
def test_every_wrapping_of_a_pickle(tmp_path, content, ending):
    found = open_tensors(save(tmp_path / f"x.{ending}", content))
    assert set(found) == set(STATE) and len(found) == 2
    assert torch.equal(found["a.weight"], STATE["a.weight"]) and found.shape("a.weight") == (2, 3)


def test_safetensors_and_shards(tmp_path):
    save_file({"a.weight": STATE["a.weight"]}, tmp_path / "model-1.safetensors")
    save_file({"b": STATE["b"]}, tmp_path / "model-2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"a.weight": "model-1.safetensors", "b": "model-2.safetensors"}})
    )
    found = open_tensors(index)
    assert {name: found.shape(name) for name in found} == {"a.weight": (2, 3), "b": ()}
    assert torch.equal(found["a.weight"], STATE["a.weight"])
    index.write_text(json.dumps({"weight_map": {"c": "model-2.safetensors"}}))
    with pytest.raises(WeightsError, match="lack, the first is c"):
        open_tensors(index)


@pytest.mark.parametrize("stored", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wanted", [None, torch.float32, torch.bfloat16])
def test_casting_is_torchs_own(tmp_path, stored, wanted):
    state = {
        "a": torch.randn(3, 5).to(stored),
        "n": torch.arange(4),
        "empty": torch.zeros(0, 2, dtype=stored),
    }
    state["one"] = torch.tensor(2.5).to(stored)
    save_file(state, tmp_path / "x.safetensors")
    found = open_tensors(tmp_path / "x.safetensors")
    for name, value in state.items():
        want = value.to(wanted) if wanted and value.is_floating_point() else value
        got = found.cast(name, wanted)
        assert (
            got.dtype == want.dtype
            and torch.equal(got, want)
            and found.shape(name) == tuple(value.shape)
        )


def test_views_by_prefix_and_name(tmp_path):
    found = open_tensors(save(tmp_path / "x.pth", {"p.a": STATE["b"], "q": STATE["b"]}))
    assert list(found.with_prefix("p.")) == ["a"]
    assert set(found.drop(frozenset({"q"})).rename({"p.a": "z"})) == {"z"}


class Evil:
    """What a poisoned checkpoint does when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch /tmp/latentaudio-was-here",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, zipped):
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
def test_a_file_cut_short_is_told(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    save_file(STATE, path) if ending == "safetensors" else save(path, STATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match=r"is damaged.*download it again"):
        open_tensors(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_broken_bytes_never_show_a_traceback(tmp_path, zipped):
    torch.save(STATE, whole := tmp_path / "whole.pt", _use_new_zipfile_serialization=zipped)
    content, path = whole.read_bytes(), tmp_path / "x.pt"
    for size in range(0, len(content), 1 + len(content) // 150):
        path.write_bytes(content[:size])
        with pytest.raises(WeightsError):
            open_tensors(path)


@pytest.mark.parametrize(
    ("name", "content", "line"),
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
def test_what_is_no_file_of_weights(tmp_path, name, content, line):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=line) as caught:
        open_tensors(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "places",
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
def test_an_index_that_names_no_plain_files_is_damaged(tmp_path, places):
    save_file(STATE, tmp_path / "x.safetensors")
    index = tmp_path / "sub" / "x.safetensors.index.json"
    index.parent.mkdir()
    index.write_text(json.dumps({"weight_map": places}))
    with pytest.raises(WeightsError) as caught:
        open_tensors(index)
    assert str(caught.value) == f"{index} is damaged; download it again"


@pytest.mark.parametrize("content", [3, {"a": 3}, [torch.zeros(2)]])
def test_a_checkpoint_without_named_tensors(tmp_path, content):
    with pytest.raises(WeightsError, match="name the file of the weights"):
        open_tensors(save(tmp_path / "x.pth", content))
