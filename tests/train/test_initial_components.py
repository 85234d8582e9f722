"""What `--init-from` takes: every kind of model that `--model` takes, and components of each."""

from dataclasses import replace

import published
import pytest
import torch
from safetensors.torch import save_file

from latentaudio.config import registry
from latentaudio.config.architecture import AudioMAEConfig
from latentaudio.config.audiomae import training_config
from latentaudio.errors import UsageError, WeightsError
from latentaudio.loaders import hub, resolve
from latentaudio.loaders.components import COMPONENTS, build_component, component_names
from latentaudio.loaders.convert import convert
from latentaudio.loaders.model_folder import load_component, tokenizer_path
from latentaudio.loaders.resolve import resolve_model
from latentaudio.train.initial_components import initial_config, resolve_initial_model
from latentaudio.train.pre_encoder import frozen_components


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """One tiny AudioLDM 2 as every kind of model, and its row of the table of models."""
    root = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        folder = published.save(published.audioldm2(), root / "diffusers")
        model = resolve_model(folder)
        row = replace(model.spec, name="tiny", unet_parameters=1, original_checkpoint="tiny.ckpt")
        patch.setitem(registry.MODELS, "tiny", row)
        convert(model, root / "run" / "model", "latentaudio")
        convert(model, root / "tiny.ckpt", "original")
        convert(model, root / "tiny.pth", "original")
        bare = model.load_component("vocoder").state_dict()
        save_file(dict(bare), root / "vocoder.safetensors")
        patch.setattr(hub, "fetch", lambda repository, is_offline: folder)
        patch.setattr(resolve, "ASSETS", root / "assets")
        (root / "assets").mkdir()
        (root / "assets" / "tiny").symlink_to(root / "run" / "model")
        yield {
            "name": "tiny",
            "hub id": "somebody/tiny",
            "diffusers folder": folder,
            "model folder": root / "run" / "model",
            "run folder": root / "run",
            "checkpoint": root / "tiny.ckpt",
            "older checkpoint": root / "tiny.pth",
            "component": root / "vocoder.safetensors",
        }


KINDS = (
    "name",
    "hub id",
    "diffusers folder",
    "model folder",
    "run folder",
    "checkpoint",
    "older checkpoint",
)


@pytest.mark.parametrize("selection", ["", "clap,vae"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_builds_on_every_kind_of_model(kind, selection, places, tmp_path):
    initial = resolve_initial_model(f"{places[kind]}:{selection}".rstrip(":"), "tiny")
    initial.copy_into(tmp_path)
    config = initial_config("tiny", [initial])
    expected = resolve_model(places["diffusers folder"])
    names = tuple(selection.split(",")) if selection else component_names(expected.config)
    assert {file.stem for file in tmp_path.glob("*.safetensors")} == set(names)
    assert config.latent_std == pytest.approx(expected.config.latent_std, rel=1e-6)
    for name in names:
        theirs = expected.load_component(name).state_dict()
        ours = load_component(tmp_path, name, config).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        tokenizer = COMPONENTS[name].tokenizer
        if tokenizer is not None and tokenizer.hub_id:
            assert tokenizer_path(tmp_path, name).is_file()


def test_a_file_of_one_component_is_named_with_its_component(places, tmp_path):
    with pytest.raises(WeightsError, match=r"vocoder\.safetensors:vae"):
        resolve_initial_model(places["component"], "tiny")
    initial = resolve_initial_model(f"{places['component']}:vocoder", "tiny")
    initial.copy_into(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["vocoder.safetensors"]
    load_component(tmp_path, "vocoder", initial_config("tiny", [initial]))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tiny:vea", "no component 'vea'; it has: vae, vocoder"),
        ("tiny:vae,", "no component ''"),
        ("tiny:latent_prior", "no component 'latent_prior'"),
        ("tinny", "did you mean tiny"),
        ("nowhere/at/all", "is not a model, a folder or a file"),
    ],
)
def test_an_unknown_model_or_component_is_named(places, source, message):
    with pytest.raises(UsageError, match=message):
        resolve_initial_model(source, "tiny")


def test_the_later_model_brings_its_own_tokenizer(places, tiny_folder, tmp_path):
    for source in (places["model folder"], f"{tiny_folder}:clap"):
        resolve_initial_model(source, "tiny").copy_into(tmp_path)
    expected = (tiny_folder / "tokenizer.json").read_bytes()
    assert tokenizer_path(tmp_path, "clap").read_bytes() == expected
    assert tokenizer_path(tmp_path, "t5").read_bytes() != expected


AUDIOMAE = AudioMAEConfig(hidden_size=16, num_layers=2, num_heads=1, decoder_num_layers=0)
AUDIOMAE_PREFIX = "cond_stage_models.0.cond_stage_models.2.audiomae.model."


@pytest.fixture(scope="module")
def authors_file(places):
    """The authors' file of the tiny model, which holds the AudioMAE of its training."""
    path = places["checkpoint"].with_name("with_audiomae.ckpt")
    content = torch.load(places["checkpoint"], weights_only=True)
    audiomae = build_component("audiomae", with_audiomae(AUDIOMAE)).state_dict()
    for name, value in audiomae.items():
        content["state_dict"][AUDIOMAE_PREFIX + name] = value
    decoder = f"{AUDIOMAE_PREFIX}decoder_blocks.0.attn.qkv.weight"
    content["state_dict"][decoder] = torch.zeros(8, 8)
    torch.save(content, path)
    return path, audiomae


def with_audiomae(audiomae):
    return replace(registry.MODELS["tiny"].config, audiomae=audiomae)


@pytest.mark.parametrize("kind", ["authors' file", "beside a diffusers folder"])
def test_training_gets_the_audiomae_of_the_authors_file(kind, places, authors_file, tmp_path):
    path, expected = authors_file
    sources = [path]
    if kind != "authors' file":
        sources = [places["diffusers folder"], f"{path}:audiomae"]
    initial = [resolve_initial_model(source, "tiny") for source in sources]
    for model in initial:
        model.copy_into(tmp_path)
    config = initial_config("tiny", initial)
    assert config.audiomae == AUDIOMAE
    loaded = load_component(tmp_path, "audiomae", config).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())


def test_a_published_folder_without_audiomae_says_where_there_is_one(places, tmp_path):
    initial = resolve_initial_model(places["diffusers folder"], "tiny")
    initial.copy_into(tmp_path)
    config = initial_config("tiny", [initial])
    assert config.audiomae == AudioMAEConfig()
    with pytest.raises(WeightsError, match=r"no audiomae\.safetensors.*FILE:audiomae"):
        load_component(tmp_path, "audiomae", config)


@pytest.mark.parametrize("name", registry.MODELS)
def test_every_model_has_all_networks_that_its_training_needs(name):
    config = training_config(registry.MODELS[name].config)
    frozen_components(config)  # raises ConfigError for one that is missing
    if config.audiomae is not None:
        assert config.audiomae.hidden_size == config.translator.hidden_size
