"""Held-out clips, losses at fixed timesteps and previews, in every stage."""

import shutil
import warnings

import numpy as np
import pytest
import soundfile
from conftest import TINY
from PIL import Image
from run_logs import read_log

from latentaudio.data.manifest import read_manifest
from latentaudio.errors import ConfigError, UsageError
from latentaudio.train.logger import VALIDATION_FILE
from latentaudio.train.loggers import LOGGERS
from latentaudio.train.loop import train
from latentaudio.train.stages.base import build_stage
from latentaudio.train.stages.timestep_errors import NUM_LEVELS

VAE = {"crop_frames": 32, "latent_stats_crops": 2}
LATENTS = {"frames_per_batch": 512}


def losses_of(run):
    entries = read_log(run)
    for entry in entries:
        del entry["steps_per_second"]
    return entries


def test_held_out_clips_are_a_part_of_their_own(data, stage_recipe, tmp_path):
    recipe = stage_recipe("vae", options=VAE, validate={"fraction": 0.3})
    stage = build_stage(recipe, TINY, (data,), tmp_path / "run" / "model")
    training = {clip.path for clip in stage.clips}
    held_out = {clip.path for clip in stage.held_out_clips}
    assert training | held_out == {clip.path for clip in read_manifest(data)}
    assert not training & held_out
    assert held_out
    with stage.held_out_data():
        assert set(stage.clip_names(0)) <= {str(path) for path in held_out}
    assert set(stage.clip_names(0)) <= {str(path) for path in training}


def test_copies_of_a_sound_stay_on_one_side(data, stage_recipe, tmp_path):
    twice = tmp_path / "twice"
    shutil.copytree(data, twice)
    recipe = stage_recipe("vae", options=VAE, validate={"fraction": 0.5})
    with warnings.catch_warnings(action="ignore"):  # of copies
        stage = build_stage(recipe, TINY, (data, twice), tmp_path / "run" / "model")
    training = {clip.path.name for clip in stage.clips}
    assert not training & {clip.path.name for clip in stage.held_out_clips}


def test_measuring_changes_no_bit_of_the_training(data, stage_recipe, tmp_path):
    runs = {}
    for every in (1, 100):
        run = tmp_path / f"every_{every}"
        validation = {"fraction": 0.3, "every": every, "num_batches": 2}
        recipe = stage_recipe("vae", 3, options=VAE, validate=validation)
        train(recipe, (data,), run)
        runs[every] = losses_of(run), read_log(run, VALIDATION_FILE)
    assert runs[1][0] == runs[100][0]
    assert [entry["step"] for entry in runs[1][1]] == [1, 2, 3]
    assert runs[1][1][-1] == runs[100][1][-1]  # at the end of every run
    assert runs[1][1][0].keys() == {"step", "validation/vae/l1", "validation/vae/kl"}


def test_held_out_clips_of_latents_are_encoded_apart(
    data, stage_recipe, tiny_folder, tmp_path, copy_encoded_data
):
    run = tmp_path / "runs" / "diffusion"
    copy_encoded_data(run.parent)
    validation = {"fraction": 0.3, "every": 1, "num_batches": 1}
    recipe = stage_recipe("diffusion", 2, options=LATENTS, validate=validation, sample_every=1)
    train(recipe, (data,), run, (tiny_folder,))
    entries = read_log(run, VALIDATION_FILE)
    assert [entry["step"] for entry in entries] == [1, 2]
    levels = [name for name in entries[0] if name.startswith("unet/mse_at_t")]
    assert len(levels) == NUM_LEVELS
    assert "validation/unet/mse" in entries[0]
    stage = build_stage(recipe, TINY, (data,), run / "model")
    names = {clip.label for clip in stage.clips}
    held_out = {clip.label for clip in stage.held_out_clips}
    assert names and held_out and not names & held_out
    assert set(stage.clip_names(3)) <= names
    with stage.held_out_data():
        assert stage.dataset is stage.held_out_dataset
        assert stage.losses_by_timestep() == stage.losses_by_timestep()


