"""Golden outcomes of every training stage, tiny: after two steps and after a third.

Tensors are fingerprinted without names (`Nameless`): all of the newest checkpoint, and all
components of the model folder. Losses are the log's values, sorted within a step. Names of losses,
trainables and stages may change; the names of outcomes are those of version 0.1.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import torch
from golden.common import (
    Nameless,
    Outcome,
    Value,
    clip_values,
    fresh,
    in_model_table,
    states_in,
    tensors_of,
    write_tiny,
    write_tokenizer,
)
from golden.outcomes_mini import DRAFT
from golden.outcomes_tiny import tiny_config
from PIL import Image
from run_logs import read_log
from safetensors.torch import load_file

from latentaudio import load
from latentaudio.config.architecture import AudioMAEConfig
from latentaudio.config.registry import MODELS, ModelSpec
from latentaudio.loaders.model_folder import TOKENIZER_FILE, read_config
from latentaudio.train import checkpoint
from latentaudio.train.loop import train
from latentaudio.train.optim import learning_rate
from latentaudio.train.pre_encode import pre_encode
from latentaudio.train.recipe import OptimizerOptions, Recipe, StageName
from latentaudio.train.text_distillation.dataset import DistillationSet
from procedural_audio.corpus import render_corpus

RUNS: dict[str, tuple[StageName, Literal["bf16", "fp32"], dict[str, Any]]] = {
    "vae": (
        "vae",
        "fp32",
        {
            "crop_frames": 32,
            "weights": {"adv_gen": 0.1},
            "disc_channels": 4,
            "latent_stats_crops": 4,
        },
    ),
    "vae-in-bf16": ("vae", "bf16", {"crop_frames": 32, "latent_stats_crops": 4}),
    "vae-decoder-only": ("vae", "fp32", {"crop_frames": 32, "freeze_encoder": True}),
    "vocoder": (
        "vocoder",
        "fp32",
        {"crop_frames": 20, "weights": {"adv_gen": 1.0}, "disc_channels": 2},
    ),
    "vocoder-decoded": (
        "vocoder",
        "fp32",
        {"crop_frames": 32, "vae_resynthesis_prob": 0.5, "weights": {"pitch": 3.0}},
    ),
    "clap": ("clap", "fp32", {}),
    "audiomae": ("audiomae", "fp32", {"crop_frames": 128}),
    "translator": ("translator", "fp32", {"frames_per_batch": 512}),
    "draft": ("latent_prior", "fp32", {"frames_per_batch": 512, "dropout": 0.1}),
    "draft-of-pairs": (
        "latent_prior",
        "fp32",
        {"frames_per_batch": 1024, "concat_fraction": 0.5},
    ),
    "diffusion": ("diffusion", "fp32", {"frames_per_batch": 512}),
    "diffusion-in-bf16": ("diffusion", "bf16", {"frames_per_batch": 512, "true_loa_prob": 0.25}),
    "diffusion-logit-normal": (
        "diffusion",
        "fp32",
        {
            "frames_per_batch": 512,
            "logit_mean": -0.3,
            "logit_std": 1.0,
            "channel_loss_weighting": 0.5,
        },
    ),
    "joint": ("joint", "fp32", {"frames_per_batch": 512}),
    "student": (
        "distillation",
        "fp32",
        {"frames_per_batch": 512, "timesteps": [999, 499], "teacher_substeps": 2},
    ),
    "text": ("text", "fp32", {"num_lexicon_texts": 40, "num_common_word_texts": 20}),
}
"""Run -> (stage, precision, options of the stage)."""
PREVIEWS = ("prior_means", "reconstruction", "resynthesis", "samples")
"""Names of the images in previews of version 0.1."""
SPEED = "steps_per_second"  # the key of a log line that is time
FILM = "film-diffusion"
CLASSES = ("dog", "bell", "rain")


def trainable_spec(name: str, base: str) -> ModelSpec:
    """A tiny row of the model table that can be trained: AudioMAE has its decoder."""
    config = tiny_config(replace(MODELS[base].config, distilled_unet=None))
    if config.audiomae is not None:
        audiomae = AudioMAEConfig(
            hidden_size=16,
            num_layers=1,
            num_heads=2,
            decoder_hidden_size=16,
            decoder_num_layers=1,
            decoder_num_heads=2,
            num_averaged_layers=1,
        )
        config = replace(config, audiomae=audiomae)
    return replace(MODELS[base], name=name, config=config, bundled=False)


@cache
def data_folder() -> Path:
    """Render a corpus of a few clips."""
    folder = fresh("corpus")
    render_corpus(
        folder,
        hours=24 / 3600,
        seed=3,
        classes=CLASSES,
        durations=(1.28, 2.56),
        duration_weights=(1, 1),
        num_workers=1,
    )
    return folder


@cache
def initial_model(base: str, name: str) -> Path:
    """Write the weights that a run starts from."""
    return write_tiny(fresh("model"), trainable_spec(name, base).config, name)


@cache
def tokenizer_folder() -> Path:
    """Write a model folder with a tokenizer only: text encoders then start from the teacher."""
    folder = fresh("tokenizer")
    folder.mkdir()
    write_tokenizer(folder / TOKENIZER_FILE)
    return folder


@cache
def runs_folder() -> Path:
    """The folder in which runs lie side by side and share pre-encoded data."""
    return fresh("runs")


@cache
def run(name: str) -> dict[str, Value]:
    """Train two steps, then three with the same command; return the state after each."""
    base, model_name = ("mini-film", "tiny-film") if name == FILM else ("mini", "tiny")
    stage, precision, options = RUNS["diffusion" if name == FILM else name]

    def recipe(steps: int) -> Recipe:
        return Recipe(
            stage=stage,
            model=model_name,
            seed=5,
            steps=steps,
            batch_size=4,
            gradient_accumulation_steps=2,
            precision=precision,
            device="cpu",
            optim=OptimizerOptions(lr=3e-3, warmup_steps=1),
            save_every=100,
            sample_every=100,
            log_every=1,
            options=options,
        )

    folder = runs_folder() / name
    init_from = tokenizer_folder() if stage == "text" else initial_model(base, model_name)
    values: dict[str, Value] = {}
    with in_model_table(trainable_spec(model_name, base)):
        train(recipe(2), (data_folder(),), folder, (init_from,))
        values["two-steps"] = state(folder)
        train(recipe(3), (data_folder(),), folder)
        values["resumed"] = state(folder)
    values["preview"] = previews(folder)
    if stage != "text":
        sampling = {"preset": DRAFT} if stage == "distillation" else {"steps": 2}
        with in_model_table(trainable_spec(model_name, base)):
            m = load(folder, "cpu", "fp32")
            values["sounds"] = clip_values(
                m.generate("a dog barking", duration=0.6, seed=1, **sampling)
            )
    return values


def state(folder: Path) -> Value:
    """Steps, the checkpoint, the exported components, latent statistics, and every loss."""
    step, tensors = checkpoint.load_latest(folder) or (0, {})
    losses = []
    for entry in read_log(folder):
        losses.append(sorted(value for key, value in entry.items() if key != SPEED))
    _, config, _ = read_config(folder / "model")
    statistics = [sorted(config.latent_mean), sorted(config.latent_std)]
    exported = states_in(folder / "model")
    saved = [*tensors_of(tensors), *frozen_tensors(folder, tensors)]
    return [step, Nameless(tuple(saved)), exported, statistics, losses]


def frozen_tensors(folder: Path, states: dict[str, Any]) -> list[torch.Tensor]:
    """Frozen parameters, which checkpoints of version 0.1 had: CLAP's audio tower in stage text."""
    module = states.get("model", {}).get("module", {})
    if not any(name.startswith("clap.text_model") for name in module):
        return []
    clap = load_file(folder / "model" / "clap.safetensors")
    return [value for name, value in clap.items() if f"clap.{name}" not in module]


