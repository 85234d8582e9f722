"""Modules of diffusers and transformers that are made of files: no weight may be missing."""

from pathlib import Path

import published
import pytest
import torch
from transformers import T5Config, T5EncoderModel

from latentaudio.compat import library
from latentaudio.errors import WeightsError
from latentaudio.loaders.tensor_files import Tensors

T5 = T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)


def without(module, *ends):
    """Return the tensors of a module but for those whose names end so."""
    state = {key: value for key, value in module.state_dict().items() if not key.endswith(ends)}
    assert len(state) < len(module.state_dict())
    return Tensors({key: (state, key) for key in state}, Path("model"))


@pytest.fixture(scope="module")
def pipe():
    with torch.no_grad():
        return published.audioldm()


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    library.describe(pipe.components, "AudioLDMPipeline", folder)
    return folder


@pytest.mark.parametrize("name", ["unet", "vae", "text_encoder", "vocoder"])
def test_a_missing_weight_is_an_error_that_names_it(pipe, folder, name):
    module = getattr(pipe, name)
    key = next(key for key in reversed(module.state_dict()) if key.endswith("weight"))
    with pytest.raises(WeightsError, match=rf"{name} lacks 1 of .*, such as {key}; download"):
        library.open_object(folder, name, without(module, key))


def test_tied_and_derived_tensors_may_be_missing(pipe, folder, tmp_path):
    opened = library.open_object(folder, "text_encoder", without(pipe.text_encoder, "_ids"))
    for key, value in pipe.text_encoder.state_dict().items():
        assert torch.equal(opened.state_dict()[key], value), key
    t5 = T5EncoderModel(T5)
    library.describe({"text_encoder_2": t5}, "AudioLDM2Pipeline", tmp_path)
    opened = library.open_object(tmp_path, "text_encoder_2", without(t5, "embed_tokens.weight"))
    for key, value in t5.state_dict().items():
        assert torch.equal(opened.state_dict()[key], value), key
