"""Model folders: written components load again, and errors name the tensors."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from latentaudio import load
from latentaudio.errors import WeightsError
from latentaudio.loaders import model_folder
from latentaudio.loaders.components import component_names
from latentaudio.loaders.resolve import resolve_model
from latentaudio.serve.weights import WeightHashes
from latentaudio.train.initial_components import resolve_initial_model


def test_components_load_as_they_were_written(tiny_folder):
    name, config, card = model_folder.read_config(tiny_folder)
    assert (name, card) == ("mini", {"made": "randomly"})
    for component in component_names(config):
        stored = load_file(tiny_folder / f"{component}.safetensors")
        module = model_folder.load_component(tiny_folder, component, config)
        assert not module.training
        state = module.state_dict()
        assert set(state) == set(stored)
        assert all(torch.equal(state[key], stored[key]) for key in stored)


def test_half_precision_files_load_as_float32(tiny_folder, tmp_path):
    config = model_folder.read_config(tiny_folder)[1]
    state = load_file(tiny_folder / "vae.safetensors")
    model_folder.save_component(tmp_path, "vae", state, torch.float16)
    small, large = (path / "vae.safetensors" for path in (tmp_path, tiny_folder))
    assert small.stat().st_size < 0.7 * large.stat().st_size
    module = model_folder.load_component(tmp_path, "vae", config)
    for key, value in module.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, state[key], atol=1e-3, rtol=1e-3)


def test_8_bit_rows_are_exact_to_half_a_step_of_their_scale(tiny_folder, tmp_path):
    config = model_folder.read_config(tiny_folder)[1]
    state = model_folder.load_component(tiny_folder, "t5", config).state_dict()
    state["shared.weight"][3] *= 100.0
    state["shared.weight"][4] = 0.0
    model_folder.save_component(
        tmp_path, "t5", state, int8_keys=["shared.weight", "encoder.embed_tokens.weight"]
    )
    restored = model_folder.load_component(tmp_path, "t5", config).state_dict()
    step = state["shared.weight"].abs().amax(dim=1) / 127
    error = (restored["shared.weight"] - state["shared.weight"]).abs().amax(dim=1)
    assert (error <= 0.501 * step).all() and (error > 0.1 * step)[5:].all()
    assert all(
        torch.equal(restored[key], state[key])
        for key in state
        if not key.endswith(("shared.weight", "embed_tokens.weight"))
    )
    assert (
        sum(
            v.element_size()
            for v in load_file(tmp_path / "t5.safetensors").values()
            if v.shape == (*step.shape, 24)
        )
        == 1
    )


def test_missing_tensors_wrong_shapes_and_damage_are_named(tiny_folder, tmp_path):
    config = model_folder.read_config(tiny_folder)[1]
    state = load_file(tiny_folder / "vae.safetensors")
    bias = state.pop("quant_conv.bias")
    save_file(state, tmp_path / "vae.safetensors")
    with pytest.raises(
        WeightsError, match=r"does not match the model: missing: quant_conv.bias \[8\];"
    ):
        model_folder.load_component(tmp_path, "vae", config)
    save_file({**state, "quant_conv.bias": bias[:-1].clone()}, tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match=r"wrong shape: quant_conv.bias is \[7\], not \[8\];"):
        model_folder.load_component(tmp_path, "vae", config)
    (tmp_path / "vae.safetensors").write_bytes(b"not at all")
    with pytest.raises(WeightsError, match="is damaged"):
        model_folder.load_component(tmp_path, "vae", config)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        model_folder.read_config(tmp_path)


@pytest.fixture
def folder_with_base(tiny_folder, tmp_path):
    """A folder that has a UNet alone, beside the folder with the other components."""
    shutil.copytree(tiny_folder, tmp_path / "models" / "base")
    folder = tmp_path / "models" / "small"
    folder.mkdir()
    config = model_folder.read_config(tiny_folder)[1]
    model_folder.write_config(folder, config, "mini", base="base")
    shutil.copy(tiny_folder / "unet.safetensors", folder)
    return folder


def test_components_that_a_folder_lacks_are_those_of_its_base(
    folder_with_base, tiny_folder, monkeypatch
):
    settings = {"duration": 0.6, "seed": 1, "steps": 2}
    [expected] = load(tiny_folder, "cpu").generate("rain", **settings)
    inner = folder_with_base / "inner"
    inner.mkdir()
    link = folder_with_base.parents[1] / "link"
    link.symlink_to(folder_with_base)
    for place, start in (
        (folder_with_base, inner),
        (".", folder_with_base),
        ("..", inner),
        (link, inner),
    ):
        monkeypatch.chdir(start)
        [clip] = load(place, "cpu").generate("rain", **settings)
        assert np.array_equal(clip.samples, expected.samples)


def test_a_run_builds_on_the_components_of_the_base(folder_with_base, tiny_folder, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    initial = resolve_initial_model(folder_with_base, "mini")
    initial.copy_into(target)
    components = {file.name for file in tiny_folder.glob("*.safetensors")}
    tokenizers = {"clap.tokenizer.json", "t5.tokenizer.json"}
    assert {file.name for file in target.iterdir()} == components | tokenizers
    assert {f"{name}.safetensors" for name in initial.names} == components


def test_a_component_of_the_base_has_a_tokenizer_of_the_base(folder_with_base):
    base = folder_with_base.parent / "base"
    common = base / "tokenizer.json"
    (folder_with_base / "tokenizer.json").write_text("of the folder")
    assert model_folder.tokenizer_path(folder_with_base, "clap") == common
    shutil.copy(common, base / "clap.tokenizer.json")
    found = model_folder.tokenizer_path(folder_with_base, "clap")
    assert found == base / "clap.tokenizer.json"
    shutil.copy(base / "clap.safetensors", folder_with_base)
    found = model_folder.tokenizer_path(folder_with_base, "clap")
    assert found == folder_with_base / "tokenizer.json"


def test_a_server_knows_weights_of_the_base(folder_with_base):
    source = resolve_model(folder_with_base)
    before = WeightHashes().get("model", source, None)
    vae = folder_with_base.parent / "base" / "vae.safetensors"
    state = load_file(vae)
    model_folder.save_component(vae.parent, "vae", {key: 2 * state[key] for key in state})
    assert WeightHashes().get("model", source, None) != before


@pytest.mark.parametrize("base", ["missing", "../elsewhere", "inner/base", "", ".", "..", 3])
def test_a_base_is_the_name_of_a_folder_beside_the_model(folder_with_base, tiny_folder, base):
    models = folder_with_base.parent
    for place in (models.parent / "elsewhere", models / "inner" / "base"):
        shutil.copytree(tiny_folder, place)
    for place in (models, models.parent):
        shutil.copytree(tiny_folder, place, dirs_exist_ok=True)
    content = json.loads((folder_with_base / "model.json").read_text())
    (folder_with_base / "model.json").write_text(json.dumps({**content, "base": base}))
    with pytest.raises(WeightsError, match=re.escape(f"the model folder {base!r} beside its own")):
        load(folder_with_base, "cpu").generate("rain", duration=0.6, steps=1)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_table_of_shapes_is_one_line(folder_with_base, text):
    (folder_with_base / "model.json").write_text(text)
    with pytest.raises(WeightsError, match=r"model\.json cannot be read"):
        model_folder.component_file(folder_with_base, "vae")
