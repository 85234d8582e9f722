"""Adapters in training: what learns, what is written, and an exact resume."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file

import latentaudio
from latentaudio.errors import ConfigError
from latentaudio.loaders.adapter_files import read_adapter
from latentaudio.train import checkpoint
from latentaudio.train.finetune import make_old_clips, old_prompts, prepare
from latentaudio.train.loop import train
from latentaudio.train.memorization import copy_limit, nearest_similarities
from latentaudio.train.recipe import Recipe
from latentaudio.train.stages import finetune
from procedural_audio.corpus import render_corpus

OPTIONS = {"frames_per_batch": 512}
LORA = {"method": "lora", "rank": 2}


@pytest.fixture
def old_data(data, tmp_path):
    """A second folder, of two other clips."""
    folder = tmp_path / "old"
    render_corpus(folder, hours=3 / 3600, seed=9, classes=["bell"], durations=[1.28],
                  duration_weights=[1.0], num_workers=1)  # fmt: skip
    return folder


def recipe(steps=2, stage="finetune", adapter=LORA, **changes):
    settings = {
        "precision": "fp32",
        "device": "cpu",
        "log_every": 1,
        "save_every": 1,
        "sample_every": 1000,
        "optim": {"lr": 3e-3, "warmup_steps": 1},
        "options": OPTIONS,
    }
    return Recipe(stage=stage, steps=steps, adapter=adapter, **(settings | changes))


@pytest.mark.parametrize(
    ("stage", "components"),
    [
        ("diffusion", {"unet"}),
        ("latent_prior", {"latent_prior"}),
        ("translator", {"translator"}),
        ("joint", {"unet", "translator"}),
        ("finetune", {"unet", "latent_prior"}),
    ],
)
def test_only_the_adapter_learns_and_is_written(
    stage, components, data, tiny_folder, tmp_path, copy_encoded_data
):
    run = tmp_path / "runs" / "lora"
    copy_encoded_data(run.parent)
    train(recipe(stage=stage, steps=1), (data,), run, (tiny_folder,))
    adapter = read_adapter(run, TINY)
    assert set(adapter.updates) == components
    assert adapter.card.base_name == "mini" and adapter.card.rank == 2
    for component in components:  # the base model is in the folder as it was
        assert (run / "model" / f"{component}.safetensors").read_bytes() == (
            tiny_folder / f"{component}.safetensors"
        ).read_bytes()
    _, states = checkpoint.load_latest(run)
    names = [name for name in states if name != "seconds"]
    weights = {key for name in names for key in states[name]["module"]}
    assert any(".lora_" in key for key in weights)
    assert not any(key.endswith("base_layer.weight") for key in weights)
    model = latentaudio.load(tiny_folder, device="cpu", precision="fp32")
    model.load_adapter(run)  # the base is the one that was trained on
    assert model.adapters["lora"].adapter.card.base_hash


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_a_resumed_run_of_an_adapter_changes_no_bit(
    method, data, old_data, tiny_folder, tmp_path, copy_encoded_data
):
    options = OPTIONS | {"old_data": [str(old_data)]}
    settings = {"adapter": {"method": method, "rank": 2}, "options": options}
    runs = {}
    for name, stops in {"whole": (4,), "stopped": (2, 4)}.items():
        run = tmp_path / "runs" / name
        copy_encoded_data(run.parent)
        for steps in stops:
            train(recipe(steps, **settings), (data, old_data), run, (tiny_folder,))
        runs[name] = load_file(run / "adapter.safetensors")
    assert runs["whole"].keys() == runs["stopped"].keys()
    assert any(("magnitude" in name) == (method == "dora") for name in runs["whole"])
    for name, value in runs["whole"].items():
        assert torch.equal(value, runs["stopped"][name]), name


def test_a_killed_run_of_an_adapter_goes_on_to_the_same_bits(
    data, tiny_folder, tmp_path, copy_encoded_data
):
    code = (
        "import sys; from dataclasses import replace; from pathlib import Path;"
        "import conftest; from latentaudio.config import registry;"
        "registry.MODELS['mini'] = replace(registry.MODELS['mini'], config=conftest.TINY);"
        "from latentaudio.train.loop import train; from latentaudio.train.recipe import Recipe;"
        "recipe = Recipe.model_validate_json(sys.argv[1]);"
        "report = lambda step, *_: print(step, flush=True);"
        "train(recipe, (Path(sys.argv[2]),), Path(sys.argv[3]), (sys.argv[4],), on_step=report)"
    )
    settings = recipe(400)
    killed = tmp_path / "runs" / "killed"
    copy_encoded_data(killed.parent)
    command = [sys.executable, "-c", code, settings.model_dump_json(), str(data), str(killed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "tests"])}
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [*command, str(tiny_folder)], stdout=subprocess.PIPE, env=environment, cwd=root, text=True
    ) as process:
        while int(process.stdout.readline()) < 3:
            pass
        process.send_signal(signal.SIGKILL)
    num_done, _ = checkpoint.load_latest(killed)
    last = num_done + 1
    whole = tmp_path / "runs" / "whole"
    # a rate that does not fall, so that the runs agree although they end at another step
    for run in (killed, whole):
        train(recipe(last), (data,), run, (tiny_folder,))
    states = [checkpoint.load_latest(run)[1]["model"]["module"] for run in (killed, whole)]
    assert num_done < 400
    for name, value in states[1].items():
        assert torch.equal(value, states[0][name]), name


def test_old_clips_are_a_share_of_every_step(data, old_data, tiny_folder, tmp_path, monkeypatch):
    from latentaudio.train.stages.finetune import FinetuneStage

    seen = []
    losses = FinetuneStage.losses
    monkeypatch.setattr(
        FinetuneStage,
        "losses",
        lambda stage, batch, *rest: (
            seen.append((batch, dict(stage.loss_weights))),
            losses(stage, batch, *rest),
        )[1],
    )
    options = {"frames_per_batch": 1024, "old_share": 0.25, "old_data": [str(old_data)]}
    run = tmp_path / "runs" / "run"
    train(recipe(1, options=options), (data, old_data), run, (tiny_folder,))
    batch, weights = seen[0]
    frames = {
        part: rows["latent"].shape[0] * rows["latent"].shape[2] for part, rows in batch.items()
    }
    assert frames["old"] < frames["new"]
    assert weights["unet/new"] == 0.75 and weights["latent_prior/old"] == 0.25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapter": LORA | {"include": ["unet.nothing*"]}}, "leave no layer"),
        ({"stage": "vae", "options": {"crop_frames": 32}}, "vae cannot have an adapter"),
        ({"options": OPTIONS | {"old_data": ["elsewhere"]}}, "old_data must name some"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_one_line(
    changes, message, data, tiny_folder, tmp_path, copy_encoded_data
):
    run = tmp_path / "runs" / "run"
    copy_encoded_data(run.parent)
    with pytest.raises(ConfigError, match=message) as error:
        train(recipe(**changes), (data,), run, (tiny_folder,))
    assert "\n" not in str(error.value)


def test_an_adapter_needs_a_trained_model(data, tiny_folder, tmp_path, copy_encoded_data):
    run = tmp_path / "runs" / "run"
    copy_encoded_data(run.parent)
    parts = f"{tiny_folder}:vae,clap,t5,audiomae,translator,latent_prior"
    with pytest.raises(ConfigError, match="no trained unet"):
        train(recipe(stage="diffusion"), (data,), run, (parts,))


def test_excluded_layers_have_no_update(data, tiny_folder, tmp_path, copy_encoded_data):
    run = tmp_path / "runs" / "run"
    copy_encoded_data(run.parent)
    adapter = LORA | {"include": ["*.to_*"], "exclude": ["latent_prior.*", "*.to_out"]}
    train(recipe(1, adapter=adapter), (data,), run, (tiny_folder,))
    names = set(load_file(run / "adapter.safetensors"))
    assert names
    assert all(".to_" in name and ".to_out" not in name for name in names)
    assert all(name.startswith("unet.") for name in names)


@pytest.mark.parametrize("method", ["lora", "dora", "full"])
def test_a_folder_of_sounds_becomes_an_adapter_or_a_model(
    method, data, tiny_folder, tmp_path, copy_encoded_data
):
    output = tmp_path / "runs" / "mine"
    copy_encoded_data(output.parent)
    overrides = ["steps=1", "options.frames_per_batch=512", "device=cpu", "precision=fp32"]
    plan = prepare(
        [str(data)], output, method=method, trigger="zorla", num_old_clips=3, overrides=overrides
    )
    ticks = []
    make_old_clips(plan, None, lambda *tick: ticks.append(tick))
    make_old_clips(plan, None, lambda *tick: ticks.append(tick))  # they are there
    assert ticks == [(1, 3), (2, 3), (3, 3)]
    train(plan.recipe, plan.data, output, (tiny_folder,))
    assert (output / "adapter.safetensors").is_file() == (method != "full")
    if method == "full":
        model = latentaudio.load(output, device="cpu", precision="fp32")
    else:
        model = latentaudio.load(tiny_folder, device="cpu", precision="fp32")
        card = read_adapter(output, TINY).card
        assert (card.trigger, card.method, card.num_clips > 0) == ("zorla", method, True)
        model.load_adapter(output)
    [clip] = model.generate("zorla, a dog", duration=0.64, steps=2, candidates=1, seed=1)
    assert np.isfinite(clip.samples).all()


def test_a_copy_of_a_training_clip_is_told_from_another_take():
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(1, 4, 16, 8, generator=generator)
    training = common + torch.randn(24, 4, 16, 8, generator=generator)
    other_takes = common + torch.randn(8, 4, 16, 8, generator=generator)
    copies = training[:8] + 0.2 * torch.randn(8, 4, 16, 8, generator=generator)
    limit = copy_limit(training)
    assert nearest_similarities(other_takes, training).max() < limit
    assert nearest_similarities(copies, training).min() > limit


def test_a_preview_has_sound_and_warns_of_copies(
    data, tiny_folder, tmp_path, copy_encoded_data, monkeypatch
):
    run = tmp_path / "runs" / "run"
    copy_encoded_data(run.parent)
    monkeypatch.setattr(finetune, "_MIN_COMPARED", 2)
    monkeypatch.setattr(finetune, "copy_limit", lambda training: -1.0)
    with pytest.warns(UserWarning, match="nearly a copy of a training clip"):
        train(recipe(1, options={"frames_per_batch": 1024}), (data,), run, (tiny_folder,))
    names = {path.name for path in (run / "previews").iterdir()}
    assert {"samples.png", "samples_0.flac", "samples_0_without_adapter.flac"} <= names


def test_old_prompts_are_always_the_same_and_differ():
    prompts = old_prompts(60)
    assert prompts == old_prompts(60)
    assert len(set(prompts)) == 60