@pytest.mark.parametrize("fraction", [1e-9, 0.5])
def test_a_split_with_an_empty_side_is_an_error(data, stage_recipe, tmp_path, fraction):
    folder = tmp_path / "one"
    folder.mkdir()
    clip = read_manifest(data)[0]
    shutil.copy(clip.path, folder / "a.wav")
    (folder / "metadata.jsonl").write_text('{"file_name": "a.wav", "text": "a dog"}\n')
    recipe = stage_recipe("vae", options=VAE, validate={"fraction": fraction})
    with pytest.raises(ConfigError, match=r"validate.fraction .* holds out [01] of 1 clips"):
        build_stage(recipe, TINY, (folder,), tmp_path / "run" / "model")


PREVIEWS = {
    "vae": (VAE, {"reconstruction.png", "reconstruction_0.flac"}),
    "vocoder": ({"crop_frames": 20}, {"resynthesis.png", "resynthesis_0.flac"}),
    "clap": ({}, {"similarities.png", "captions.txt"}),
    "audiomae": ({"crop_frames": 128}, {"reconstruction_of_masked.png"}),
    "translator": (LATENTS, {"language_of_audio.png"}),
    "latent_prior": (LATENTS, {"prior_means.png", "prior_means_0.flac", "prior_means_data_0.flac"}),
    "diffusion": (LATENTS, {"samples.png", "samples_0.flac", "samples_data_0.flac"}),
    "joint": (LATENTS, {"samples.png", "samples_0.flac"}),
    "finetune": (LATENTS, {"samples.png", "samples_0.flac"}),
    "distillation": (
        LATENTS | {"timesteps": [999, 499], "teacher_substeps": 2},
        {"samples.png", "samples_0.flac"},
    ),
}


@pytest.mark.parametrize("stage", PREVIEWS)
def test_the_preview_of_a_stage_can_be_seen_or_heard(stage, run_stage, tiny_folder):
    options, expected = PREVIEWS[stage]
    run, _ = run_stage(stage, tiny_folder, steps=1, options=options)
    files = {file.name for file in (run / "previews").iterdir()}
    assert expected <= files
    for file in (run / "previews").glob("*.png"):
        assert np.ptp(np.array(Image.open(file))) > 0
    for file in (run / "previews").glob("*.flac"):
        assert np.abs(soundfile.read(file)[0]).max() > 0


def test_with_an_adapter_there_is_a_preview_without_it(run_stage, tiny_folder):
    pytest.importorskip("peft")
    run, _ = run_stage("finetune", tiny_folder, steps=1, options=LATENTS, adapter={"rank": 2})
    names = {file.name for file in (run / "previews").iterdir()}
    assert {"samples.png", "samples_without_adapter.png", "samples_0_without_adapter.flac"} <= names


class Tracker:
    """A package with the functions of wandb and trackio."""

    def __init__(self):
        self.calls = []

    def init(self, **settings):
        self.calls.append(("init", settings))

    def log(self, numbers, step):
        self.calls.append(("log", step))

    def finish(self):
        self.calls.append(("finish", None))


@pytest.mark.parametrize("name", LOGGERS)
def test_loggers_are_chosen_by_name(name, data, stage_recipe, tmp_path, monkeypatch):
    import sys

    tracker = Tracker()
    monkeypatch.setattr("latentaudio.train.loggers.find_spec", lambda package: True)
    for package in ("wandb", "trackio"):
        monkeypatch.setitem(sys.modules, package, tracker)
    run = tmp_path / "run"
    train(stage_recipe("vae", 1, options=VAE, loggers=[name]), (data,), run)
    assert len(read_log(run)) == 1
    assert (run / "tensorboard").exists() == (name == "tensorboard")
    assert (run / "log.csv").exists() == (name == "csv")
    if name in ("wandb", "trackio"):
        assert [kind for kind, _ in tracker.calls] == ["init", "log", "finish"]
        assert tracker.calls[0][1]["name"] == "run"
        assert tracker.calls[0][1].get("mode") == ("offline" if name == "wandb" else None)


def test_a_missing_logger_is_one_line_and_leaves_no_folder(data, stage_recipe, tmp_path):
    recipe = stage_recipe("vae", 1, options=VAE, loggers=["wandb"])
    with pytest.raises(UsageError, match="loggers: wandb needs the package wandb; run pip inst"):
        train(recipe, (data,), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_clap_needs_two_clips(data, stage_recipe, tiny_folder, tmp_path):
    with pytest.raises(ConfigError, match="learns nothing from one; here batch_size is 1"):
        build_stage(stage_recipe("clap", batch_size=1), TINY, (data,), tiny_folder)
