"""Estimates of a run, against what real steps keep and take; activation checkpointing."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import TINY, TINY_FILM
from torch.utils._pytree import tree_leaves

from latentaudio.config.registry import MODELS
from latentaudio.errors import ConfigError, UsageError
from latentaudio.models.checkpointing import checkpoint_activations
from latentaudio.train.estimate import (
    MACHINES,
    PROCESS_BYTES,
    Estimate,
    estimate_run,
    measure_step,
)
from latentaudio.train.optim import optimizer_step
from latentaudio.train.recipe import Recipe
from latentaudio.train.skeleton import build_skeleton
from latentaudio.train.step_time import seconds_per_step
from latentaudio.train.trainable import build_trainables

STAGES = {
    "diffusion": ("unet", {"frames_per_batch": 4096, "snr_gamma": None}),
    "joint": ("model", {"frames_per_batch": 4096}),
    "translator": ("translator", {"frames_per_batch": 4096}),
    "vae": ("vae", {"crop_frames": 256}),
    "vocoder": ("vocoder", {"crop_frames": 64, "weights": {"adv_gen": 1.0}}),
    "audiomae": ("audiomae", {"crop_frames": 512}),
    "clap": ("clap", {}),
}


def recipe(stage, options=None, **changes):
    return Recipe(
        stage=stage, steps=10, batch_size=2, precision="fp32", options=options or {}, **changes
    )


def losses(stage, trainable):
    result = stage.losses(stage.batch(0), trainable, torch.Generator().manual_seed(0))
    return sum(stage.loss_weights.get(name, 1.0) * loss for name, loss in result.items())


@pytest.mark.parametrize("name", STAGES)
def test_activations_are_those_that_a_real_step_saves(name):
    trainable, options = STAGES[name]
    estimate = measure_step(build_skeleton(recipe(name, options), TINY), "cpu", None)
    stage = build_skeleton(recipe(name, options), TINY, is_meta=False)
    modules = [*stage.trainables.values(), *stage.frozen.values()]
    known = {
        t.untyped_storage().data_ptr() for m in modules for t in (*m.parameters(), *m.buffers())
    }
    batch = stage.batch(0)
    stage.batch = lambda position: batch
    known |= {t.untyped_storage().data_ptr() for t in tree_leaves(batch) if torch.is_tensor(t)}
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            saved[storage.data_ptr()] = tensor, storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        total = losses(stage, trainable)
    expected = sum(num_bytes for _, num_bytes in saved.values())
    del total
    assert expected <= 1.02 * estimate.activation_bytes
    assert estimate.activation_bytes <= 1.15 * expected + 200_000  # and what Python holds
    assert estimate.memory["gradients, activations"] >= estimate.activation_bytes
    assert estimate.flops > 0


def test_parts_of_the_memory():
    stage = build_skeleton(recipe("diffusion", {"frames_per_batch": 2048}), TINY_FILM)
    num = sum(parameter.numel() for parameter in stage.unet.parameters())
    memory = measure_step(stage, "cpu", None).memory
    assert memory["weights that learn"] == 4 * num
    assert memory["averaged weights"] == 4 * num
    assert memory["moments of AdamW"] == 8 * num
    assert memory["gradients, activations"] >= 4 * num
    assert memory["program"] == PROCESS_BYTES
    without = recipe("diffusion", {"frames_per_batch": 2048}, ema_decay=0.0)
    memory = measure_step(build_skeleton(without, TINY_FILM), "cpu", None).memory
    assert memory["averaged weights"] == 0


def test_bfloat16_halves_activations_and_an_adapter_learns_little():
    options = {"frames_per_batch": 8192}
    full = measure_step(build_skeleton(recipe("diffusion", options), TINY_FILM), "cpu", None)
    half = measure_step(
        build_skeleton(recipe("diffusion", options), TINY_FILM), "cpu", torch.bfloat16
    )
    assert 0.4 < half.activation_bytes / full.activation_bytes < 0.9
    adapter = recipe("diffusion", options, adapter={"rank": 1})
    low_rank = measure_step(build_skeleton(adapter, TINY_FILM), "cpu", None)
    assert low_rank.num_trained < 0.3 * full.num_trained
    assert low_rank.num_frozen == full.num_trained
    assert low_rank.memory["moments of AdamW"] < 0.3 * full.memory["moments of AdamW"]


@pytest.mark.parametrize("name", ["diffusion", "joint", "vae", "audiomae", "clap"])
def test_checkpointing_keeps_less_and_gives_the_same_gradients(name):
    trainable, options = STAGES[name]
    gradients = []
    for is_on in (False, True):
        torch.manual_seed(0)
        stage = build_skeleton(recipe(name, options), TINY, is_meta=False)
        module = stage.trainables[trainable]
        before = list(module.state_dict())
        if is_on:
            assert checkpoint_activations(module) > 0
            assert list(module.state_dict()) == before
        losses(stage, trainable).backward()
        gradients.append({n: p.grad for n, p in module.named_parameters()})
    for key, value in gradients[0].items():
        assert (value is None) == (gradients[1][key] is None)
        assert value is None or torch.equal(value, gradients[1][key]), key
    kept = []
    peaks = []
    for is_on in (False, True):
        settings = recipe(name, options, activation_checkpointing=is_on)
        estimate = measure_step(build_skeleton(settings, TINY), "cpu", None)
        kept.append(estimate.activation_bytes)
        peaks.append(estimate.memory["gradients, activations"])
    assert kept[1] < 0.9 * kept[0]
    assert peaks[1] < peaks[0]


def test_blocks_without_autocast_are_float32_on_the_meta_device():
    sources = {"crop_frames": 32, "vae_resynthesis_prob": 0.0}
    config = MODELS["mini"].config
    needs = measure_step(build_skeleton(recipe("vocoder", sources), config), "cpu", torch.bfloat16)
    full = measure_step(build_skeleton(recipe("vocoder", sources), config), "cpu", None)
    assert needs.flops == full.flops > 0


class SteadyTimer:
    """A clock that goes on by the same time with every reading."""

    def __init__(self, tick):
        self.tick = tick
        self.num_readings = 0

    def __call__(self):
        self.num_readings += 1
        return self.tick * self.num_readings


@pytest.mark.parametrize(
    ("name", "options", "tick", "seconds", "num_batches"),
    [
        # 4 micro-batches, each with losses of one tick, and an update of one tick
        ("vae", {"crop_frames": 64}, 0.1, 4 * 0.1 + 0.1, 2),
        ("vae", {"crop_frames": 64}, 10.0, 4 * 15.0 + 10.0, 1),  # 3 clips from 2
        ("latent_prior", {"frames_per_batch": 300}, 10.0, 4 * 10.0 + 10.0, 1),
    ],
)
def test_the_time_of_a_step_is_that_of_real_losses_and_updates(
    name, options, tick, seconds, num_batches
):
    settings = recipe(name, options, gradient_accumulation_steps=4)
    settings = settings.model_copy(update={"batch_size": 3})
    timer = SteadyTimer(tick)
    measured = seconds_per_step(settings, TINY, torch.device("cpu"), 128, timer)
    assert measured == pytest.approx(seconds)
    assert timer.num_readings == 3 * 3 * num_batches


def test_an_estimate_measures_this_machine_and_takes_the_length_of_the_clips(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "mini", replace(MODELS["mini"], config=TINY))
    rng = np.random.default_rng(0)
    for index in range(3):
        soundfile.write(tmp_path / f"{index}.wav", 0.1 * rng.standard_normal(20480), 16000)
        (tmp_path / f"{index}.txt").write_text("noise")
    settings = recipe("latent_prior", {"frames_per_batch": 1024})
    estimate = estimate_run(settings, (tmp_path,), timer=SteadyTimer(1.0))
    assert estimate.clips_per_step == 8  # of 128 frames
    assert estimate.seconds_per_step == estimate.measured_seconds == pytest.approx(4 + 1)
    assert estimate_run(settings, timer=SteadyTimer(1.0)).clips_per_step == 1
    other = estimate_run(settings, (tmp_path,), machine="a100")
    assert other.measured_seconds is None
    assert other.seconds_per_step < 1


def test_a_network_without_blocks_cannot_be_checkpointed():
    settings = recipe("vocoder", STAGES["vocoder"][1], activation_checkpointing=True)
    stage = build_skeleton(settings, TINY, is_meta=False)
    with pytest.raises(ConfigError, match="no effect in the stage vocoder"):
        build_trainables(stage, settings)


@pytest.mark.parametrize("name", ["diffusion", "vae"])
def test_channels_last_trains_the_same_weights(name):
    trainable, options = STAGES[name]
    weights = []
    for is_on in (False, True):
        torch.manual_seed(0)
        settings = recipe(name, options, channels_last=is_on, optim={"warmup_steps": 0})
        stage = build_skeleton(settings, TINY, is_meta=False)
        module = stage.trainables[trainable]
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        trained = build_trainables(stage, settings)[trainable]
        for _ in range(3):
            losses(stage, trainable).backward()
            optimizer_step(trained.optimizer, module, 1e-3, 1.0)
        weights.append(trained.ema.averaged_state(module) | dict(module.named_parameters()))
    convolutions = [value for value in weights[1].values() if value.ndim == 4]
    assert any(not value.is_contiguous() for value in convolutions)
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, atol=3e-4, rtol=0)


def test_lines_say_what_does_not_fit_and_how_long_the_data_take():
    memory = {"weights that learn": 30 * 10**9}
    estimate = Estimate(10, 5, memory, 0, 10**12, 4, 1000, MACHINES["rtx-4090"], 400, 4000.0)
    text = "\n".join(estimate.lines())
    assert "10 learn, 5 frozen" in text
    assert "more than the   24.00 GB of NVIDIA RTX 4090" in text
    assert "activation_checkpointing" in text
    assert estimate.seconds_per_step == pytest.approx(1e12 / (0.35 * 165e12))
    assert "400 clips, 66.7 min of sound" in text
    assert "10 times in the run" in text


@pytest.mark.parametrize(
    ("settings", "machine", "error", "message"),
    [
        (recipe("text"), None, ConfigError, "no estimate for the stage text"),
        (recipe("vae"), "abacus", UsageError, "'abacus' is not known; choose rtx-3060"),
    ],
)
def test_what_cannot_be_estimated_is_said(settings, machine, error, message):
    with pytest.raises(error, match=message):
        estimate_run(settings, machine=machine)


REAL_STEPS = """
import json, sys, torch
from latentaudio.config.audiomae import training_config
from latentaudio.config.registry import get_model_spec
from latentaudio.device import fast_dtype
from latentaudio.train.optim import optimizer_step
from latentaudio.train.recipe import Recipe
from latentaudio.train.skeleton import build_skeleton
from latentaudio.train.trainable import build_trainables

