"""`guidance_interval` in whole clips: near the clip with full guidance, in every window its own."""

import pytest
import torch

from latentaudio import load

SETTINGS = {"steps": 16, "guidance_stop": 1.0, "candidates": 1, "seed": 2}


@pytest.fixture(scope="module")
def mini():
    return load("mini", "cpu", "fp32")


def latent(model, duration, **settings):
    steps = []
    model.generate(
        "rain on a roof", duration=duration, on_step=steps.append, **{**SETTINGS, **settings}
    )
    return steps[-1].z


def distance(result, target):
    return float((result - target).norm() / target.norm())


def test_a_clip_is_near_that_with_guidance_in_every_step(mini):
    target = latent(mini, 1.28)
    shared = distance(latent(mini, 1.28, guidance_interval=2), target)
    assert 1e-4 < shared < 0.12
    assert shared < distance(latent(mini, 1.28, guidance_scale=1.0), target) / 3


def test_windows_of_one_prompt_keep_differences_of_their_own(mini, monkeypatch):
    monkeypatch.setattr(type(mini.codec), "max_window", property(lambda _self: 16))
    target = latent(mini, 2.56)
    shared = latent(mini, 2.56, guidance_interval=2)
    assert torch.isfinite(shared).all()
    assert 1e-4 < distance(shared, target) < 0.12
