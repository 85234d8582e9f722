"""Settings of the host program's torch change no sample, and are found again afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from latentaudio.device import torch_defaults


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


STATES = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "bf16 products": lambda: matmul_precision("medium"),
    "gradients": torch.enable_grad,
}
NOISE = 0.1 * np.random.default_rng(0).standard_normal((1, 8000)).astype(np.float32)
WORK = {
    "generate": lambda model: model.generate("a dog", duration=0.5, steps=2, seed=1)[0].samples,
    "inpaint": lambda model: (
        model.inpaint(NOISE, "a dog", time_ranges=[(0.1, 0.3)], steps=2, seed=1)[0].samples
    ),
    "codec": lambda model: model.codec.reconstruct(NOISE),
    "encode": lambda model: model.codec.encode(NOISE).numpy(),
    "similarity": lambda model: model.similarity([NOISE], ["a dog"]),
    "stream": lambda model: next(model.generate_stream("a dog", duration=0.5, steps=2, seed=1)),
}


@pytest.fixture(scope="module")
def results(tiny):
    return {name: work(tiny) for name, work in WORK.items()}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("state", STATES)
def test_no_state_of_the_host_changes_a_result(tiny, results, state, work):
    with STATES[state]():
        found = WORK[work](tiny)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, results[work])


@pytest.mark.parametrize("state", STATES)
def test_models_are_loaded_alike_in_every_state(tiny_folder, results, state):
    import latentaudio

    with STATES[state]():
        model = latentaudio.load(tiny_folder, device="cpu", precision="fp32")
        found = WORK["generate"](model)
    np.testing.assert_array_equal(found, results["generate"])


def test_between_two_clips_the_host_has_its_settings(tiny):
    with default_dtype(torch.float64), torch.device("meta"):
        requests = tiny.resolve_requests(["a", "b"], duration=0.5, steps=1)
        for _ in tiny.run(requests):
            assert torch.zeros(1).dtype == torch.float64
            assert torch.zeros(1).device.type == "meta"


def test_an_error_leaves_the_settings_of_the_host():
    with default_dtype(torch.float64):
        with pytest.raises(RuntimeError), torch_defaults():
            assert torch.get_default_dtype() == torch.float32
            raise RuntimeError
        assert torch.get_default_dtype() == torch.float64