recipe = Recipe(**json.loads(sys.argv[1]))
config = training_config(get_model_spec(recipe.model).config)
stage = build_skeleton(recipe, config, is_meta=False)
trainables = build_trainables(stage, recipe)
batch = stage.batch(0)
for step in range(2):
    for name, trainable in trainables.items():
        losses = stage.losses(batch, name, torch.Generator())
        sum(stage.loss_weights.get(key, 1.0) * loss for key, loss in losses.items()).backward()
        del losses
        optimizer_step(trainable.optimizer, trainable.module, 1e-5, 1.0)
        trainable.ema.update(trainable.module, step)
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    "settings",
    [
        {"stage": "diffusion", "model": "mini", "options": {"frames_per_batch": 16384}},
        {"stage": "vae", "model": "mini", "batch_size": 8, "options": {"crop_frames": 512}},
        pytest.param(
            {
                "stage": "diffusion",
                "model": "audioldm-s-full",
                "ema_decay": 0.0,
                "options": {"frames_per_batch": 1024},
            },
            marks=pytest.mark.published,
        ),
    ],
    ids=["mini", "vae", "audioldm-s"],
)
def test_a_real_step_takes_the_estimated_memory(settings, record_property):
    settings = settings | {"steps": 2, "precision": "fp32"}
    done = subprocess.run(
        [sys.executable, "-c", REAL_STEPS, json.dumps(settings)], capture_output=True, check=True
    )
    peak = int(done.stdout)
    assert settings["model"] in MODELS
    estimated = estimate_run(Recipe(**settings), machine="a100").peak_bytes
    record_property(f"estimated / real, {settings['model']}", f"{estimated / peak:.3f}")
    assert estimated == pytest.approx(peak, rel=0.15)