def previews(folder: Path) -> Value:
    """Pixels and samples of the previews that version 0.1 had."""
    images = []
    for name in PREVIEWS:
        file = folder / "previews" / f"{name}.png"
        if file.is_file():
            images.append(torch.from_numpy(np.array(Image.open(file))))
    clips = []
    for file in sorted((folder / "previews").glob("resynthesis_*.flac")):
        clips.append(torch.from_numpy(soundfile.read(file)[0]))
    return [len(images), len(clips), Nameless((*images, *clips))]


def distillation_set() -> Value:
    """Texts of the text stage, and the teacher's vectors of them."""
    texts = DistillationSet.prepare(5, 12, 6, ["a dog barking three times", "rain"])
    return [list(texts.texts), texts.targets]


def pre_encoded() -> Value:
    """A corpus as the diffusion stages read it from disk: latents and conditionings."""
    model_folder = fresh("run") / "model"
    shutil.copytree(initial_model("mini", "tiny"), model_folder)
    config = trainable_spec("tiny", "mini").config
    tensors: list[torch.Tensor] = []
    for file in sorted(pre_encode((data_folder(),), model_folder, config).glob("*.safetensors")):
        arrays = load_file(file)
        arrays.pop("latent_logvar", None)  # version 0.1 had none
        tensors += arrays.values()
    return Nameless(tuple(tensors))


def learning_rates() -> Value:
    """Learning rates over a run."""
    options = OptimizerOptions(lr=1e-3, warmup_steps=10, final_lr_frac=0.1)
    return [learning_rate(step, 100, options) for step in range(0, 100, 7)]


def _part(name: str, part: str) -> Value:
    return run(name)[part]


OUTCOMES: dict[str, Outcome] = {
    **{
        f"train/{name}/{part}": partial(_part, name, part)
        for name in (*RUNS, FILM)
        for part in ("two-steps", "resumed", "preview", "sounds")
        if name != "text" or part != "sounds"
    },
    "train/lessons": distillation_set,
    "train/encoded": pre_encoded,
    "train/learning-rates": learning_rates,
}
