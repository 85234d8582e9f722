"""The vocoder stage: its requirements and its precision."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY

from latentaudio.config import registry
from latentaudio.errors import ConfigError
from latentaudio.loaders.model_folder import write_config
from latentaudio.train.loop import train


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("hifigan", {"weights": {"pitch": 1.0}}, "vocoder with sine oscillators"),
        ("hifigan", {"weights": {"energy": 1.0}}, "vocoder with sine oscillators"),
        ("istft", {"weights": {"harmonic_pitch": 1.0}}, "use_harmonics"),
        ("istft", {"attack_emphasis": 4.0}, r"weights\.energy too"),
        ("istft", {"num_resolutions": 2}, r"weights\.energy too"),
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


def test_losses_of_all_sources_have_gradients_in_every_head(tiny_stage, tmp_path):
    vocoder = replace(TINY.vocoder, attack_n_fft=256, use_harmonics=True)
    config = replace(TINY, vocoder=vocoder)
    folder = tmp_path / "model"
    folder.mkdir()
    write_config(folder, config, "mini")
    options = {
        "crop_frames": 32,
        "attack_emphasis": 4.0,
        "num_resolutions": 2,
        "weights": {
            "pitch": 5.0,
            "energy": 1.0,
            "deterministic_in_noise": 1.5,
            "noise_in_tones": 2.0,
            "harmonic_pitch": 0.5,
        },
    }
    stage = tiny_stage("vocoder", options, folder, config=config)
    losses = stage.losses(stage.batch(0), "vocoder", torch.Generator())
    assert list(losses) == [
        "vocoder/pitch",
        "vocoder/harmonic_pitch",
        "vocoder/deterministic_in_noise",
        "vocoder/noise_in_tones",
        "vocoder/mel",
        "vocoder/magnitude",
        "vocoder/energy_repulsion",
    ]
    assert stage.loss_weights["vocoder/energy_repulsion"] == -0.5
    sum(losses.values()).backward()
    for name, parameter in stage.vocoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
