"""Published folders: which model they are, and components that are replaced or refused."""

import json
import shutil
from dataclasses import replace

import published
import pytest
import torch
from comparison import same
from safetensors.torch import load_file

from latentaudio.config import registry
from latentaudio.errors import UsageError, WeightsError
from latentaudio.loaders import hub, resolve
from latentaudio.loaders.diffusers_format import component_configs, model_index
from latentaudio.loaders.model_folder import save_component
from latentaudio.loaders.resolve import resolve_model


@pytest.fixture(scope="module")
def speech_folder(tmp_path_factory):
    return published.save(
        published.audioldm2(speech=True), tmp_path_factory.mktemp("speech") / "speech"
    )


def test_a_component_is_replaced_by_a_file_of_its_own(folder, tmp_path):
    state = {
        k: v * 2 for k, v in resolve_model(folder).load_component("vocoder").state_dict().items()
    }
    torch.save({"generator": state}, tmp_path / "hifigan.ckpt")
    model = resolve_model(folder, components={"vocoder": tmp_path / "hifigan.ckpt"})
    assert not same(model.load_component("vocoder").state_dict(), state)
    assert not same(
        resolve_model(folder, components={"vae": folder / "vae"})
        .load_component("vae")
        .state_dict(),
        resolve_model(folder).load_component("vae").state_dict(),
    )
    with pytest.raises(UsageError, match="has no component 'ear'"):
        resolve_model(folder, components={"ear": tmp_path})


def test_double_precision_is_converted(folder, tmp_path):
    file = next((folder / "text_encoder").glob("*.safetensors"))
    state = {k: v.double() if v.is_floating_point() else v for k, v in load_file(file).items()}
    torch.save(state, tmp_path / "clap.bin")
    component = resolve_model(folder, components={"clap": tmp_path / "clap.bin"}).load_component(
        "clap"
    )
    assert {p.dtype for p in component.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.int32, torch.complex64])
def test_weights_of_another_kind_of_number_are_refused(folder, tmp_path, dtype):
    file = next((folder / "vocoder").glob("*.safetensors"))
    torch.save({k: v.to(dtype) for k, v in load_file(file).items()}, tmp_path / "vocoder.bin")
    with pytest.raises(
        WeightsError, match=f"has type {str(dtype).removeprefix('torch.')} and must have float32"
    ):
        resolve_model(folder, components={"vocoder": tmp_path / "vocoder.bin"}).load_component(
            "vocoder"
        )


@pytest.mark.parametrize("block_widths", ["x", 3, [], [0, 0]])
def test_impossible_values_in_a_config_are_refused(folder, tmp_path, block_widths):
    own = shutil.copytree(folder, tmp_path / "own")
    numbers = json.loads((own / "unet" / "config.json").read_text())
    (own / "unet" / "config.json").write_text(
        json.dumps({**numbers, "block_out_channels": block_widths})
    )
    with pytest.raises(WeightsError, match=r"unet/config\.json has block_out_channels = .*must be"):
        resolve_model(own)


@pytest.mark.parametrize(
    ("stated_heads", "expected_heads"), [(8, (2, 4)), (16, (16, 16)), ([1, 2], (1, 2))]
)
def test_heads_that_a_folder_states_itself_are_kept(
    folder, tiny_spec, tmp_path, monkeypatch, stated_heads, expected_heads
):
    trained = replace(tiny_spec.config, unet=replace(tiny_spec.config.unet, num_heads=(2, 4)))
    monkeypatch.setitem(registry.MODELS, "tiny-published", replace(tiny_spec, config=trained))
    own = shutil.copytree(folder, tmp_path / "own")
    numbers = json.loads((own / "unet" / "config.json").read_text())
    numbers.pop("num_attention_heads", None)
    (own / "unet" / "config.json").write_text(
        json.dumps({**numbers, "attention_head_dim": stated_heads})
    )
    assert resolve_model(own).config.unet.num_heads == expected_heads


@pytest.mark.parametrize("component", ["translator", "phonemes", "clap", "unet"])
def test_components_in_two_folders_are_replaced_from_a_model_folder(speech_folder, component):
    first = resolve_model(speech_folder)
    second = resolve_model(speech_folder, components={component: speech_folder})
    assert not same(
        first.load_component(component).state_dict(), second.load_component(component).state_dict()
    )


def test_a_replacement_file_can_have_8_bit_rows(folder, tmp_path):
    model = resolve_model(folder)
    state = model.load_component("clap").state_dict()
    rows = next(k for k in state if k.endswith("word_embeddings.weight"))
    save_component(tmp_path, "clap", state, int8_keys=[rows])
    back = (
        resolve_model(folder, components={"clap": tmp_path / "clap.safetensors"})
        .load_component("clap")
        .state_dict()
    )
    assert same(state, back) == [rows]
    assert (state[rows] - back[rows]).abs().max() < state[rows].abs().max() / 100


def test_an_architecture_must_match_the_folder(folder, tmp_path, tiny_folder):
    with pytest.raises(UsageError, match="does not have the shapes of audioldm_48k"):
        resolve_model(folder, architecture="audioldm_48k")
    with pytest.raises(UsageError, match=r"has its own model\.json"):
        resolve_model(tiny_folder, architecture="audioldm2-full")


def test_names_of_the_table_are_downloaded_from_their_repository(monkeypatch):
    requests = []

    def fetch(repository, is_offline):
        assert not is_offline
        requests.append((repository, None))
        return resolve.ASSETS / "mini"

    def fetch_file(repository, file, is_offline):
        assert not is_offline
        requests.append((repository, file))
        return resolve.ASSETS / "mini"

    monkeypatch.setattr(hub, "fetch", fetch)
    monkeypatch.setattr(hub, "fetch_file", fetch_file)
    resolve_model("audioldm2-full")
    resolve_model("audioldm_48k")
    resolve_model("someone/else")
    assert requests == [
        ("cvssp/audioldm2", None),
        ("haoheliu/audioldm_48k", "audioldm_48k.pth"),
        ("someone/else", None),
    ]
    with pytest.raises(
        WeightsError, match=r"get audioldm-s-text-ft\.ckpt from the authors' record on zenodo"
    ):
        resolve.hub_location("audioldm-s-text-ft")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, spec in registry.MODELS.items()
        if spec.hub_id and spec.config.phonemes is None
    ],
)
def test_folders_of_published_shapes_are_identified(name, tmp_path):
    """The JSON files of every published model, with 8 heads, are read as that model."""
    spec = registry.MODELS[name]
    stated_heads = replace(spec.config, unet=replace(spec.config.unet, num_heads=(8, 8, 8, 8)))
    for file, content in {
        **component_configs(stated_heads),
        "model_index.json": model_index(stated_heads),
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(json.dumps(content))
    clean, diffusers_model = resolve_model(tmp_path), resolve_model(tmp_path, reference="diffusers")
    assert (
        clean.spec.config.unet == spec.config.unet
        and diffusers_model.config.unet == stated_heads.unet
    )
    assert (clean.config.vae, clean.config.vocoder, clean.config.t5) == (
        spec.config.vae,
        spec.config.vocoder,
        spec.config.t5,
    )
    assert clean.config.latent_std == pytest.approx(spec.config.latent_std)
    assert (clean.config.translator, clean.spec.unet_parameters) == (
        spec.config.translator,
        spec.unet_parameters,
    )
    assert (
        clean.config.clap.text_layer_norm_eps,
        diffusers_model.config.clap.text_layer_norm_eps,
    ) == (
        1e-5,
        1e-12,
    )
