"""Layers with 8-bit products agree with those that they replace, up to rounding."""

import pytest
import torch
from torch import nn

from latentaudio import load
from latentaudio.device import fast_dtype, uses_int8
from latentaudio.errors import UsageError
from latentaudio.loaders.component_store import ComponentStore
from latentaudio.loaders.resolve import resolve_model
from latentaudio.models import cpu_int8
from latentaudio.models.cpu_int8 import Int8Conv, Int8GEGLU, Int8Linear, quantize
from latentaudio.models.cpu_packing import fused_add, geglu, pack

CPU = torch.device("cpu")
LEVEL = cpu_int8.levels()
ERROR = 3 / LEVEL
"""Relative error of a layer of random numbers: rounding of inputs in steps of peak / LEVEL."""


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def distance(result, target):
    return float((result.float() - target).norm() / target.norm())


def test_this_torch_has_8_bit_products():
    assert LEVEL in (127, 63)


@pytest.mark.parametrize("level", [127, 63])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_is_to_the_nearest_level(level, dtype):
    x = torch.tensor([-3.0, -1.0, 0.0, 0.004, 1.0, 3.0], dtype=dtype)
    integers, scale = quantize(x, level)
    restored = (integers.float() - (level + 1)) * scale
    assert integers.dtype == torch.uint8 and integers.min() == 1 and integers.max() == 2 * level + 1
    assert (restored - x.float()).abs().max() <= (0.5 if dtype == torch.float32 else 0.8) * scale
    zeros, _ = quantize(torch.zeros(4, dtype=dtype), level)
    assert (zeros == level + 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "width", "out"), [(64, 64, 96), (128, 96, 64)])
def test_linear_layers(rows, width, out, dtype):
    layer = nn.Linear(width, out)
    x = torch.randn(2, rows, width)
    packed = Int8Linear(layer.weight, layer.bias, LEVEL)
    result = packed(x.to(dtype))
    assert result.dtype == dtype and distance(result, layer(x)) < ERROR
    other = torch.randn(2, rows, out)
    assert distance(fused_add(packed, x.to(dtype), other.to(dtype)), other + layer(x)) < ERROR
    again = packed(torch.randn(3, rows, width, dtype=dtype))  # packed for other shapes
    assert again.shape == (3, rows, out)


def test_geglu_and_wide_values():
    layer = nn.Linear(64, 256)
    x = 5 * torch.randn(2, 32, 64)
    assert distance(Int8GEGLU(layer, LEVEL)(x), geglu(layer, x)) < 1.5 * ERROR


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 1, 0)])
def test_convolutions(kernel, stride, padding):
    layer = nn.Conv2d(64, 96, kernel, stride, padding)
    x = torch.randn(2, 64, 16, 24)
    packed = Int8Conv(layer, LEVEL)
    target = layer(x)
    assert distance(packed(x), target) < ERROR
    assert distance(fused_add(packed, x, target), 2 * target) < ERROR


def test_narrow_layers_stay_in_floating_point():
    module = nn.Sequential(nn.Conv2d(8, 64, 3), nn.Conv2d(64, 8, 3))
    pack(module, LEVEL)
    first, second = module
    assert not isinstance(first, Int8Conv) and isinstance(second, Int8Conv)


def test_int8_is_for_cpus_and_needs_operators(monkeypatch):
    assert uses_int8(CPU, "int8") and not uses_int8(CPU, "auto")
    assert fast_dtype(CPU, "int8") == fast_dtype(CPU, "auto")
    with pytest.raises(UsageError, match="int8 is for CPUs, not for cuda"):
        uses_int8(torch.device("cuda"), "int8")
    monkeypatch.setattr(cpu_int8, "levels", lambda: 0)
    store = ComponentStore(resolve_model("mini"), CPU, None, use_int8=True)
    with pytest.raises(UsageError, match="leave out precision int8"):
        store["unet"]


def test_a_clip_of_mini_is_near_that_in_float32_and_says_int8():
    model = load("mini", "cpu", "int8")
    settings = {"duration": 1.28, "seed": 3, "steps": 4, "guidance_scale": 2.0, "candidates": 1}
    latents = {}

    def keep(name):
        return lambda step: latents.__setitem__(name, step.z)

    [clip] = model.generate("a dog barks", on_step=keep("int8"), **settings)
    assert clip.tags["precision"] == "int8"
    assert any(isinstance(each, Int8Linear) for each in model.components["unet"].modules())
    model.to("cpu", "fp32")
    assert not any(isinstance(each, Int8Linear) for each in model.components["unet"].modules())
    model.generate("a dog barks", on_step=keep("fp32"), **settings)
    assert 1e-4 < distance(latents["int8"], latents["fp32"]) < 0.2
