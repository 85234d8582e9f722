"""LoRA in the drop-in: the same files in diffusers' UNet and here give the same sound."""

import warnings

import numpy as np
import published
import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.loaders.lora_base import LoraBaseMixin
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
    assert ours.get_active_adapters() == ["b"]
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


class Oracle(LoraBaseMixin):
    """diffusers' methods of pipelines that can load a LoRA, on the UNet of its AudioLDM."""

    _lora_loadable_modules = ("unet",)

    def __init__(self, pipe):
        self.pipe = pipe
        self.unet = pipe.unet

    def load_lora_weights(self, folder, adapter_name):
        file = folder / "pytorch_lora_weights.safetensors"
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a second one
            self.unet.load_lora_adapter(file, prefix="unet", adapter_name=adapter_name)


def state(pipe):
    return pipe.get_list_adapters(), pipe.get_active_adapters()


def test_lists_and_switches_are_those_of_diffusers(pair, adapter_folder, request):
    """A DoRA of a weight between 0 and 1 has another meaning in diffusers (see the guide)."""
    is_lora = request.node.callspec.params["adapter_folder"] == "lora"
    theirs, ours = pair
    oracle = Oracle(theirs)
    base = run(ours)
    steps = (
        lambda pipe: pipe.load_lora_weights(adapter_folder, adapter_name="a"),
        lambda pipe: pipe.load_lora_weights(adapter_folder, adapter_name="b"),
        lambda pipe: pipe.set_adapters(["a", "b"], [0.5, 0.3]),
        lambda pipe: pipe.set_adapters(["a"], [0.5]),
        lambda pipe: pipe.disable_lora(),
        lambda pipe: pipe.disable_lora(),
        lambda pipe: pipe.set_adapters("b", 0.7),
        lambda pipe: pipe.enable_lora(),
        lambda pipe: pipe.delete_adapters("a"),
    )
    try:
        for step in steps:
            step(oracle)
            step(ours)
            assert state(ours) == state(oracle)
            weights = {each.weight for each in ours.system.adapters.values()}
            if is_lora or weights <= {0.0, 1.0}:
                assert difference(run(theirs), run(ours)) < 1e-4
    finally:
        ours.unload_lora_weights()
        theirs.unet.delete_adapters([n for n in ("a", "b") if n in theirs.unet.peft_config])
    assert np.array_equal(run(ours), base)
