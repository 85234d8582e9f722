"""Adapters: files of other programs, merges that peft and diffusers confirm, and bad files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY
from peft import LoraConfig, inject_adapter_in_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from latentaudio import load
from latentaudio.config.adapters import (
    AdapterUse,
    adapters_from_tag,
    adapters_to_tag,
    parse_adapter,
)
from latentaudio.errors import UsageError, WeightsError
from latentaudio.loaders.adapter_files import read_adapter, write_adapter
from latentaudio.loaders.adapters import ActiveAdapter, AdapterCard, hash_base, merge_adapters
from latentaudio.loaders.components import build_component
from latentaudio.models.low_rank import LowRankUpdate
from latentaudio.train.adapter_options import AdapterOptions
from latentaudio.train.adapters import adapter_updates, add_adapter
from latentaudio.types import Conditioning, Context

SHORT = {"duration": 0.64, "steps": 3, "candidates": 1, "seed": 5}
MERGED_FREQUENCIES = replace(
    TINY,
    unet=replace(
        TINY.unet, attention=(False, True), merge_frequency_bins=8, num_uniform_frequencies=4
    ),
)


def randomize(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if parameter.requires_grad:
            with torch.no_grad():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


def unet_inputs(config):
    generator = torch.Generator().manual_seed(1)
    contexts = []
    for width in config.unet.cross_attention_dims:
        contexts.append(Context.unmasked(torch.randn(2, 3, width, generator=generator)))
    z = torch.randn(2, 4, 8, 8, generator=generator)
    prior = torch.randn(2, 4, 8, 8, generator=generator)
    return z, torch.tensor([700, 20]), Conditioning(contexts=tuple(contexts), prior=prior)


def random_updates(config, components=("unet",), rank=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    updates = {}
    for component in components:
        for name, weight in build_component(component, config).state_dict().items():
            if name.endswith("to_q.weight") or name.endswith("conv1.weight"):
                down = torch.randn(rank, *weight.shape[1:], generator=generator)
                up = torch.randn(weight.shape[0], rank, generator=generator)
                updates.setdefault(component, {})[name] = LowRankUpdate(down, 0.3 * up)
    return updates


@pytest.fixture(scope="module")
def adapter_file(tmp_path_factory, tiny_folder):
    """An adapter of the tiny model, with the hash of its weights."""
    updates = random_updates(TINY)
    base = load(tiny_folder, device="cpu", precision="fp32").source.load_base_component("unet")
    path = tmp_path_factory.mktemp("adapters") / "sounds" / "adapter.safetensors"
    path.parent.mkdir()
    card = AdapterCard(rank=2, base_name="mini", base_hash=hash_base({"unet": base}, updates))
    write_adapter(path, updates, card, TINY)
    return path


@pytest.fixture
def model(tiny_folder):
    return load(tiny_folder, device="cpu", precision="fp32")


def samples(model, **options):
    [clip] = model.generate("a dog", **{**SHORT, **options})
    return clip.samples


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize("config", [TINY, MERGED_FREQUENCIES], ids=["2-D", "1-D"])
@torch.no_grad()
def test_a_merged_adapter_computes_what_peft_computes(method, config, tmp_path):
    torch.manual_seed(0)
    unet = build_component("unet", config)
    randomize(unet)
    base = {name: value.clone() for name, value in unet.state_dict().items()}
    options = AdapterOptions(method=method, rank=3, alpha=6.0)
    add_adapter(unet, "unet", options)
    randomize(unet, seed=2)
    z, t, conditioning = unet_inputs(config)
    expected = unet(z, t, conditioning)

    file = tmp_path / "a.safetensors"
    write_adapter(file, adapter_updates({"unet": unet}, options.scale), AdapterCard(), config)
    merged = build_component("unet", config)
    merged.load_state_dict(base)
    unchanged = merged(z, t, conditioning)
    merge_adapters(merged, "unet", [ActiveAdapter("a", read_adapter(file, config))])
    actual = merged(z, t, conditioning)
    assert (expected - unchanged).std() > 0.1 * unchanged.std()
    assert (expected - actual).abs().max() < 2e-5 * expected.std()


@torch.no_grad()
def test_the_translator_stores_gpt2s_matrices_transposed(tmp_path):
    torch.manual_seed(0)
    translator = build_component("translator", TINY)
    base = {name: value.clone() for name, value in translator.state_dict().items()}
    options = AdapterOptions(rank=2, include=("translator.*",))
    add_adapter(translator, "translator", options)
    randomize(translator, seed=2)
    sources = [Context.unmasked(torch.randn(2, 3, width)) for width in TINY.translator.source_dims]
    expected = translator.generate(sources).tokens
    file = tmp_path / "a.safetensors"
    updates = adapter_updates({"translator": translator}, options.scale)
    assert any("c_attn" in name for name in updates["translator"])
    write_adapter(file, updates, AdapterCard(), TINY)
    merged = build_component("translator", TINY)
    merged.load_state_dict(base)
    merge_adapters(merged, "translator", [ActiveAdapter("a", read_adapter(file, TINY))])
    assert (merged.generate(sources).tokens - expected).abs().max() < 1e-5


def test_weight_0_and_unloading_give_the_base_model_to_the_bit(model, adapter_file):
    base = samples(model)
    name = model.load_adapter(adapter_file.parent)
    assert name == "sounds"
    changed = samples(model)
    assert np.abs(changed - base).max() > 0.01
    model.set_adapters("sounds", 0.0)
    assert np.array_equal(samples(model), base)
    model.set_adapters([])
    assert np.array_equal(samples(model), base)
    model.set_adapters("sounds")
    assert np.array_equal(samples(model), changed)
    model.unload_adapter("sounds")
    assert np.array_equal(samples(model), base)
    with pytest.raises(UsageError, match="no adapter 'sounds'"):
        model.set_adapters("sounds")


def test_the_order_of_loading_changes_no_bit(model, adapter_file, tmp_path):
    other = tmp_path / "other.safetensors"
    write_adapter(
        other, random_updates(TINY, ("unet", "latent_prior"), seed=4), AdapterCard(), TINY
    )
    results = []
    for first, second in ((adapter_file, other), (other, adapter_file)):
        model.unload_adapter()
        for path, weight in ((first, 0.7), (second, 0.7)):
            model.load_adapter(path, weight)
        results.append(samples(model))
    model.unload_adapter()
    model.load_adapter(adapter_file, 0.7)
    assert np.array_equal(*results)
    assert not np.array_equal(samples(model), results[0])


def test_an_interval_of_noise_levels_changes_the_steps_inside_it_alone(model, adapter_file):
    base = samples(model)
    model.load_adapter(adapter_file, name="everywhere")
    everywhere = samples(model)
    model.unload_adapter()
    model.load_adapter(adapter_file, noise_levels=(0.0, 0.9))
    assert model.adapters["sounds"].noise_levels == (0.0, 0.9)
    late = samples(model)
    model.unload_adapter()
    model.load_adapter(adapter_file, noise_levels=(0.9995, 1.0))  # the first step has 0.999
    never = samples(model)
    assert np.array_equal(never, base)
    assert not np.array_equal(late, base) and not np.array_equal(late, everywhere)
    model.unload_adapter()
    model.load_adapter(adapter_file, noise_levels=(0.0, 0.9991))  # all steps, by the other path
    assert np.array_equal(samples(model), everywhere)


def test_a_component_that_was_inspected_is_merged_in_place(model, adapter_file):
    base = samples(model)
    assert model.components.unpacked("unet") is not None
    unpacked_base = samples(model)
    model.load_adapter(adapter_file)
    changed = samples(model)
    model.unload_adapter()
    assert np.abs(unpacked_base - base).max() < 1e-3
    assert np.abs(changed - base).max() > 0.01
    assert np.array_equal(samples(model), unpacked_base)


def test_a_clip_names_its_adapters(model, adapter_file):
    model.load_adapter(adapter_file, 0.5, noise_levels=(0.2, 1.0))
    [clip] = model.generate("a dog", **SHORT)
    [use] = adapters_from_tag(clip.tags["adapters"])
    assert (use.path, use.weight, use.noise_levels) == (str(adapter_file), 0.5, (0.2, 1.0))
    assert use.sha256 == model.adapters["sounds"].adapter.sha256
    model.set_adapters("sounds", 0.0)
    [clip] = model.generate("a dog", **SHORT)
    assert "adapters" not in clip.tags


def test_another_base_model_is_an_error(adapter_file, tmp_path, tiny_folder):
    folder = tmp_path / "other"
    folder.mkdir()
    for file in tiny_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    state = load_file(folder / "unet.safetensors")
    state = {name: value * 1.01 if value.ndim > 1 else value for name, value in state.items()}
    save_file(state, folder / "unet.safetensors")
    model = load(folder, device="cpu", precision="fp32")
    with pytest.raises(WeightsError, match="was trained on other weights of mini"):
        model.load_adapter(adapter_file)
    assert not model.adapters
    model.load_adapter(adapter_file, check_base=False)


def test_a_copy_in_half_precision_is_the_same_base():
    unet = build_component("unet", TINY)
    updates = random_updates(TINY)
    expected = hash_base({"unet": unet}, updates)
    assert hash_base({"unet": unet.half().float()}, updates) == expected


def tensors_and_metadata(file):
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return load_file(file), opened.metadata()


def _without_a_matrix(state, metadata):
    del state[next(name for name in state if "lora_B" in name)]


def _of_another_width(state, metadata):
    name = next(name for name in state if "lora_A" in name)
    state[name] = torch.zeros(2, 7)


def _with_a_foreign_layer(state, metadata):
    state["unet.nowhere.lora_A.weight"] = torch.zeros(2, 2)


def _not_finite(state, metadata):
    next(iter(state.values()))[0] = float("nan")


def _of_rank_0(state, metadata):
    for name in [name for name in state if "to_q" in name]:
        shape = state[name].shape
        state[name] = torch.zeros(0, shape[1]) if "lora_A" in name else torch.zeros(shape[0], 0)


def _with_a_damaged_card(state, metadata):
    metadata["latentaudio_adapter"] = "[" * 5000


def _of_a_later_format(state, metadata):
    card = json.loads(metadata["latentaudio_adapter"])
    metadata["latentaudio_adapter"] = json.dumps({**card, "format_version": 2})


def _with_a_damaged_configuration(state, metadata):
    metadata["lora_adapter_metadata"] = '{"unet.r": "many"}'


@pytest.mark.parametrize(
    "damage",
    [
        _without_a_matrix,
        _of_another_width,
        _with_a_foreign_layer,
        _not_finite,
        _of_rank_0,
        _with_a_damaged_card,
        _of_a_later_format,
        _with_a_damaged_configuration,
    ],
)
def test_a_wrong_file_is_one_line(damage, model, adapter_file, tmp_path):
    state, metadata = tensors_and_metadata(adapter_file)
    damage(state, metadata)
    file = tmp_path / "damaged.safetensors"
    save_file(state, file, metadata)
    with pytest.raises(WeightsError) as error:
        model.load_adapter(file)
    assert "\n" not in str(error.value) and str(file) in str(error.value)
    assert not model.adapters


@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00.", b"\xff" * 64, b"{}", "cut"])
def test_a_file_that_is_no_safetensors_is_one_line(content, model, adapter_file, tmp_path):
    file = tmp_path / "adapter.safetensors"
    data = adapter_file.read_bytes()
    file.write_bytes(data[: len(data) // 2] if content == "cut" else content)
    with pytest.raises(WeightsError) as error:
        model.load_adapter(file)
    assert "\n" not in str(error.value)


def test_pickles_are_not_opened(model, tmp_path):
    file = tmp_path / "adapter.bin"
    torch.save({"unet.x.lora_A.weight": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match="can contain code"):
        model.load_adapter(file)
    with pytest.raises(WeightsError, match="has no adapter.safetensors"):
        model.load_adapter(tmp_path)


def test_folders_of_peft_are_read_with_their_alpha(tmp_path):
    torch.manual_seed(0)
    unet = build_component("unet", TINY)
    config = LoraConfig(r=2, lora_alpha=8, target_modules=["to_q", "ff_out"])
    inject_adapter_in_model(config, unet)
    randomize(unet, seed=3)
    state = get_peft_model_state_dict(unet, adapter_name="default")
    save_file(
        {f"base_model.model.{name}": value.contiguous() for name, value in state.items()},
        tmp_path / "adapter_model.safetensors",
    )
    config.save_pretrained(tmp_path)
    adapter = read_adapter(tmp_path, TINY)
    [update, *_] = adapter.updates["unet"].values()
    assert update.scale == 4.0
    expected = adapter_updates({"unet": unet}, 4.0)
    assert adapter.updates["unet"].keys() == expected["unet"].keys()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sounds", AdapterUse("sounds")),
        ("a b/sounds:0.8", AdapterUse("a b/sounds", 0.8)),
        ("C:\\x\\sounds:-1", AdapterUse("C:\\x\\sounds", -1.0)),
        ("sounds:0.5@0.3-1", AdapterUse("sounds", 0.5, (0.3, 1.0))),
        ("sounds@0-0.25", AdapterUse("sounds", 1.0, (0.0, 0.25))),
        ("owner/name:2", AdapterUse("owner/name", 2.0)),
    ],
)
def test_adapters_as_text(text, expected):
    assert parse_adapter(text) == expected


@pytest.mark.parametrize("text", ["", "a:11", "a:1@0.5-0.5", "a@0.2-1.5", "a:1.2.3", "a@0.9-0.1"])
def test_wrong_texts_of_adapters_are_errors(text):
    with pytest.raises(UsageError):
        parse_adapter(text)


def test_tags_of_adapters_come_back():
    uses = (AdapterUse("ü/a b", 0.25, (0.1, 0.9), "ab" * 32), AdapterUse("c", sha256="x"))
    assert adapters_from_tag(adapters_to_tag(uses)) == uses
    assert adapters_from_tag("") == ()
    for tag in ("{", "[1]", '[{"path": 1}]', '{"a": 1}', "[" * 9999, '[{"path":"a"}]'):
        with pytest.raises(UsageError):
            adapters_from_tag(tag)
