"""LoRA in the drop-in: the same files in diffusers' UNet and here give the same sound."""

import numpy as np
import published
import pytest
import torch
from diffusers import DDIMScheduler
from published import PROMPTS

from latentaudio import compat
from latentaudio.errors import UsageError, WeightsError
from latentaudio.loaders.adapter_files import write_adapter
from latentaudio.loaders.adapters import AdapterCard
from latentaudio.models.low_rank import LowRankUpdate

LAYERS = (".to_q.weight", ".to_out.weight", ".ff_in.weight", ".conv1.weight", ".proj_in.weight")
CALL = {"num_inference_steps": 2, "audio_length_in_s": 0.3, "guidance_scale": 2.0}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """diffusers' pipeline of AudioLDM 1, whose UNet has peft's methods, and ours."""
    theirs = published.audioldm()
    folder = published.save(theirs, tmp_path_factory.mktemp("lora") / "v1")
    theirs.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    ours = compat.AudioLDMPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    for pipe in (theirs, ours):
        pipe.set_progress_bar_config(disable=True)
    return theirs, ours


@pytest.fixture(params=["lora", "dora"])
def adapter_folder(request, pair, tmp_path):
    """A file of ours with random updates of layers whose names differ in diffusers."""
    generator = torch.Generator().manual_seed(0)
    config = pair[1].system.config
    module = pair[1].system.source.load_base_component("unet")
    updates = {}
    for name, weight in module.state_dict().items():
        if name.endswith(LAYERS):
            down = torch.randn(2, *weight.shape[1:], generator=generator)
            up = 0.2 * torch.randn(weight.shape[0], 2, generator=generator)
            length = weight.flatten(1).norm(dim=1) * 1.1 if request.param == "dora" else None
            updates[name] = LowRankUpdate(down / weight[0].numel() ** 0.5, up, 1.5, length)
    assert len({name.rpartition(".")[0].rpartition(".")[2] for name in updates}) == len(LAYERS)
    file = tmp_path / "pytorch_lora_weights.safetensors"
    write_adapter(file, {"unet": updates}, AdapterCard(), config)
    return tmp_path


def run(pipe):
    generator = torch.Generator().manual_seed(3)
    return pipe(PROMPTS[0], generator=generator, **CALL).audios


def difference(expected, actual):
    return np.abs(expected - actual).max() / expected.std()


def test_the_same_file_gives_the_same_sound(pair, adapter_folder, tmp_path_factory):
    theirs, ours = pair
    base = run(ours)
    ours.load_lora_weights(adapter_folder, adapter_name="mine")
    actual = run(ours)
    theirs.unet.load_lora_adapter(
        adapter_folder / "pytorch_lora_weights.safetensors", prefix="unet", adapter_name="mine"
    )
    expected = run(theirs)
    assert difference(base, actual) > 0.05
    assert difference(expected, actual) < 1e-4

    again = tmp_path_factory.mktemp("saved")  # a file of diffusers is read here
    theirs.unet.save_lora_adapter(again, adapter_name="mine")
    theirs.unet.delete_adapters("mine")
    ours.unload_lora_weights()
    assert np.array_equal(run(ours), base)
    ours.load_lora_weights(again)
    assert difference(expected, run(ours)) < 1e-4
    ours.unload_lora_weights()


def test_weights_names_and_fusing(pair, adapter_folder):
    _, ours = pair
    base = run(ours)
    ours.load_lora_weights(adapter_folder, adapter_name="a")
    ours.load_lora_weights(
        adapter_folder, adapter_name="b", weight_name="pytorch_lora_weights.safetensors"
    )
    assert ours.get_active_adapters() == ["a", "b"]
    ours.set_adapters(["a"], [0.5])
    assert ours.get_active_adapters() == ["a"]
    half = run(ours)
    ours.delete_adapters("b")
    ours.fuse_lora(lora_scale=2.0)
    ours.unload_lora_weights()
    assert not np.array_equal(run(ours), half)
    ours.unfuse_lora()
    ours.unload_lora_weights()
    assert np.array_equal(run(ours), base)
    with pytest.raises(UsageError, match="no adapter 'a'"):
        ours.set_adapters("a")
    with pytest.raises(WeightsError, match="there is no adapter"):
        ours.load_lora_weights(adapter_folder / "nothing")
