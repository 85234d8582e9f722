"""Models of the hub by their ids: components to train on, and variants for diffusers' code."""

import hub_server
import published
import pytest
import torch
from hub_server import tree
from safetensors.torch import load_file, save_file

from latentaudio import compat
from latentaudio.errors import UsageError
from latentaudio.loaders.model_folder import load_component
from latentaudio.loaders.resolve import resolve_model
from latentaudio.train.initial_components import resolve_initial_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A diffusers folder whose UNet has half of its weights as variant fp16."""
    folder = published.save(published.audioldm(), tmp_path_factory.mktemp("hub") / "model")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    halved = {key: value / 2 for key, value in load_file(file).items()}
    save_file(halved, file.with_name("diffusion_pytorch_model.fp16.safetensors"))
    return folder


@pytest.fixture
def hub(server, folder, monkeypatch):
    monkeypatch.setattr(hub_server, "FILES", tree(folder))
    return server


def test_a_run_builds_on_a_component_of_a_repository(hub, folder, tmp_path):
    initial = resolve_initial_model("o/r:vocoder", "audioldm-s-full")
    initial.copy_into(tmp_path / "model")
    ours = load_component(tmp_path / "model", "vocoder", initial.config).state_dict()
    theirs = resolve_model(folder).load_component("vocoder").state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["vocoder.safetensors"]


def test_a_variant_of_a_repository_has_plain_weights_where_it_lacks_its_own(hub, folder):
    pipe = compat.AudioLDMPipeline.from_pretrained("o/r", variant="fp16")
    fetched = {name for name, _ in hub.files()}
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in fetched
    assert "unet/diffusion_pytorch_model.safetensors" not in fetched
    assert "vae/diffusion_pytorch_model.safetensors" in fetched
    plain = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(pipe.unet.conv_out.weight, plain["conv_out.weight"] / 2)


def test_an_unknown_variant_of_a_repository_downloads_nothing(hub):
    with pytest.raises(UsageError, match=r"`variant=bf16`.*variants: fp16"):
        compat.AudioLDMPipeline.from_pretrained("o/r", variant="bf16")
    assert hub.files() == []
