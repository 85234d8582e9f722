"""The vocoder stage: its requirements and its precision."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY

from latentaudio.config import registry
from latentaudio.errors import ConfigError
from latentaudio.train.loop import train


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("hifigan", {"weights": {"pitch": 1.0}}, "vocoder with sine oscillators"),
        ("istft", {"crop_frames": 31, "vae_resynthesis_prob": 0.5}, "multiple of"),
    ],
)
def test_options_that_the_vocoder_cannot_use_are_errors(
    kind, options, message, data, tmp_path, monkeypatch, stage_recipe
):
    config = replace(TINY, vocoder=replace(TINY.vocoder, kind=kind, channels=32))
    spec = replace(registry.MODELS["mini"], config=config)
    monkeypatch.setitem(registry.MODELS, "mini", spec)
    with pytest.raises(ConfigError, match=message):
        train(stage_recipe("vocoder", options=options), (data,), tmp_path / "run")


def test_input_mels_and_pitch_targets_are_float32_in_any_precision(
    tiny_stage, tiny_folder, monkeypatch
):
    options = {"crop_frames": 32, "weights": {"pitch": 1.0}}
    stage = tiny_stage("vocoder", options, tiny_folder)
    synthesize = stage.vocoder.synthesize
    mels = []

    def recording_synthesize(mel):
        mels.append(mel)
        return synthesize(mel)

    monkeypatch.setattr(stage.vocoder, "synthesize", recording_synthesize)
    pitch_losses = []
    for is_fast in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=is_fast):
            losses = stage.losses(stage.batch(0), "vocoder", torch.Generator())
        pitch_losses.append(losses["vocoder/pitch"])
    assert torch.equal(*mels)
    # The network itself is in bfloat16.
    exact, fast = pitch_losses
    torch.testing.assert_close(fast, exact, rtol=0.02, atol=1e-3)
